//! The tree of a file → drafts, by way of the key table.
//!
//! It knows the shapes a root may have and what to say about a key that is unknown, twice there,
//! or for later. What a key means is in `keys`, what a value is in `value`.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use super::{
    apply::{self, Outcome, apply},
    draft::{Draft, EnvVar, RuntimeDraft},
    env_file,
    keys::{APP_KEYS, Key, Owner, RUNTIME_KEYS, find, words},
    notices::Notices,
    origin::Origin,
    problem::{Problem, Problems},
    suggest::called_elsewhere,
    tree::{Entry, Node, Place, Position, Value, shorten},
    value::{self, Complaint, Decoded, Dialect},
};

/// The most applications one file may hold.
const MAX_APPS: usize = 1000;

/// One application of a file.
pub(super) struct App {
    pub(super) draft: Draft,
    /// Where it begins.
    pub(super) at: Option<Position>,
    /// What errors call it: `` app `api` ``, or `app 2` if it has no name.
    pub(super) label: String,
    /// A script was said, but it had an error of its own.
    pub(super) script_refused: bool,
}

/// What one file holds.
pub(super) struct File {
    pub(super) runtime: RuntimeDraft,
    pub(super) apps: Vec<App>,
}

/// Decodes one file.
pub(super) struct Decoder<'a> {
    pub(super) file: Arc<str>,
    pub(super) dialect: Dialect,
    /// Keys whose values in the file do not count, because a flag unsets them.
    pub(super) unset: &'a BTreeSet<&'static str>,
    pub(super) problems: &'a mut Problems,
    pub(super) notices: &'a mut Notices,
}

/// Keys at the root that belong to PM2's other commands.
const PM2_ROOT_KEYS: [&str; 2] = ["deploy", "$schema"];

