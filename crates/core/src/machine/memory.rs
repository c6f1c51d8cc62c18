//! Workers with too much memory: beyond their own limit, or while the container's is short.
//!
//! Whoever is beyond its limit (`max_memory_restart`) is replaced, or runs anew where nobody holds its
//! sockets. An application that crosses its limit soon after each start is left alone longer and longer
//! before that, so that it serves meanwhile; but not when it goes on growing. It never becomes `errored`:
//! PM2 would go on, too.
//!
//! When the container's memory is short (`oom_guard`) the largest worker ends, and starts again when it is
//! gone: one at a time, and each is followed by another look. Who measures, and when, is not known here:
//! as long as there is too much the news comes again and again, and what is under way is never doubled.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Time, backoff,
    event::{Effect, InstanceId, Run},
    events::{EventData, Notice, millis},
    instance::{AfterStop, Instance, Status},
    notice::{Generation, Next, StopReason, Why},
    reason::Reason,
    root::{Machine, Phase},
};
use crate::spec::{ByteSize, MemoryLimit};

/// The initial delay of the backoff, from one start of the instance to the next.
const INITIAL_DELAY: Duration = Duration::from_secs(1);
/// Who has this part of its limit on top of it is not left alone any longer: a quarter.
const FAR_BEYOND: u64 = 4;
/// That nobody can be ended to any use is not said more often.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// Too much memory, for which procrun has ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Excess {
    /// It had more memory than it may have. All in bytes.
    OverLimit {
        /// What its processes had.
        #[serde(rename = "used_bytes")]
        used: u64,
        /// What they may have.
        #[serde(rename = "limit_bytes")]
        limit: u64,
    },
    /// It was the largest when the container's memory was short. All in bytes.
    Short {
        /// What its processes had.
        #[serde(rename = "size_bytes")]
        size: u64,
        /// What the container had that cannot be had back.
        #[serde(rename = "used_bytes")]
        used: u64,
        /// What the container may have.
        #[serde(rename = "limit_bytes")]
        limit: u64,
    },
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverLimit { used, limit } => {
                write!(f, "memory: it had {}, its limit is {}", ByteSize(*used), ByteSize(*limit))
            }
            Self::Short { size, used, limit } => write!(
                f,
                "memory: it had {} when the container had {} of {}",
                ByteSize(*size),
                ByteSize(*used),
                ByteSize(*limit)
            ),
        }
    }
}

/// What is done about a worker that has more memory than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A successor takes its place while it serves.
    Replace,
    /// It ends, and starts when it is gone.
    Restart,
    /// It was so often in a row that it is left alone for a while.
    LeaveAlone {
        /// How often.
        times: u32,
        /// For how long.
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    },
    /// It was left alone and went on growing: it ends, and does not start at once.
    RestartLater {
        /// How often in a row.
        times: u32,
        /// How long after its end it starts.
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    },
}

/// The container's memory when it is short. All in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// What cannot be had back.
    pub used: u64,
    /// From here on it is short.
    pub threshold: u64,
    /// What it may have.
    pub limit: u64,
}

/// How often something was done about memory in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    in_a_row: u32,
    at: Time,
    /// The run that was told that it is left alone; 0 is none.
    told: u64,
}

impl Pace {
    /// The least time between the last restart, or a start, and the next restart; `over` of it has passed.
    fn gap(&mut self, over: Duration) -> Duration {
        if over >= backoff::STABLE {
            self.in_a_row = 0;
        }
        backoff::delay_after(self.in_a_row, INITIAL_DELAY)
    }

    fn count(&mut self, now: Time) -> u32 {
        (self.in_a_row, self.at) = (self.in_a_row.saturating_add(1), now);
        self.in_a_row
    }
}

/// What is done when the container's memory is short.
#[derive(Debug, Default)]
pub(super) struct Guard {
    pace: Pace,
    /// Who is on its way out.
    retiring: Option<Run>,
    /// When it was said that nobody can be ended to any use.
    helpless: Option<Time>,
}

impl Machine {
    /// The runs that may have only so much memory, and are to go on.
    pub fn limited(&self) -> impl Iterator<Item = (Run, MemoryLimit)> {
        let settled = self.instances.values().filter(|it| it.is_settled() && it.is_online());
        settled.filter_map(|instance| Some((instance.run()?, instance.spec.max_memory?)))
    }

    /// Whether a worker is on its way out because the container's memory is short: until it is gone
    /// nothing else is done about that.
    pub fn is_retiring(&self) -> bool {
        self.guard.retiring.is_some_and(|run| self.has_run(run))
    }

