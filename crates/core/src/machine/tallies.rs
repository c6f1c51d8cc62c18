//! Counts of events, for metrics.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    ending::FollowUp,
    events::{EventData, Notice},
    health::ProbeKind,
};
use crate::spec::ExitCode;

/// Applications that are counted by name. Further ones are counted together.
const MAX_APPS: usize = 2000;
/// The name under which these are counted.
const OTHERS: &str = "(others)";

/// Counts since the supervisor began. They never decrease.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tallies {
    /// Events by kind.
    pub events: BTreeMap<String, u64>,
    /// Applications by name, also those that were removed.
    pub apps: BTreeMap<String, AppTally>,
}

/// The counts of an application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AppTally {
    /// Programs that were executed.
    pub starts: u64,
    /// Ends of main processes by exit reason, also failed starts.
    pub exits: BTreeMap<String, u64>,
    /// The same by exit code.
    pub exit_codes: BTreeMap<ExitCode, u64>,
    /// Ends that were followed by a restart, by exit reason.
    pub restarts: BTreeMap<String, u64>,
    /// The delay before the last of these restarts, in milliseconds.
    pub restart_delay: u64,
    /// Process trees that had to be killed after their grace period.
    pub kills: u64,
    /// Failures of the health probe and of the readiness probe.
    pub probe_failures: [u64; 2],
    /// Reloads that have replaced each process.
    pub reloads_completed: u64,
    /// Reloads that have ended before.
    pub reloads_aborted: u64,
    /// The time of the completed reloads, in milliseconds.
    pub reload_time: u64,
}

impl Tallies {
    /// Counts an event.
    pub fn count(&mut self, notice: &Notice) {
        increment(&mut self.events, notice.data.kind());
        if let Some(app) = &notice.subject.app {
            self.app(app).count(&notice.data);
        }
    }

    fn app(&mut self, name: &str) -> &mut AppTally {
        let name = if self.apps.len() < MAX_APPS || self.apps.contains_key(name) { name } else { OTHERS };
        if !self.apps.contains_key(name) {
            self.apps.insert(name.to_owned(), AppTally::default());
        }
        self.apps.get_mut(name).expect("it was inserted")
    }
}

impl AppTally {
    fn count(&mut self, event: &EventData) {
        match event {
            EventData::Online { .. } | EventData::Launching { .. } => self.starts += 1,
            EventData::Exited { reason, ending, next, .. } => {
                increment(&mut self.exits, reason);
                *self.exit_codes.entry(ending.code()).or_default() += 1;
                if let FollowUp::Restart(delay) = next {
                    increment(&mut self.restarts, reason);
                    self.restart_delay = millis(*delay);
                }
            }
            EventData::Killing { .. } => self.kills += 1,
            EventData::ProbeFailed { probe, .. } => self.probe_failures[probe_index(*probe)] += 1,
            EventData::ReloadCompleted { took, .. } => {
                self.reloads_completed += 1;
                self.reload_time += millis(*took);
            }
            EventData::ReloadAborted { .. } => self.reloads_aborted += 1,
            _ => {}
        }
    }
}

fn probe_index(probe: ProbeKind) -> usize {
    match probe {
        ProbeKind::Liveness => 0,
        ProbeKind::Readiness => 1,
    }
}

fn increment(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Ending;

    #[test]
    fn ends_are_counted_by_reason_and_code() {
        let mut tallies = Tallies::default();
        let exited = |code, next| EventData::Exited {
            reason: "exit".into(),
            ending: Ending::Exited(code),
            cause: None,
            uptime: Duration::ZERO,
            next,
        };
        for data in [
            EventData::Online { pid: 1 },
            exited(1, FollowUp::Restart(Duration::from_millis(100))),
            EventData::Launching { pid: 2 },
            exited(1, FollowUp::Restart(Duration::from_millis(150))),
            exited(0, FollowUp::Final),
            EventData::ReloadCompleted { total: 2, took: Duration::from_secs(3) },
        ] {
            tallies.count(&Notice::of_app("api", data));
        }
        tallies.count(&Notice::of_runtime(EventData::KillingAll {}));
        let api = &tallies.apps["api"];
        assert_eq!((api.starts, api.exits["exit"], api.restarts["exit"]), (2, 3, 2));
        assert_eq!(api.exit_codes, BTreeMap::from([(0, 1), (1, 2)]));
        assert_eq!((api.restart_delay, api.reloads_completed, api.reload_time), (150, 1, 3000));
        assert_eq!(tallies.events["instance.exited"], 3);
        assert_eq!(tallies.events["runtime.killing"], 1);
    }

    #[test]
    fn the_number_of_applications_is_bounded() {
        let mut tallies = Tallies::default();
        for number in 0..MAX_APPS + 10 {
            tallies.count(&Notice::of_app(&number.to_string(), EventData::Leftovers {}));
        }
        tallies.count(&Notice::of_app("0", EventData::Killing { waited: Duration::ZERO }));
        assert_eq!(tallies.apps.len(), MAX_APPS + 1);
        assert!(tallies.apps.contains_key(OTHERS));
        assert_eq!(tallies.apps["0"].kills, 1);
    }
}
