//! Which of several entries for one key applies.

use std::collections::BTreeMap;

use super::{
    keys::{APP_KEYS, find},
    tree::Entry,
    value::{self, Dialect},
};

/// The entry that applies to each key, by the name of the key. In TOML the first one applies, and the others are
/// errors. PM2 reads the name of the key first and then each alias, and skips values that are falsy in JavaScript.
pub(super) fn effective_entries(entries: &[Entry], dialect: Dialect) -> BTreeMap<&'static str, &Entry> {
    let mut words: Vec<_> = entries
        .iter()
        .filter(|entry| !value::is_unset(&entry.node, dialect))
        .filter_map(|entry| Some((find(APP_KEYS, &entry.key)?, entry)))
        .collect();
    if dialect == Dialect::Pm2 {
        words.sort_by_key(|(key, entry)| (value::is_falsy(&entry.node), key.rank(&entry.key)));
    }
    let mut effective = BTreeMap::new();
    for (key, entry) in words {
        effective.entry(key.name).or_insert(entry);
    }
    effective
}