impl Decoder<'_> {
    /// Everything a file says.
    pub(super) fn root(&mut self, root: &Node) -> File {
        let mut file = File { runtime: RuntimeDraft::default(), apps: Vec::new() };
        match &root.value {
            Value::Table(entries) => self.root_table(root, entries, &mut file),
            Value::List(items) => self.apps(items, &mut file),
            Value::Null | Value::Broken => {
                self.wrong(None, "the file is empty").hint_into(NO_APPS, self.problems);
            }
            other => {
                let message = format!("must hold a table of apps, not {}", other.describe());
                self.wrong(root.at, message).hint_into(NO_APPS, self.problems);
            }
        }
        file
    }

    fn root_table(&mut self, root: &Node, entries: &[Entry], file: &mut File) {
        let list =
            root.get("apps").or_else(|| if self.dialect == Dialect::Pm2 { root.get("pm2") } else { None });
        let alone = list.is_none() && entries.iter().any(|entry| is_script(&entry.key));
        let deploy = deploy_environments(root);
        for entry in entries {
            let key = entry.key.as_str();
            if list.is_some_and(|list| std::ptr::eq(list, entry)) {
                continue;
            }
            let runtime_key = find(RUNTIME_KEYS, key);
            let app_key = alone && (find(APP_KEYS, key).is_some() || key.starts_with("env_"));
            if app_key {
                continue;
            }
            if let Some(runtime_key) = runtime_key {
                self.runtime(runtime_key, entry, &mut file.runtime);
            } else if PM2_ROOT_KEYS.contains(&key) {
                let place = self.place(entry.at);
                let effect = if key == "deploy" && !deploy.is_empty() {
                    "only the variables in `deploy.<name>.env` count here, with `--env <name>`"
                } else {
                    "it has no effect here"
                };
                self.notices.once(key, || format!("{place}: `{key}` is for other tools: {effect}"));
            } else if self.dialect == Dialect::Pm2 && key.starts_with("x-") {
                // Where YAML files keep what they refer to.
            } else if !alone {
                self.unknown(entry, "at the root", words(RUNTIME_KEYS).chain(["apps"]), app_hint(key));
            }
        }
        match list.map(|list| (&list.node, &list.node.value)) {
            Some((_, Value::List(items))) => self.apps(items, file),
            Some((node, Value::Table(entries))) => {
                let named =
                    |entry: &Entry| entry.node.entries().is_some() && find(APP_KEYS, &entry.key).is_none();
                if !entries.is_empty() && entries.iter().all(named) {
                    self.wrong(node.at, "`apps` must be a list of apps, not a table of them")
                        .hint_into("each app is an element with its own `name`", self.problems);
                } else {
                    self.apps(std::slice::from_ref(node), file);
                }
            }
            Some((node, other)) => {
                let message = format!("`apps` must be a list of apps, not {}", other.describe());
                self.wrong(node.at, message).into_problems(self.problems);
            }
            None if alone => {
                let app = self.app(root, entries, 0, true);
                file.apps.push(app);
            }
            None => self.wrong(None, "no apps in it").hint_into(NO_APPS, self.problems),
        }
        for (name, variables) in deploy {
            let node = Node::new(Value::Table(variables), None);
            let Ok(variables) = self.environment(&node) else { continue };
            for app in &mut file.apps {
                // `env_<name>` of an app comes later and wins.
                app.draft.named_envs.insert(0, (name.to_owned(), variables.clone()));
            }
        }
    }

    fn apps(&mut self, items: &[Node], file: &mut File) {
        if items.is_empty() {
            self.wrong(None, "no apps in it").hint_into(NO_APPS, self.problems);
        }
        if items.len() > MAX_APPS {
            let message = format!("{} apps, at most {MAX_APPS} are taken", items.len());
            self.wrong(None, message).into_problems(self.problems);
            return;
        }
        for (number, item) in items.iter().enumerate() {
            let Some(entries) = item.entries() else {
                let message = format!("app {} must be a table, not {}", number + 1, item.value.describe());
                self.wrong(item.at, message).into_problems(self.problems);
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
        let mut app = App { draft: Draft::default(), at: node.at, label, script_refused: false };
        let effective = effective_words(entries, self.dialect);
        for entry in entries {
            let Some(key) = find(APP_KEYS, &entry.key) else {
                if at_root && find(RUNTIME_KEYS, &entry.key).is_some() {
                    continue;
                }
                self.other_key(entry, &mut app);
                continue;
            };
            if key.name == "env_file" && entry.node.entries().is_some_and(|it| !env_file::is_file(it)) {
                self.named_env(entry, "file", &mut app);
                continue;
            }
            if value::is_unset(&entry.node, self.dialect) || self.unset.contains(key.name) {
                continue;
            }
            if let Some(counts) = effective.get(key.name).filter(|counts| !std::ptr::eq(**counts, entry)) {
                self.said_twice(entry, counts, &app.label);
                continue;
            }
            self.app_key(key, entry, &mut app);
        }
        app.script_refused = app.draft.script.is_none()
            && entries.iter().any(|entry| is_script(&entry.key) && entry.node.value != Value::Null);
        app
    }

    fn said_twice(&mut self, entry: &Entry, counts: &Entry, label: &str) {
        let place = self.place(entry.at);
        let message = format!("`{}` in {label} is the same key as `{}`", entry.key, counts.key);
        if self.dialect == Dialect::Toml {
            self.problems.push(Problem::at(place, message).hint("say it once"));
        } else if entry.node.value != counts.node.value {
            self.notices.add(format!("{place}: {message}, which counts"));
        }
    }

    fn app_key(&mut self, key: &'static Key<Draft, crate::spec::AppSpec>, entry: &Entry, app: &mut App) {
        let origin = self.origin(&entry.node);
        match apply(&key.kind, &entry.node, self.dialect, &origin, &self.file, &mut app.draft) {
            Ok(Outcome::Set) => {
                app.draft.origins.insert(key.name, origin);
            }
            Ok(Outcome::Unset) => {}
            Ok(Outcome::OfPm2) => {
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
            Err(complaints) => self.complain(key.owner, &entry.key, &app.label, &entry.node, complaints),
        }
    }

    /// `env_<name>`, or a key nobody knows.
    fn other_key(&mut self, entry: &Entry, app: &mut App) {
        match entry.key.strip_prefix("env_") {
            Some(name) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                self.named_env(entry, name, app);
            }
            _ => {
                let whereabouts = format!("in {}", app.label);
                self.unknown(
                    entry,
                    &whereabouts,
                    words(APP_KEYS),
                    root_hint(&entry.key).or_else(|| hint_of_elsewhere(&entry.key)),
                );
            }
        }
    }

    fn named_env(&mut self, entry: &Entry, name: &str, app: &mut App) {
        if matches!(entry.node.value, Value::Null | Value::Broken) {
            return;
        }
        if self.dialect == Dialect::Pm2 && matches!(entry.node.value, Value::Text(_)) {
            self.note(entry, &app.label, apply::NO_VARIABLE);
            return;
        }
        match self.environment(&entry.node) {
            Ok(variables) => app.draft.named_envs.push((name.to_owned(), variables)),
            Err(complaints) => {
                self.complain(Owner::Pm2, &entry.key, &app.label, &entry.node, complaints);
            }
        }
    }

    fn note(&mut self, entry: &Entry, label: &str, note: &str) {
        let place = self.place(entry.at);
        self.notices.add(format!("{place}: `{}` in {label} {note}", entry.key));
    }

    fn environment(&self, node: &Node) -> Decoded<Vec<EnvVar>> {
        apply::environment(node, &self.origin(node), &self.file)
    }

    fn runtime(
        &mut self,
        key: &'static Key<RuntimeDraft, crate::spec::Runtime>,
        entry: &Entry,
        draft: &mut RuntimeDraft,
    ) {
        if value::is_unset(&entry.node, self.dialect) {
            return;
        }
        let origin = self.origin(&entry.node);
        match apply(&key.kind, &entry.node, self.dialect, &origin, &self.file, draft) {
            Ok(_) => {
                draft.origins.insert(key.name, origin);
            }
            Err(complaints) => self.complain(key.owner, &entry.key, "", &entry.node, complaints),
        }
    }

    fn complain(&mut self, owner: Owner, key: &str, label: &str, node: &Node, complaints: Vec<Complaint>) {
        let inside = if label.is_empty() { String::new() } else { format!(" in {label}") };
        for Complaint { message, at } in complaints {
            let place = self.place(at.or(node.at));
            let problem = Problem::with_lines(place, &format!("`{key}`{inside} {message}"));
            match owner {
                Owner::Pm2 => self.problems.push(problem),
                Owner::Procrun => {
                    self.notices.own_key(problem, "it is ignored", self.dialect, self.problems);
                }
            }
        }
    }

    fn unknown(
        &mut self,
        entry: &Entry,
        whereabouts: &str,
        known: impl Iterator<Item = &'static str>,
        hint: Option<String>,
    ) {
        if self.problems.is_full() {
            self.problems.skip_one();
            return;
        }
        let key = shorten(&entry.key);
        let problem = Problem::at(self.place(entry.at), format!("unknown key `{key}` {whereabouts}"));
        let problem = match hint {
            Some(hint) => problem.hint(hint),
            None => problem.did_you_mean(&entry.key, known),
        };
        if self.dialect == Dialect::Toml {
            self.problems.push(problem);
        } else {
            self.notices.unknown_key(&entry.key, &problem);
        }
    }

    fn place(&self, position: Option<Position>) -> Place {
        Place { file: self.file.clone(), position }
    }

    fn origin(&self, node: &Node) -> Origin {
        origin(node, &self.file)
    }

    fn wrong(&self, at: Option<Position>, message: impl Into<String>) -> Problem {
        Problem::at(self.place(at), message)
    }
}

/// The variables in `deploy.<name>.env` at the root, by name. PM2 gives them to each app with `--env <name>`:
/// they win over `env`, and `env_<name>` wins over them. It drops values that are no scalars.
pub(super) fn deploy_environments(root: &Node) -> Vec<(&str, Vec<Entry>)> {
    let targets = root.get("deploy").and_then(|deploy| deploy.node.entries()).unwrap_or_default();
    let variables = |target: &'_ Entry| {
        let entries = target.node.get("env")?.node.entries()?;
        let is_scalar = |entry: &&Entry| {
            !matches!(entry.node.value, Value::Null | Value::Broken | Value::List(_) | Value::Table(_))
        };
        Some(entries.iter().filter(is_scalar).cloned().collect())
    };
    targets.iter().filter_map(|target| Some((target.key.as_str(), variables(target)?))).collect()
}

