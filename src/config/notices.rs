//! Notices about a configuration that is valid.

use std::collections::BTreeSet;

use super::{
    problem::{Problem, Problems},
    value::Dialect,
};

/// The maximum number of reported notices.
const MAX_SHOWN: usize = 100;

/// Collects notices. A notice about the same topic is reported once.
#[derive(Debug, Default)]
pub(super) struct Notices {
    list: Vec<String>,
    reported: BTreeSet<String>,
    /// The place of the first key that only PM2 uses, and all such keys.
    of_pm2: Option<(String, Vec<String>)>,
}

impl Notices {
    pub(super) fn add(&mut self, notice: String) {
        if self.list.len() < MAX_SHOWN {
            self.list.push(notice);
        }
    }

    /// Adds a notice unless there is one about this `topic`.
    pub(super) fn once(&mut self, topic: &str, notice: impl FnOnce() -> String) {
        if self.reported.insert(topic.to_owned()) {
            self.add(notice());
        }
    }

    /// Records a key that only PM2 uses. All of them are reported in one line, because a file may have many.
    pub(super) fn of_pm2(&mut self, key: &str, place: &str) {
        if self.reported.insert(key.to_owned()) {
            let (_, keys) = self.of_pm2.get_or_insert_with(|| (place.to_owned(), Vec::new()));
            keys.push(format!("`{key}`"));
        }
    }

    /// Records an unknown key in a file that must run nevertheless.
    pub(super) fn unknown_key(&mut self, key: &str, problem: &Problem) {
        self.once(key, || problem.one_line());
    }

    /// Records as a notice what is an error in TOML.
    pub(super) fn problem(&mut self, problem: &Problem) {
        self.add(problem.one_line());
    }

    /// Records an error in one of procrun's own keys: an error in TOML, but a warning with its consequence in PM2's
    /// formats. PM2 ignores these keys, and an app that starts there must start here.
    pub(super) fn own_key(
        &mut self,
        problem: Problem,
        consequence: &str,
        dialect: Dialect,
        problems: &mut Problems,
    ) {
        match dialect {
            Dialect::Toml | Dialect::Flag => problems.push(problem),
            Dialect::Pm2 => {
                let message = format!("{}; {consequence}", problem.message);
                self.problem(&Problem { message, ..problem });
            }
        }
    }

    pub(super) fn into_list(mut self) -> Vec<String> {
        if let Some((place, keys)) = self.of_pm2.take() {
            self.add(match keys.split_last() {
                Some((last, [])) => {
                    format!("{place}: {last} has no effect: procrun does not have this feature of PM2")
                }
                Some((last, others)) => {
                    let others = others.join(", ");
                    format!("{place}: {others} and {last} have no effect: procrun does not have these features of PM2")
                }
                None => unreachable!("a place comes with a key"),
            });
        }
        self.list
    }
}
