//! How soon a change of watched files restarts an application.
//!
//! An application that writes a watched file at each start would restart for ever. So changes soon after a start
//! are subject to a backoff.

use std::{collections::BTreeMap, time::Duration};

use super::time::Time;

/// A change within this time of a start may be made by the application itself.
pub(super) const RESTART_LOOP_WINDOW: Duration = Duration::from_secs(5);

/// The initial delay of the backoff.
pub(super) const INITIAL_DELAY: Duration = Duration::from_millis(100);

/// The changes of each application, by name.
#[derive(Debug, Default)]
pub(super) struct WatchChanges {
    pub(super) apps: BTreeMap<String, ChangeBackoff>,
    /// Distinguishes armed timers.
    pub(super) timers: u64,
}

/// The changes of one application.
#[derive(Debug, Default)]
pub(super) struct ChangeBackoff {
    /// When a change has restarted it last.
    pub(super) last_restart: Time,
    /// Changes in a row that came soon after a start.
    pub(super) in_a_row: u32,
    /// A delayed change: when it restarts the application, and one of its files.
    pub(super) delayed: Option<(Time, String)>,
}

impl WatchChanges {
    /// An application has another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(backoff) = self.apps.remove(from) {
            self.apps.insert(to.to_owned(), backoff);
        }
    }
}