/// Of several words for one key, the entry that counts. In TOML that is the first one, and the others are
/// errors. PM2 takes the key's own name, then each alias, and goes on as long as JavaScript holds the value
/// for false.
pub(super) fn effective_words(entries: &[Entry], dialect: Dialect) -> BTreeMap<&'static str, &Entry> {
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

const NO_APPS: &str = "an app is `[[apps]]` in TOML, an element of `apps` elsewhere; it needs a `script`";

fn is_script(key: &str) -> bool {
    find(APP_KEYS, key).is_some_and(|key| key.name == "script")
}

fn app_hint(key: &str) -> Option<String> {
    find(APP_KEYS, key).map(|_| "it is a key of an app: put it under one".to_owned())
}

fn root_hint(key: &str) -> Option<String> {
    find(RUNTIME_KEYS, key).map(|_| "it is a setting of procrun itself: put it at the root".to_owned())
}

fn hint_of_elsewhere(key: &str) -> Option<String> {
    called_elsewhere(key).map(|known| format!("that is `{known}` here"))
}

impl Problem {
    fn into_problems(self, problems: &mut Problems) {
        problems.push(self);
    }

    fn hint_into(self, hint: &str, problems: &mut Problems) {
        problems.push(self.hint(hint));
    }
}

fn origin(node: &Node, file: &Arc<str>) -> Origin {
    let place = Place { file: file.clone(), position: node.at };
    if node.expanded.is_empty() {
        Origin::File(place)
    } else {
        let unique: BTreeSet<&String> = node.expanded.iter().collect();
        Origin::Expanded(place, unique.into_iter().cloned().collect())
    }
}
