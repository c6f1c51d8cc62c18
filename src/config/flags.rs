//! What was said on the command line, in terms of the key table.
//!
//! It knows no flag by name: `cli` says which key each of its flags speaks for.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    apply::{Outcome, apply},
    draft::{Draft, RuntimeDraft},
    keys::{APP_KEYS, RUNTIME_KEYS, find},
    notices::Notices,
    origin::Origin,
    problem::{EX_USAGE, Problem, Problems},
    tree::{Node, Value},
    value::{self, Complaint, Dialect},
};

/// The value of a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagValue {
    /// The flag stands for true or false.
    Switch(bool),
    /// The flag was given this.
    Text(String),
    /// The flag was given a time, in seconds unless it has a unit.
    Seconds(String),
    /// The flag was given these.
    List(Vec<String>),
}

impl FlagValue {
    fn is_null(&self) -> bool {
        match self {
            Self::Switch(_) => false,
            Self::Text(text) | Self::Seconds(text) => text == "null",
            Self::List(texts) => texts.len() == 1 && texts[0] == "null",
        }
    }
}

#[derive(Debug, Clone)]
struct Override {
    key: &'static str,
    flag: &'static str,
    node: Node,
}

impl Override {
    /// Whether it sets its key; `null` unsets it.
    fn sets(&self) -> bool {
        self.node.value != Value::Null
    }
}

/// What was said on the command line: keys that override the file's, and which part of the file
/// is meant.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    overrides: Vec<Override>,
    /// What is wrong with a value whatever its key is.
    refused: Vec<Problem>,
    /// `--only`: the names of the apps to run; empty is all.
    pub only: Vec<String>,
    /// `--env`: which `env_<name>` to take.
    pub env_name: Option<String>,
    /// Flags that have no effect yet or here, with what is to be said about each.
    pub notices: Vec<String>,
}

impl Flags {
    /// Whether there is such a key.
    pub fn knows(key: &str) -> bool {
        find(APP_KEYS, key).is_some() || find(RUNTIME_KEYS, key).is_some()
    }

    /// Records that `flag` gives `key` this value. The key is one of the key table's. The text `null` unsets
    /// the key, as in PM2: neither an earlier flag nor the file has set it then.
    pub fn set(&mut self, key: &'static str, flag: &'static str, value: FlagValue) {
        let value = match value {
            value if value.is_null() => {
                self.overrides.retain(|over| over.key != key);
                Value::Null
            }
            FlagValue::Switch(on) => Value::Bool(on),
            FlagValue::Text(text) => Value::Text(text),
            FlagValue::Seconds(text) => match value::seconds(&Node::new(Value::Text(text), None)) {
                Ok(duration) => Value::Text(format!("{}ms", duration.as_millis())),
                Err(complaints) => {
                    self.refused.extend(complaints.into_iter().map(|complaint| wrong(flag, &complaint)));
                    return;
                }
            },
            FlagValue::List(texts) => {
                Value::List(texts.into_iter().map(|text| Node::new(Value::Text(text), None)).collect())
            }
        };
        self.overrides.push(Override { key, flag, node: Node::new(value, None) });
    }

    /// Checks every value, so that a wrong flag is a usage error whatever the file says.
    ///
    /// # Errors
    /// All values that are wrong; exit code 64.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::none(EX_USAGE);
        for problem in &self.refused {
            problems.push(problem.clone());
        }
        let (mut app, mut runtime) = (Draft::default(), RuntimeDraft::default());
        self.apply_to_app(&mut app, &mut Notices::default(), &mut problems);
        self.apply_to_runtime(&mut runtime, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The text a flag gives to a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.overrides.iter().rev().find(|over| over.key == key).and_then(|over| match &over.node.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The flags that are about procrun itself.
    pub fn of_runtime(&self) -> impl Iterator<Item = &'static str> {
        self.said().filter(|(key, _)| find(APP_KEYS, key).is_none()).map(|(_, flag)| flag)
    }

    /// The keys that were said, each with its flag.
    pub(super) fn said(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.overrides.iter().map(|over| (over.key, over.flag))
    }

    /// The flag that gives this key a value.
    pub(super) fn says(&self, key: &str) -> Option<&'static str> {
        let sets = |over: &&Override| over.key == key && over.sets();
        self.overrides.iter().find(sets).map(|over| over.flag)
    }

    /// The keys, by their names in the key table, that a flag unsets: their values in a file are ignored.
    pub(super) fn unset_keys(&self) -> BTreeSet<&'static str> {
        let unset = self.overrides.iter().filter(|over| !over.sets());
        unset.filter_map(|over| Some(find(APP_KEYS, over.key)?.name)).collect()
    }

    /// Whether this key is a flag that was given without a value.
    pub(super) fn is_switch(&self, key: &str) -> bool {
        self.overrides.iter().any(|over| over.key == key && over.node.value == Value::Bool(true))
    }

    pub(super) fn apply_to_app(&self, draft: &mut Draft, notices: &mut Notices, problems: &mut Problems) {
        for Override { key, flag, node } in self.overrides.iter().filter(|over| over.sets()) {
            let Some(known) = find(APP_KEYS, key) else { continue };
            let origin = Origin::Flag(flag);
            match apply(&known.kind, node, Dialect::Flag, &origin, &Arc::from(""), draft) {
                Ok(Outcome::Set) => {
                    draft.origins.insert(known.name, origin);
                }
                Ok(Outcome::Adjusted(note)) => {
                    notices.add(format!("`{flag}` {note}"));
                    draft.origins.insert(known.name, origin);
                }
                Ok(Outcome::Unsupported) => notices.of_pm2(known.name, flag),
                Ok(_) => {}
                Err(complaints) => {
                    for complaint in complaints {
                        problems.push(wrong(flag, &complaint));
                    }
                }
            }
        }
    }

    pub(super) fn apply_to_runtime(&self, draft: &mut RuntimeDraft, problems: &mut Problems) {
        for Override { key, flag, node } in self.overrides.iter().filter(|over| over.sets()) {
            // A key that both have (`time`) is the app's when it comes from a flag.
            if find(APP_KEYS, key).is_some() {
                continue;
            }
            let Some(known) = find(RUNTIME_KEYS, key) else { continue };
            let origin = Origin::Flag(flag);
            match apply(&known.kind, node, Dialect::Flag, &origin, &Arc::from(""), draft) {
                Ok(_) => {
                    draft.origins.insert(known.name, origin);
                }
                Err(complaints) => {
                    for complaint in complaints {
                        problems.push(wrong(flag, &complaint));
                    }
                }
            }
        }
    }
}

fn wrong(flag: &str, complaint: &Complaint) -> Problem {
    Problem::new(format!("`{flag}` {}", complaint.message))
}