    fn has_run(&self, run: Run) -> bool {
        self.instances.get(&run.instance).and_then(Instance::run) == Some(run)
    }

    /// A run has more memory than it may have.
    pub(super) fn memory_exceeded(
        &mut self,
        now: Time,
        run: Run,
        used: u64,
        limit: u64,
        out: &mut Vec<Effect>,
    ) {
        let id = run.instance;
        if self.phase != Phase::Running || !self.has_run(run) {
            return;
        }
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let app = instance.spec.name.clone();
        let Some(started) = instance.started_at() else { return };
        // A successor has its reload to fail, and who is being replaced ends anyway.
        if !instance.is_settled() || !instance.is_online() || self.reloads.is_active(&app) {
            return;
        }
        let excess = Excess::OverLimit { used, limit };
        let who = instance.subject();
        let pace = &mut instance.record.pace;
        let over = now.since(pace.at.max(started));
        let wait = pace.gap(over).saturating_sub(over);
        let report =
            |action| out.push(Notice::of(who, EventData::MemoryExceeded { used, limit, action }).into());
        if wait.is_zero() {
            pace.count(now);
            let staying = self.staying(&app);
            let overlaps = self.planned(&app).is_some_and(|spec| spec.can_overlap());
            if overlaps && self.can_roll(&staying) {
                report(Answer::Replace);
                let number = BTreeSet::from([self.instances[&id].number]);
                self.reload_numbers(now, &app, &number, Reason::Memory(excess), Vec::new(), out);
            } else {
                report(Answer::Restart);
                self.run_anew(now, id, excess, Duration::ZERO, out);
            }
        } else if used.saturating_sub(limit) >= limit / FAR_BEYOND {
            let times = pace.count(now);
            report(Answer::RestartLater { times, wait });
            self.run_anew(now, id, excess, wait, out);
        } else if pace.told != run.number {
            pace.told = run.number;
            let times = pace.in_a_row;
            report(Answer::LeaveAlone { times, wait });
        }
    }

    /// The container's memory is short. `sizes` are those of all trees, the largest first.
    pub(super) fn memory_short(
        &mut self,
        now: Time,
        shortage: Shortage,
        sizes: &[(Run, u64)],
        out: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Running || self.is_retiring() {
            return;
        }
        let Shortage { used, threshold, limit } = shortage;
        let workers: u64 = sizes.iter().map(|(_, size)| size).sum();
        let largest = sizes.iter().find(|(run, _)| self.has_run(*run));
        let Some(&(run, size)) = largest.filter(|_| used.saturating_sub(workers) < threshold) else {
            if self.guard.helpless.is_none_or(|at| now.since(at) >= SAID_AGAIN) {
                self.guard.helpless = Some(now);
                let data = EventData::MemoryElsewhere { used, limit, instances: workers };
                out.push(Notice::of_runtime(data).into());
            }
            return;
        };
        let id = run.instance;
        let instance = &self.instances[&id];
        let (app, generation) = (instance.spec.name.clone(), instance.generation);
        let excess = Excess::Short { size, used, limit };
        let cause = StopReason::Memory(excess);
        // Old and new ones side by side are what there is no memory for.
        let is_rolling = self.reloads.is_rolling(&app);
        self.give_up(now, &app, Why::MemoryShort, cause, None, out);
        if is_rolling || generation != Generation::Settled {
            return;
        }
        let instance = &self.instances[&id];
        if instance.is_online() {
            let Some(started) = instance.started_at() else { return };
            let who = instance.subject();
            // It waits before its start, not before its end: the kernel would not.
            let pace = &mut self.guard.pace;
            let wait = pace.gap(now.since(pace.at)).saturating_sub(now.since(started));
            let times = pace.count(now);
            self.guard.retiring = Some(run);
            self.guard.helpless = None;
            let data = EventData::OomGuardStop { size, used, limit, instances: workers, times, wait };
            out.push(Notice::of(who, data).into());
            self.run_anew(now, id, excess, wait, out);
        } else if instance.status() == Status::Stopping && instance.is_leaving() {
            // It may not finish its connections, if that is what it does.
            self.end(now, id, cause, AfterStop::Remove, out);
        }
    }

    /// Ends an instance and starts it when it is gone, after this wait.
    fn run_anew(&mut self, now: Time, id: InstanceId, excess: Excess, wait: Duration, out: &mut Vec<Effect>) {
        self.end(now, id, StopReason::Memory(excess), AfterStop::Follow(Next::Restart(wait)), out);
    }
}
