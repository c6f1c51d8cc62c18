//! Which versions of an application there are: what is open only for one that nobody runs any more
//! is closed. Never closes anything itself.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::spec::{AppSpec, diff::same_but_instances};

/// How long the sockets of a version stay open when nobody runs it any more: its successor may listen
/// on one of them later than on the others, and until then its connections wait.
const LINGER: Duration = Duration::from_secs(5);

/// The versions of one application that are run, or were until a moment ago.
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
    /// The number of the version that reads like this, which is about to be run.
    pub(super) fn number(&mut self, spec: &Arc<AppSpec>) -> u32 {
        let is_it = |version: &&mut Version| same_but_instances(&version.spec, spec);
        if let Some(version) = self.known.iter_mut().find(is_it) {
            version.unused_since = None;
            return version.number;
        }
        self.last += 1;
        self.known.push(Version { number: self.last, spec: spec.clone(), unused_since: None });
        self.last
    }

    /// Looks which of them nobody runs any more. A single one is not looked at: as long as there is
    /// no other, it is the one.
    pub(super) fn look(&mut self, now: Instant, is_run: impl Fn(&AppSpec) -> bool) {
        if self.known.len() < 2 {
            return;
        }
        for version in self.known.iter_mut().filter(|version| version.unused_since.is_none()) {
            if !is_run(&version.spec) {
                version.unused_since = Some(now);
            }
        }
    }

    /// When the next one is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.known.iter().filter_map(|version| version.unused_since).min().map(|since| since + LINGER)
    }

    /// Forgets those that nobody runs any more, and says which: their sockets are in somebody's way.
    pub(super) fn end_now(&mut self) -> Vec<u32> {
        self.known.extract_if(.., |version| version.unused_since.is_some()).map(|it| it.number).collect()
    }

    /// Forgets those that are over, and says which.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<u32> {
        let is_over = |version: &mut Version| version.unused_since.is_some_and(|since| since + LINGER <= now);
        self.known.extract_if(.., is_over).map(|version| version.number).collect()
    }
}
