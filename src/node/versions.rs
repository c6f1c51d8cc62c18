//! The versions of an application. The sockets of a version that no worker runs any more are to be closed. This
//! module closes nothing itself.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::spec::{AppSpec, diff::same_but_instances};

/// Time for which the sockets of a version stay open after its last worker: its successor may listen on one of
/// them later than on the others, and until then connections wait.
const VERSION_LINGER: Duration = Duration::from_secs(5);

/// The versions of one application that workers run, or ran until recently.
#[derive(Debug, Default)]
pub(super) struct Versions {
    known: Vec<Version>,
    last: u32,
}

#[derive(Debug)]
struct Version {
    number: u32,
    spec: Arc<AppSpec>,
    unused_since: Option<Instant>,
}

impl Versions {
    /// The number of the version with this spec, which is about to start.
    pub(super) fn number(&mut self, spec: &Arc<AppSpec>) -> u32 {
        let has_spec = |version: &&mut Version| same_but_instances(&version.spec, spec);
        if let Some(version) = self.known.iter_mut().find(has_spec) {
            version.unused_since = None;
            return version.number;
        }
        self.last += 1;
        self.known.push(Version { number: self.last, spec: spec.clone(), unused_since: None });
        self.last
    }

    /// Checks which versions no worker runs any more. A single one is not checked: without another one, it is
    /// current.
    pub(super) fn check(&mut self, now: Instant, is_run: impl Fn(&AppSpec) -> bool) {
        if self.known.len() < 2 {
            return;
        }
        for version in self.known.iter_mut().filter(|version| version.unused_since.is_none()) {
            if !is_run(&version.spec) {
                version.unused_since = Some(now);
            }
        }
    }

    /// When the next version ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.known.iter().filter_map(|version| version.unused_since).min().map(|since| since + VERSION_LINGER)
    }

    /// Removes the versions that no worker runs any more and returns them: their sockets occupy an address.
    pub(super) fn end_now(&mut self) -> Vec<u32> {
        self.known.extract_if(.., |version| version.unused_since.is_some()).map(|it| it.number).collect()
    }

    /// Removes the versions that have ended and returns them.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<u32> {
        let has_ended =
            |version: &mut Version| version.unused_since.is_some_and(|since| since + VERSION_LINGER <= now);
        self.known.extract_if(.., has_ended).map(|version| version.number).collect()
    }
}
