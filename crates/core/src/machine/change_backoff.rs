//! The backoff of restarts for changes of watched files.
//!
//! An application that writes a watched file at each start would restart for ever. So the restart is delayed for
//! changes soon after a start.

use std::{collections::BTreeMap, time::Duration};

use super::time::Time;

/// A change within this time of a start may be made by the application itself.
pub(super) const RESTART_LOOP_WINDOW: Duration = Duration::from_secs(5);

/// The initial delay of the backoff.
pub(super) const INITIAL_DELAY: Duration = Duration::from_millis(100);

/// The backoff of each application, by name.
#[derive(Debug, Default)]
pub(super) struct WatchChanges {
    pub(super) apps: BTreeMap<String, ChangeBackoff>,
    /// Distinguishes armed timers.
    pub(super) timers: u64,
}

/// The backoff of one application.
#[derive(Debug, Default)]
pub(super) struct ChangeBackoff {
    /// When a change last restarted it.
    pub(super) last_restart: Time,
    /// Changes in a row that came soon after a start.
    pub(super) in_a_row: u32,
    /// A delayed restart: its time, and the path of one changed file.
    pub(super) delayed: Option<(Time, String)>,
}

impl WatchChanges {
    /// An application gets another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(backoff) = self.apps.remove(from) {
            self.apps.insert(to.to_owned(), backoff);
        }
    }
}
