//! The tree of a file → drafts, by the key table.
//!
//! It knows the forms of a file, and reports unknown and repeated keys. `keys` has the meaning of a key, `value`
//! decodes a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    rc::Rc,
};

use super::{
    apply::{self, Outcome, apply},
    defaults::{self, Defaults},
    deploy,
    document::Document,
    draft::{Draft, RuntimeDraft},
    effective::effective_entries,
    env_file,
    include::{self, Include},
    keys::{APP_KEYS, APPS, CWD, DEFAULTS, INCLUDE, Key, Owner, RUNTIME_KEYS, file_keys, find, words},
    notices::Notices,
    origin::{EnvVar, Origin},
    path::{expand_home, resolve},
    problem::{Problem, Problems},
    suggest::equivalent_key,
    tree::{Entry, Node, Position, SourceLocation, Value, shorten},
    value::{self, Complaint, Decoded, Dialect},
};
use crate::spec::validate::MAX_APPS;

/// One application of a file.
pub(super) struct App {
    pub(super) draft: Draft,
    /// The file that contains the app.
    pub(super) document: Rc<Document>,
    /// The index of the app in that file, from 0.
    pub(super) number: usize,
    /// The position of the app in the file.
    pub(super) at: Option<Position>,
    /// The name in errors: `` app `api` ``, or `app 2` without a name.
    pub(super) label: String,
    /// `script` is set, but its value has an error.
    pub(super) script_refused: bool,
}

/// The contents of one file.
#[derive(Default)]
pub(super) struct File {
    pub(super) runtime: RuntimeDraft,
    pub(super) apps: Vec<App>,
    pub(super) includes: Vec<Include>,
    /// The file should contain apps but contains none.
    pub(super) lacks_apps: bool,
}

/// Decodes one file.
pub(super) struct Decoder<'a> {
    pub(super) document: Rc<Document>,
    /// Another file includes it.
    pub(super) is_included: bool,
    /// The defaults for its apps; the decoder adds those of the file itself.
    pub(super) defaults: Defaults,
    pub(super) environment: &'a BTreeMap<OsString, OsString>,
    /// Keys that a flag unsets: their values in the file are ignored.
    pub(super) unset: &'a BTreeSet<&'static str>,
    pub(super) problems: &'a mut Problems,
    pub(super) notices: &'a mut Notices,
}

/// Keys at the root that configure other commands of PM2.
const PM2_ROOT_KEYS: [&str; 1] = ["deploy"];

/// The URL of the JSON Schema, for editors.
const SCHEMA: &str = "$schema";

