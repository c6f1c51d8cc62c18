//! `defaults`: values for all apps of a file and of the files that it includes.
//!
//! A value of an app replaces the default of the same key. Variables (`env`, `env_<name>`) are merged one by one.

use std::{collections::BTreeSet, path::Path, rc::Rc};

use super::{
    apply::{self, Outcome, apply},
    document::Document,
    draft::Draft,
    effective::effective_entries,
    keys::{APP_KEYS, find},
    origin::Origin,
    path::resolve,
    tree::Entry,
};

/// Keys that only one app can have.
const KEYS_OF_ONE_APP: [&str; 2] = ["name", "script"];

/// Keys that exclude each other: an app that sets one of them ignores the default of the others.
const EXCLUSIVE_KEYS: [&[&str]; 4] = [
    &["restart_delay", "exp_backoff_restart_delay"],
    &["on_errored", "critical", "ends_container"],
    &["time", "log_date_format"],
    &["source_map_support", "disable_source_map_support"],
];

/// Why a key, by its name in the key table, cannot be a default.
pub(super) fn refusal(key: &str) -> Option<&'static str> {
    KEYS_OF_ONE_APP.contains(&key).then_some("each app has its own")
}

/// The defaults of one file. Each entry has been decoded once without an error.
#[derive(Debug)]
struct Layer {
    document: Rc<Document>,
    entries: Vec<Entry>,
}

/// The defaults that apply to a file: its own and those of the files that include it.
#[derive(Debug, Clone, Default)]
pub(super) struct Defaults {
    /// From the outermost file to the innermost: a later layer overrides an earlier one.
    layers: Vec<Rc<Layer>>,
}

impl Defaults {
    /// These defaults with those of an included file, which override.
    pub(super) fn with(&self, document: &Rc<Document>, entries: Vec<Entry>) -> Self {
        let mut layers = self.layers.clone();
        layers.push(Rc::new(Layer { document: document.clone(), entries }));
        Self { layers }
    }

    /// Stores the defaults for an app of the file `of` with the entries `own` in `draft`. The app's own values are
    /// stored afterwards.
    pub(super) fn fill(&self, own: &[Entry], of: &Document, draft: &mut Draft) {
        let mut set_keys = keys_in(own, of);
        let is_port = |entry: &Entry| entry.key == "PORT";
        let env = own.iter().find(|entry| entry.key == "env");
        if env.and_then(|env| env.node.entries()).is_some_and(|variables| variables.iter().any(is_port)) {
            set_keys.insert("port");
        }
        // From the innermost file outwards.
        let mut layers = Vec::new();
        for layer in self.layers.iter().rev() {
            let entries: Vec<&Entry> =
                layer.entries.iter().filter(|entry| !is_set(entry, &set_keys)).collect();
            layers.push((&layer.document, entries));
            set_keys.extend(keys_in(&layer.entries, &layer.document));
        }
        for (document, entries) in layers.into_iter().rev() {
            for entry in entries {
                apply_default(entry, document, draft);
            }
            // Paths of this file stay relative to this file in the apps of other files.
            if document.name != of.name {
                make_paths_absolute(document, draft);
            }
        }
    }
}

/// The keys of these entries by their names in the key table, with the keys that they exclude.
fn keys_in(entries: &[Entry], document: &Document) -> BTreeSet<&'static str> {
    let mut keys: BTreeSet<&'static str> = effective_entries(entries, document.dialect).into_keys().collect();
    for exclusive in EXCLUSIVE_KEYS {
        if exclusive.iter().any(|key| keys.contains(key)) {
            keys.extend(exclusive);
        }
    }
    // Variables are merged.
    keys.remove("env");
    keys
}

fn is_set(entry: &Entry, set_keys: &BTreeSet<&'static str>) -> bool {
    find(APP_KEYS, &entry.key).is_some_and(|key| set_keys.contains(key.name))
}

/// Makes the relative paths of a file absolute.
fn make_paths_absolute(document: &Document, draft: &mut Draft) {
    let make_absolute = |base: &Path, path: &mut String| {
        if !path.starts_with('~') {
            *path = resolve(base, Path::new(path)).to_string_lossy().into_owned();
        }
    };
    if let Some(cwd) = &mut draft.cwd {
        make_absolute(&document.base, cwd);
    }
    for file in &mut draft.env_files {
        make_absolute(&document.dir, &mut file.path);
    }
}

/// Stores one default in a draft. Its errors and notices were reported when its file was decoded.
fn apply_default(entry: &Entry, document: &Document, draft: &mut Draft) {
    let origin = Origin::of_node(&entry.node, &document.name);
    match find(APP_KEYS, &entry.key) {
        Some(key) => {
            let outcome = apply(&key.kind, &entry.node, document.dialect, &origin, &document.name, draft);
            if let Ok(Outcome::Set | Outcome::Adjusted(_)) = outcome {
                draft.origins.insert(key.name, origin);
            }
        }
        None => {
            if let (Some(name), Ok(variables)) =
                (entry.key.strip_prefix("env_"), apply::environment(&entry.node, &origin, &document.name))
            {
                draft.named_envs.push((name.to_owned(), variables));
            }
        }
    }
}
