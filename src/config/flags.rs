//! The flags of a command line as values of keys.
//!
//! It knows no flag by name: the rows of the key table have the options that set them.

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
    /// A flag without a value: true or false.
    Switch(bool),
    /// A flag with a string.
    Text(String),
    /// A flag with a time, in seconds unless it has a unit.
    Seconds(String),
    /// A flag with a list.
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
    /// Whether the flag sets its key; `null` unsets it.
    fn sets(&self) -> bool {
        self.node.value != Value::Null
    }
}

/// The keys that flags set, which override those of the file, and the selection of apps and variables.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    overrides: Vec<Override>,
    /// Values that are wrong for every key.
    refused: Vec<Problem>,
    /// `--only`: the names of the selected apps. Empty: all.
    pub only: Vec<String>,
    /// `--env`: the name of `env_<name>`.
    pub env_name: Option<String>,
    /// Notices about flags without effect.
    pub notices: Vec<String>,
}

impl Flags {
    /// Records that `flag` sets `key`, which is in the key table, to this value. As in PM2 the string `null` unsets
    /// the key, whatever an earlier flag or the file sets.
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

    /// Checks every value. A wrong flag is a usage error, whatever the file contains.
    ///
    /// # Errors
    ///
    /// All wrong values; exit code 64.
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

    /// The string that a flag sets for a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.overrides.iter().rev().find(|over| over.key == key).and_then(|over| match &over.node.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The flags that set procrun's own settings.
    pub fn of_runtime(&self) -> impl Iterator<Item = &'static str> {
        self.set_keys().filter(|(key, _)| find(APP_KEYS, key).is_none()).map(|(_, flag)| flag)
    }

    /// The keys that are set, each with its flag.
    pub(super) fn set_keys(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.overrides.iter().map(|over| (over.key, over.flag))
    }

    /// The flag that sets this key.
    pub(super) fn flag_of(&self, key: &str) -> Option<&'static str> {
        let sets = |over: &&Override| over.key == key && over.sets();
        self.overrides.iter().find(sets).map(|over| over.flag)
    }

    /// The keys that a flag unsets, by their names in the key table. Their values in a file are ignored.
    pub(super) fn unset_keys(&self) -> BTreeSet<&'static str> {
        let unset = self.overrides.iter().filter(|over| !over.sets());
        unset.filter_map(|over| Some(find(APP_KEYS, over.key)?.name)).collect()
    }

    /// Whether a flag without a value sets this key.
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
            // A flag for a key of both tables (`time`) sets the key of apps.
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
