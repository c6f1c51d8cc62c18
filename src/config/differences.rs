//! The keys in which two versions of an application differ, with their values.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    keys::{APP_KEYS, all, changed_keys},
    origin::is_secret,
};
use crate::spec::AppSpec;

/// A key whose value differs; secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key, or `env.NAME` for a variable.
    pub key: String,
    /// The old value. `None`: the key was not set.
    pub old: Option<String>,
    /// The new value. `None`: the key is not set.
    pub new: Option<String>,
}

const MASK: &str = "********";

/// The keys in which two versions of an application differ, in the order of the key table. Variables come last.
pub fn differences(old: &AppSpec, new: &AppSpec) -> Vec<Difference> {
    let of_keys = all(APP_KEYS).filter_map(|key| {
        let (was, is) = ((key.show)(old), (key.show)(new));
        (was != is).then(|| Difference { key: key.name.to_owned(), old: was, new: is })
    });
    let mut differences: Vec<Difference> =
        of_keys.chain(variables("env", &old.env.vars, &new.env.vars)).collect();
    let nothing = BTreeMap::new();
    let caller = |app: &AppSpec| app.env.caller.clone();
    if caller(old) != caller(new) {
        let (was, is) = (caller(old), caller(new));
        let of = |caller: &Option<std::sync::Arc<BTreeMap<String, String>>>| {
            caller.as_deref().unwrap_or(&nothing).clone()
        };
        differences.extend(variables("inherited", &of(&was), &of(&is)));
    }
    if differences.is_empty() {
        // A difference that no key shows has a name too.
        differences.extend(changed_keys(old, new).into_iter().map(|key| Difference {
            key: key.to_owned(),
            old: Some("unchanged".to_owned()),
            new: Some("changed".to_owned()),
        }));
    }
    differences
}

fn variables<'a>(
    of: &'a str,
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = Difference> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).map(move |name| {
        let masked = |value: &String| if is_secret(name, value) { MASK.to_owned() } else { value.clone() };
        Difference {
            key: format!("{of}.{name}"),
            old: old.get(name).map(masked),
            new: new.get(name).map(masked),
        }
    })
}