impl Decoder<'_> {
    /// Decodes the whole file.
    pub(super) fn root(&mut self, root: &Node) -> File {
        let mut file = File::default();
        match &root.value {
            Value::Table(entries) => self.root_table(root, entries, &mut file),
            Value::List(items) => self.apps(items, &mut file),
            Value::Null | Value::Broken if self.is_included => {}
            Value::Null | Value::Broken => {
                self.problem(None, "the file is empty").hint_into(NO_APPS, self.problems);
            }
            other => {
                let message = format!("must contain a table of apps, not {}", other.describe());
                self.problem(root.at, message).hint_into(NO_APPS, self.problems);
            }
        }
        file
    }

    fn root_table(&mut self, root: &Node, entries: &[Entry], file: &mut File) {
        let list = root
            .get(APPS)
            .or_else(|| if self.document.dialect == Dialect::Pm2 { root.get("pm2") } else { None });
        let is_single_app = list.is_none() && entries.iter().any(|entry| is_script(&entry.key));
        let deploy = deploy::environments(root);
        // A variable overrides the main file. An included file is relative to the main file.
        let is_overridden =
            !self.is_included && matches!(self.document.base_origin, Some(Origin::Environment(_)));
        if let Some(cwd) = root.get(CWD).filter(|_| !is_single_app && !is_overridden) {
            self.root_cwd(cwd);
        }
        if let Some(entry) = root.get(DEFAULTS) {
            let entries = self.file_defaults(entry);
            self.defaults = self.defaults.with(&self.document, entries);
        }
        for entry in entries {
            let key = entry.key.as_str();
            if list.is_some_and(|list| std::ptr::eq(list, entry)) {
                continue;
            }
            let runtime_key = find(RUNTIME_KEYS, key);
            let app_key = is_single_app && (find(APP_KEYS, key).is_some() || key.starts_with("env_"));
            if app_key || [CWD, DEFAULTS].contains(&key) {
                continue;
            }
            if key == INCLUDE {
                self.includes(entry, &mut file.includes);
            } else if let Some(runtime_key) = runtime_key {
                self.runtime(runtime_key, entry, &mut file.runtime);
            } else if PM2_ROOT_KEYS.contains(&key) {
                let place = self.place(entry.at);
                let effect = if key == "deploy" && !deploy.is_empty() {
                    "only the variables in `deploy.<name>.env` are used here, with `--env <name>`"
                } else {
                    "it has no effect"
                };
                self.notices.once(key, || format!("{place}: `{key}` is a key of another tool: {effect}"));
            } else if key == SCHEMA || self.document.dialect == Dialect::Pm2 && key.starts_with("x-") {
                // Editors read it; YAML files keep anchors in `x-` keys.
            } else if !is_single_app {
                self.unknown(entry, "at the root", words(RUNTIME_KEYS).chain(file_keys()), app_hint(key));
            }
        }
        match list.map(|list| (&list.node, &list.node.value)) {
            Some((_, Value::List(items))) => self.apps(items, file),
            Some((node, Value::Table(entries))) => {
                let named =
                    |entry: &Entry| entry.node.entries().is_some() && find(APP_KEYS, &entry.key).is_none();
                if !entries.is_empty() && entries.iter().all(named) {
                    self.problem(node.at, "`apps` must be a list of apps, not a table of them")
                        .hint_into("each app is an element with its own `name`", self.problems);
                } else {
                    self.apps(std::slice::from_ref(node), file);
                }
            }
            Some((node, other)) => {
                let message = format!("`apps` must be a list of apps, not {}", other.describe());
                self.problem(node.at, message).into_problems(self.problems);
            }
            None if is_single_app => {
                let app = self.app(root, entries, 0, true);
                file.apps.push(app);
            }
            None => file.lacks_apps = true,
        }
        for (name, variables) in deploy {
            let node = Node::new(Value::Table(variables), None);
            let Ok(variables) = self.environment(&node) else { continue };
            for app in &mut file.apps {
                // `env_<name>` of an app overrides these variables.
                app.draft.named_envs.insert(0, (name.to_owned(), variables.clone()));
            }
        }
    }

    fn apps(&mut self, items: &[Node], file: &mut File) {
        file.lacks_apps = items.is_empty();
        if items.len() > MAX_APPS {
            let message = format!("{} apps, at most {MAX_APPS} are accepted", items.len());
            self.problem(None, message).into_problems(self.problems);
            return;
        }
        for (number, item) in items.iter().enumerate() {
            let Some(entries) = item.entries() else {
                let message = format!("app {} must be a table, not {}", number + 1, item.value.describe());
                self.problem(item.at, message).into_problems(self.problems);
                continue;
            };
            let app = self.app(item, entries, number, false);
            file.apps.push(app);
        }
    }

    fn app(&mut self, node: &Node, entries: &[Entry], number: usize, at_root: bool) -> App {
        let label = match node.get("name").map(|entry| &entry.node.value) {
            Some(Value::Text(name)) if !name.trim().is_empty() => format!("app `{}`", shorten(name)),
            _ => format!("app {}", number + 1),
        };
        let mut app = self.empty_app(label, number, node.at);
        self.defaults.fill(entries, &self.document, &mut app.draft);
        let effective = effective_entries(entries, self.document.dialect);
        for entry in entries {
            let is_of_file = at_root
                && (find(RUNTIME_KEYS, &entry.key).is_some() || file_keys().any(|key| key == entry.key))
                && find(APP_KEYS, &entry.key).is_none();
            if !is_of_file {
                self.entry_of_app(entry, &effective, &mut app);
            }
        }
        let is_refused =
            |node: &Node| node.value == Value::Broken || !value::is_unset(node, self.document.dialect);
        app.script_refused = app.draft.script.is_none()
            && entries.iter().any(|entry| is_script(&entry.key) && is_refused(&entry.node));
        app
    }

    fn empty_app(&self, label: String, number: usize, at: Option<Position>) -> App {
        let document = self.document.clone();
        App { draft: Draft::default(), document, number, at, label, script_refused: false }
    }

    /// Decodes one entry of an app. Returns whether that succeeded.
    fn entry_of_app(
        &mut self,
        entry: &Entry,
        effective: &BTreeMap<&'static str, &Entry>,
        app: &mut App,
    ) -> bool {
        let Some(key) = find(APP_KEYS, &entry.key) else { return self.other_key(entry, app) };
        if key.name == "env_file" && entry.node.entries().is_some_and(|it| !env_file::is_file(it)) {
            return self.named_env(entry, "file", app);
        }
        if value::is_unset(&entry.node, self.document.dialect) || self.unset.contains(key.name) {
            return false;
        }
        if let Some(effective_entry) =
            effective.get(key.name).filter(|effective_entry| !std::ptr::eq(**effective_entry, entry))
        {
            self.report_repeated_key(entry, effective_entry, &app.label);
            return false;
        }
        self.app_key(key, entry, app)
    }

    /// The entries of `defaults` that an app accepts. Errors and notices of the others are reported.
    fn file_defaults(&mut self, whole: &Entry) -> Vec<Entry> {
        let Some(entries) = whole.node.entries() else {
            let message = format!(
                "`{}` must be a table of keys of an app, not {}",
                whole.key,
                whole.node.value.describe()
            );
            let problem = self.problem(whole.node.at, message);
            self.notices.own_key(problem, "it is ignored", self.document.dialect, self.problems);
            return Vec::new();
        };
        let mut app = self.empty_app(format!("`{DEFAULTS}`"), 0, whole.at);
        let effective = effective_entries(entries, self.document.dialect);
        let mut accepted = Vec::new();
        for entry in entries {
            let known = find(APP_KEYS, &entry.key);
            if let Some(why) = known.and_then(|key| defaults::refusal(key.name)) {
                let message = format!("`{}` cannot be in `{}`: {why}", entry.key, DEFAULTS);
                let problem = self.problem(entry.at, message).hint("put it into the apps");
                self.notices.own_key(problem, "it is ignored", self.document.dialect, self.problems);
            } else if self.entry_of_app(entry, &effective, &mut app) {
                accepted.push(entry.clone());
            }
        }
        accepted
    }

    /// The `cwd` of all apps of this file and of the files that it includes.
    fn root_cwd(&mut self, entry: &Entry) {
        if value::is_unset(&entry.node, self.document.dialect) {
            return;
        }
        match value::full_text(&entry.node) {
            Ok(cwd) => {
                let origin = self.origin(&entry.node);
                let cwd = expand_home(&cwd, self.environment);
                let document = Rc::make_mut(&mut self.document);
                document.base = resolve(&document.base, &cwd);
                document.base_origin = Some(origin);
            }
            Err(complaints) => self.report_complaints(Owner::Procrun, CWD, "", &entry.node, complaints),
        }
    }

    fn includes(&mut self, entry: &Entry, into: &mut Vec<Include>) {
        if value::is_unset(&entry.node, self.document.dialect) {
            return;
        }
        match include::includes(&entry.node) {
            Ok(mut includes) => into.append(&mut includes),
            Err(complaints) => self.report_complaints(Owner::Procrun, INCLUDE, "", &entry.node, complaints),
        }
    }

    fn report_repeated_key(&mut self, entry: &Entry, effective_entry: &Entry, label: &str) {
        let place = self.place(entry.at);
        let message = format!("`{}` in {label} is the same key as `{}`", entry.key, effective_entry.key);
        if self.document.dialect == Dialect::Toml {
            self.problems.push(Problem::at(place, message).hint("set it once"));
        } else if entry.node.value != effective_entry.node.value {
            self.notices.add(format!("{place}: {message}, which applies"));
        }
    }

    fn app_key(
        &mut self,
        key: &'static Key<Draft, crate::spec::AppSpec>,
        entry: &Entry,
        app: &mut App,
    ) -> bool {
        let origin = self.origin(&entry.node);
        let Document { dialect, name, .. } = &*self.document;
        match apply(&key.kind, &entry.node, *dialect, &origin, name, &mut app.draft) {
            Ok(Outcome::Set) => {
                app.draft.origins.insert(key.name, origin);
            }
            Ok(Outcome::Unset) => {}
            Ok(Outcome::Unsupported) => {
                let place = self.place(entry.at).to_string();
                self.notices.of_pm2(key.name, &place);
            }
            Ok(Outcome::Noted(note)) => {
                self.note(entry, &app.label, &note);
            }
            Ok(Outcome::Adjusted(note)) => {
                self.note(entry, &app.label, &note);
                app.draft.origins.insert(key.name, origin);
            }
            Err(complaints) => {
                self.report_complaints(key.owner, &entry.key, &app.label, &entry.node, complaints);
                return false;
            }
        }
        true
    }

    /// `env_<name>`, or an unknown key.
    fn other_key(&mut self, entry: &Entry, app: &mut App) -> bool {
        match entry.key.strip_prefix("env_") {
            Some(name) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                self.named_env(entry, name, app)
            }
            _ => {
                let location = format!("in {}", app.label);
                self.unknown(
                    entry,
                    &location,
                    words(APP_KEYS),
                    root_hint(&entry.key).or_else(|| equivalent_hint(&entry.key)),
                );
                false
            }
        }
    }

    fn named_env(&mut self, entry: &Entry, name: &str, app: &mut App) -> bool {
        if matches!(entry.node.value, Value::Null | Value::Broken) {
            return false;
        }
        if self.document.dialect == Dialect::Pm2 && matches!(entry.node.value, Value::Text(_)) {
            self.note(entry, &app.label, apply::NO_VARIABLE);
            return false;
        }
        match self.environment(&entry.node) {
            Ok(variables) => {
                app.draft.named_envs.push((name.to_owned(), variables));
                true
            }
            Err(complaints) => {
                self.report_complaints(Owner::Pm2, &entry.key, &app.label, &entry.node, complaints);
                false
            }
        }
    }

    fn note(&mut self, entry: &Entry, label: &str, note: &str) {
        let place = self.place(entry.at);
        self.notices.add(format!("{place}: `{}` in {label} {note}", entry.key));
    }

    fn environment(&self, node: &Node) -> Decoded<Vec<EnvVar>> {
        apply::environment(node, &self.origin(node), &self.document.name)
    }

    fn runtime(
        &mut self,
        key: &'static Key<RuntimeDraft, crate::spec::Runtime>,
        entry: &Entry,
        draft: &mut RuntimeDraft,
    ) {
        if value::is_unset(&entry.node, self.document.dialect) {
            return;
        }
        if self.is_included {
            let message =
                format!("`{}` is a setting of procrun itself, and this file is included", entry.key);
            let problem = self.problem(entry.at, message).hint("put it into the main ecosystem file");
            self.notices.own_key(problem, "it is ignored", self.document.dialect, self.problems);
            return;
        }
        let origin = self.origin(&entry.node);
        let Document { dialect, name, .. } = &*self.document;
        match apply(&key.kind, &entry.node, *dialect, &origin, name, draft) {
            Ok(_) => {
                draft.origins.insert(key.name, origin);
            }
            Err(complaints) => self.report_complaints(key.owner, &entry.key, "", &entry.node, complaints),
        }
    }

    fn report_complaints(
        &mut self,
        owner: Owner,
        key: &str,
        label: &str,
        node: &Node,
        complaints: Vec<Complaint>,
    ) {
        let inside = if label.is_empty() { String::new() } else { format!(" in {label}") };
        for Complaint { message, at } in complaints {
            let place = self.place(at.or(node.at));
            let problem = Problem::with_lines(place, &format!("`{key}`{inside} {message}"));
            match owner {
                Owner::Pm2 => self.problems.push(problem),
                Owner::Procrun => {
                    self.notices.own_key(problem, "it is ignored", self.document.dialect, self.problems);
                }
            }
        }
    }

    fn unknown(
        &mut self,
        entry: &Entry,
        location: &str,
        known: impl Iterator<Item = &'static str>,
        hint: Option<String>,
    ) {
        if self.problems.is_full() {
            self.problems.skip_one();
            return;
        }
        let key = shorten(&entry.key);
        let problem = Problem::at(self.place(entry.at), format!("unknown key `{key}` {location}"));
        let problem = match hint {
            Some(hint) => problem.hint(hint),
            None => problem.did_you_mean(&entry.key, known),
        };
        if self.document.dialect == Dialect::Toml {
            self.problems.push(problem);
        } else {
            self.notices.unknown_key(&entry.key, &problem);
        }
    }

    fn place(&self, position: Option<Position>) -> SourceLocation {
        self.document.place(position)
    }

    fn origin(&self, node: &Node) -> Origin {
        Origin::of_node(node, &self.document.name)
    }

    fn problem(&self, at: Option<Position>, message: impl Into<String>) -> Problem {
        Problem::at(self.place(at), message)
    }
}

/// The hint for a file without apps.
pub(super) const NO_APPS: &str =
    "an app is `[[apps]]` in TOML, an element of `apps` elsewhere; it needs a `script`";

fn is_script(key: &str) -> bool {
    find(APP_KEYS, key).is_some_and(|key| key.name == "script")
}

fn app_hint(key: &str) -> Option<String> {
    let key = find(APP_KEYS, key)?;
    Some(match defaults::refusal(key.name) {
        Some(_) => "it is a key of an app: put it under one".to_owned(),
        None => "it is a key of an app: put it under one, or into `defaults` for all".to_owned(),
    })
}

fn root_hint(key: &str) -> Option<String> {
    find(RUNTIME_KEYS, key).map(|_| "it is a setting of procrun itself: put it at the root".to_owned())
}

fn equivalent_hint(key: &str) -> Option<String> {
    equivalent_key(key).map(|known| format!("the key is `{known}` in procrun"))
}

impl Problem {
    fn into_problems(self, problems: &mut Problems) {
        problems.push(self);
    }

    fn hint_into(self, hint: &str, problems: &mut Problems) {
        problems.push(self.hint(hint));
    }
}
