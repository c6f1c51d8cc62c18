//! A file of PM2's → TOML that means the same, with the keys as their author wrote them and in
//! their order.
//!
//! It converts the tree, not the plan: defaults are not written. What TOML's stricter reader
//! would refuse or read otherwise is written as PM2 means it; what has no effect here is left out,
//! and said. The text is read back, and only one that gives the same plan is handed out. It writes
//! no file.

mod same;
mod values;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use self::values::Counts;
use super::{
    Loaded, Problem, Problems, Source, apply,
    apply::Outcome,
    decode::{self, effective_words},
    defaults, dotenv,
    draft::{Draft, RuntimeDraft},
    env_file, file,
    include::{self, Include},
    keys::{APP_KEYS, CWD, DEFAULTS, INCLUDE, Key, Kind, RUNTIME_KEYS, find, words},
    notices::Notices,
    origin::{AppSettings, Origin, Setting},
    path::{expand_home, resolve},
    target::{Format, Target},
    tree::{Entry, Node, SourceLocation, Value},
    value::{self, Dialect},
    watching, write,
};
use crate::{
    program,
    spec::{AppSpec, ProgramKind, TerminationLog},
};

/// A TOML file that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Its text.
    pub text: String,
    /// What of the file is not in it, and what is worth a look.
    pub notes: Vec<String>,
}

/// A table of its own, such as `[apps.env]`: its key and its lines.
type Section = (String, Vec<String>);

/// One application on its way.
#[derive(Default)]
struct App {
    draft: Draft,
    /// Keys and values as they are written.
    lines: Vec<(String, String)>,
    sections: Vec<Section>,
    /// The variables whose values look like secrets and stand in plain.
    secrets: Vec<String>,
}

struct Converter<'a> {
    source: &'a Source,
    /// The directory the TOML file will be in.
    to: &'a Path,
    process_env: &'a [(String, String)],
    /// `.env` of the caller's directory, if the file's `process.env` holds just that.
    dotenv: Option<PathBuf>,
    loaded: &'a Loaded,
    file: Arc<str>,
    notes: Notices,
}

/// Converts the tree of what has been loaded, for a TOML file at the absolute path `to`.
pub(super) fn convert(
    source: &Source,
    root: &Node,
    to: &Path,
    process_env: &[(String, String)],
    loaded: &Loaded,
) -> Result<Conversion, Problems> {
    let mut converter = Converter {
        source,
        to: to.parent().unwrap_or(Path::new("/")),
        process_env,
        dotenv: dotenv_behind(process_env, &source.0.cwd),
        loaded,
        file: source.name().into(),
        notes: Notices::default(),
    };
    let text = converter.root(root);
    converter.rejections();
    same::same_meaning(source, &text, to, loaded)?;
    Ok(Conversion { text, notes: converter.notes.into_list() })
}

/// The `.env` that a `require('dotenv').config()` has read, if that is all the file did to its
/// `process.env`.
fn dotenv_behind(process_env: &[(String, String)], cwd: &Path) -> Option<PathBuf> {
    if process_env.is_empty() {
        return None;
    }
    let path = cwd.join(".env");
    let (variables, _) = dotenv::parse(&file::read(&path).ok()?);
    let said: BTreeMap<_, _> =
        variables.into_iter().map(|variable| (variable.name, variable.value)).collect();
    let set: BTreeMap<_, _> = process_env.iter().cloned().collect();
    (said == set).then_some(path)
}

impl Converter<'_> {
    fn root(&mut self, root: &Node) -> String {
        let mut lines = Vec::new();
        let mut apps: &[Node] = std::slice::from_ref(root);
        let mut at_root = false;
        if let Value::List(items) = &root.value {
            apps = items;
        } else {
            let list = root.get("apps").or_else(|| root.get("pm2"));
            match list.map(|list| &list.node) {
                Some(Node { value: Value::List(items), .. }) => apps = items,
                Some(alone) => apps = std::slice::from_ref(alone),
                None => at_root = true,
            }
            let is_list = |entry: &Entry| list.is_some_and(|list| std::ptr::eq(list, entry));
            for entry in root.entries().into_iter().flatten() {
                if is_list(entry) || at_root && is_of_an_app(&entry.key) {
                    continue;
                }
                lines.extend(self.root_key(entry));
            }
        }
        let mut text = self.head();
        if !lines.is_empty() {
            text.push('\n');
            push_lines(&mut text, &lines);
        }
        let defaults = root.get(DEFAULTS).and_then(|entry| entry.node.entries());
        let bases = Bases {
            of_root: !at_root && root.get(CWD).is_some(),
            of_defaults: defaults.is_some_and(|entries| entries.iter().any(|entry| entry.key == CWD)),
        };
        if let Some(entries) = defaults {
            let defaults = self.defaults(entries, bases);
            text.push_str("\n[defaults]\n");
            push_app(&mut text, defaults, "defaults");
        }
        let deploy = decode::deploy_environments(root);
        for (number, node) in apps.iter().enumerate() {
            let mut app = self.app(node, number, at_root, bases);
            for (name, variables) in &deploy {
                self.deploy_variables(name, variables, &mut app);
            }
            text.push_str("\n[[apps]]\n");
            push_app(&mut text, app, "apps");
        }
        text
    }

    fn head(&self) -> String {
        let name: String = self.source.name().chars().filter(|c| !c.is_control()).collect();
        let mut text = format!("# Made from {name} by `procrun convert`.\n");
        if self.is_evaluated() {
            text.push_str("# Values that the file computes are constants here. Comments and functions are not converted.\n");
        } else {
            text.push_str("# Comments are not converted.\n");
        }
        text
    }

    fn is_evaluated(&self) -> bool {
        matches!(self.source.0.target, Target::File { format: Format::Script, .. })
    }

    fn root_key(&mut self, entry: &Entry) -> Option<(String, String)> {
        if let Some(key) = find(RUNTIME_KEYS, &entry.key) {
            if value::is_unset(&entry.node, Dialect::Pm2) {
                return None;
            }
            let mut draft = RuntimeDraft::default();
            let mut written = self.value(key, entry, "", &mut draft)?;
            if let TerminationLog::File(file) = &draft.runtime.termination_log
                && let Some(path) = self.rewritten(&file.to_string_lossy(), &self.source.0.cwd)
            {
                written = path;
            }
            return Some((entry.key.clone(), written));
        }
        let inner = &self.source.0;
        match entry.key.as_str() {
            CWD => {
                let Value::Text(cwd) = &entry.node.value else { return None };
                let moved = self.rewritten(cwd, &inner.cwd).filter(|_| self.to != inner.cwd);
                return Some((entry.key.clone(), moved.unwrap_or_else(|| write::quoted(cwd))));
            }
            INCLUDE => {
                let from = inner.target.file_dir(&inner.cwd);
                let patterns: Vec<String> = include::includes(&entry.node)
                    .ok()?
                    .into_iter()
                    .map(|Include { pattern, .. }| {
                        let moved = self.rewritten(&pattern, from).filter(|_| self.to != from);
                        moved.unwrap_or_else(|| write::quoted(&pattern))
                    })
                    .collect();
                return Some((entry.key.clone(), format!("[{}]", patterns.join(", "))));
            }
            DEFAULTS => return None,
            _ => {}
        }
        // Where YAML files keep what they refer to: it stands where it was referred to.
        if !entry.key.starts_with("x-") {
            self.left_out(entry, "", "procrun does not use it");
        }
        None
    }

    fn app(&mut self, node: &Node, number: usize, at_root: bool, bases: Bases) -> App {
        let (plan, settings) = (&self.loaded.plan.apps[number], &self.loaded.settings[number]);
        let inside = format!(" in app `{}`", plan.name);
        let entries = node.entries().unwrap_or_default();
        let mut app = App::default();
        self.entries(entries, &inside, Some(plan), at_root, &mut app);
        if plan.name != self.source.full_name(&app.draft) {
            app.say("name", &write::quoted(&plan.name));
            let said = self.source.full_name(&app.draft);
            let note = format!("{}: a second app called `{said}` is `{}` now", self.place(node), plan.name);
            self.notes.add(note);
        }
        if !bases.of_root && (app.draft.cwd.is_some() || !bases.of_defaults) {
            self.move_cwd(&mut app);
        }
        self.move_env_files(&mut app);
        self.own_variables(&mut app, settings);
        if let Some(first) = app.secrets.first() {
            let (name, names) = (&plan.name, app.secrets.join(", "));
            let note = format!(
                "app `{name}`: the value of {names} is in plain text; \"${{{first}}}\" reads it from the environment"
            );
            self.notes.add(note);
        }
        app
    }

    fn defaults(&mut self, entries: &[Entry], bases: Bases) -> App {
        let mut app = App::default();
        let entries: Vec<Entry> = entries
            .iter()
            .filter(|entry| {
                find(APP_KEYS, &entry.key).is_none_or(|key| defaults::refusal(key.name).is_none())
            })
            .cloned()
            .collect();
        self.entries(&entries, " in `defaults`", None, false, &mut app);
        if app.draft.cwd.is_some() && !bases.of_root {
            self.move_cwd(&mut app);
        }
        self.move_env_files(&mut app);
        app
    }

    /// Writes the entries of an app, whose spec is `plan`, or of the defaults for all.
    fn entries(
        &mut self,
        entries: &[Entry],
        inside: &str,
        plan: Option<&AppSpec>,
        at_root: bool,
        app: &mut App,
    ) {
        let effective = effective_words(entries, Dialect::Pm2);
        for entry in entries {
            let Some(key) = find(APP_KEYS, &entry.key) else {
                if entry.key.starts_with("env_") {
                    self.variables(entry, inside, app);
                } else if !at_root {
                    self.unknown(entry, inside);
                }
                continue;
            };
            if matches!(key.kind, Kind::Environment(_))
                || key.name == "env_file" && entry.node.entries().is_some_and(|it| !env_file::is_file(it))
            {
                self.variables(entry, inside, app);
                continue;
            }
            if value::is_unset(&entry.node, Dialect::Pm2) {
                continue;
            }
            if let Some(counts) = effective.get(key.name).filter(|counts| !std::ptr::eq(**counts, entry)) {
                let why = format!("it is the same key as `{}`, which counts", counts.key);
                self.left_out(entry, inside, &why);
                continue;
            }
            let Some(written) = self.value(key, entry, inside, &mut app.draft) else { continue };
            let written = match plan.map_or(Counts::Whole, |plan| values::counts(key.name, &app.draft, plan))
            {
                Counts::Whole => written,
                Counts::Partly(left) => left,
                Counts::Nothing => {
                    self.left_out(entry, inside, "procrun cannot use its value");
                    continue;
                }
            };
            match entry.node.entries() {
                Some(_) if matches!(key.kind, Kind::WatchOptions(_)) => {
                    let options = watching::strict_options(&entry.node);
                    if !options.is_empty() {
                        app.sections.push((entry.key.clone(), table_lines(&options)));
                    }
                }
                // PM2 ignores it; TOML requires a string.
                Some(_) if matches!(key.kind, Kind::Watch(_) | Kind::Patterns(_)) => {
                    app.lines.push((entry.key.clone(), written));
                }
                // It may have to become a list, so it stands in one line.
                Some(_) if matches!(key.kind, Kind::EnvFiles(_)) => {
                    app.lines.push((entry.key.clone(), written));
                }
                Some(entries) => app.sections.push((entry.key.clone(), table_lines(entries))),
                None => app.lines.push((entry.key.clone(), written)),
            }
        }
    }

    /// What is written for a key, if it says anything here.
    fn value<D: Default, S>(
        &mut self,
        key: &Key<D, S>,
        entry: &Entry,
        inside: &str,
        draft: &mut D,
    ) -> Option<String> {
        let put = |dialect, draft: &mut D| {
            apply::apply(&key.kind, &entry.node, dialect, &Origin::Default, &self.file, draft)
        };
        let Ok(outcome) = put(Dialect::Pm2, draft) else {
            self.left_out(entry, inside, "procrun cannot read its value");
            return None;
        };
        match outcome {
            Outcome::Set => {}
            Outcome::Unset => {
                // Off, and as good as not said; TOML's reader does not take every form of it.
                let taken = matches!(put(Dialect::Toml, &mut D::default()), Ok(Outcome::Unset));
                return if taken { write::value(&entry.node.value) } else { None };
            }
            Outcome::Adjusted(how) => {
                let place = self.place(&entry.node);
                self.notes.add(format!("{place}: `{}`{inside} {how}", entry.key));
            }
            Outcome::Unsupported => {
                self.left_out(entry, "", "it is a service of PM2 itself");
                return None;
            }
            Outcome::Noted(why) => {
                self.left_out(entry, inside, &format!("it {why}"));
                return None;
            }
        }
        values::as_toml(&key.kind, &entry.node)
    }

    /// `env` or `env_<name>`: a table of its own, each variable the text that PM2 makes of it.
    fn variables(&mut self, entry: &Entry, inside: &str, app: &mut App) {
        let Some(entries) = entry.node.entries() else {
            if !value::is_unset(&entry.node, Dialect::Pm2) {
                self.left_out(entry, inside, &format!("it {}", apply::NO_VARIABLE));
            }
            return;
        };
        let Ok(variables) = value::environment(&entry.node) else { return };
        let lines = entries.iter().zip(variables).map(|(entry, value::Variable { name, value, .. })| {
            match &entry.node.value {
                Value::Bool(_) | Value::Integer(_) => variable_line(&name, &value),
                _ if self.is_evaluated() => self.evaluated(&name, &value, &mut app.secrets),
                _ => variable_line(&name, &write::quoted(&value)),
            }
        });
        let lines = lines.collect();
        app.sections.push((entry.key.clone(), lines));
    }

    /// `deploy.<name>.env`, to which `env_<name>` adds.
    fn deploy_variables(&self, name: &str, variables: &[Entry], app: &mut App) {
        let key = format!("env_{name}");
        let own = app.sections.iter().position(|(section, _)| *section == key);
        let is_said = |name: &str| {
            let begin = format!("{} = ", write::key(name));
            own.is_some_and(|own| app.sections[own].1.iter().any(|line| line.starts_with(&begin)))
        };
        let mut lines = Vec::new();
        for Entry { key: name, node, .. } in variables.iter().filter(|entry| !is_said(&entry.key)) {
            let Some(value) = value::scalar_text(node) else { continue };
            lines.push(if self.is_evaluated() {
                self.evaluated(name, &value, &mut app.secrets)
            } else {
                variable_line(name, &write::quoted(&value))
            });
        }
        match own {
            Some(own) => drop(app.sections[own].1.splice(0..0, lines)),
            None => app.sections.push((key, lines)),
        }
    }

    /// A variable of a module, which takes its secrets from elsewhere. One that it has taken from the
    /// variable of the same name is taken from there again; another stands in plain now.
    fn evaluated(&self, name: &str, value: &str, secrets: &mut Vec<String>) -> String {
        if is_secret(name, value) {
            let of_caller = self.source.0.environment.get(OsStr::new(name));
            let nameable = !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            if nameable && of_caller.is_some_and(|of_caller| of_caller == value) {
                return variable_line(name, &format!("\"${{{name}}}\""));
            }
            secrets.push(name.to_owned());
        }
        variable_line(name, &write::quoted(value))
    }

    /// A path that is seen from `base`, as the new file sees it; none if it is the same from everywhere.
    fn rewritten(&self, path: &str, base: &Path) -> Option<String> {
        let path = expand_home(path, &self.source.0.environment);
        (!path.is_absolute()).then(|| write::quoted(&seen_from(self.to, &resolve(base, &path))))
    }

    /// Writes the `cwd` as the new file sees it: TOML resolves it against the file, PM2's formats do not.
    fn move_cwd(&self, app: &mut App) {
        let inner = &self.source.0;
        if self.to != inner.cwd {
            let cwd = app.draft.cwd.clone().unwrap_or_default();
            if let Some(cwd) = self.rewritten(&cwd, &inner.cwd) {
                app.say("cwd", &cwd);
            }
        }
    }

    /// Writes the paths of `env_file` as the new file sees them.
    fn move_env_files(&self, app: &mut App) {
        let inner = &self.source.0;
        let from = inner.target.file_dir(&inner.cwd);
        let mut files: Vec<String> = app
            .draft
            .env_files
            .iter()
            .map(|file| {
                let moved = self.rewritten(&file.path, from).filter(|_| self.to != from);
                let path = moved.unwrap_or_else(|| write::quoted(&file.path));
                // Only in TOML is a file that is missing an error.
                let absolute = resolve(from, &expand_home(&file.path, &inner.environment));
                let is_optional = !file.required || !self.loaded.files_read.contains(&absolute);
                if is_optional { format!("{{ path = {path}, required = false }}") } else { path }
            })
            .collect();
        let before = files.len();
        let is_any_optional = files.iter().any(|file| file.starts_with('{'));
        if let Some(dotenv) = &self.dotenv {
            files.insert(0, write::quoted(&seen_from(self.to, dotenv)));
        }
        let one = files.len() == 1;
        if self.to != from || files.len() != before || is_any_optional {
            match files.pop() {
                None => {}
                Some(file) if one => app.say("env_file", &file),
                Some(file) => {
                    files.push(file);
                    app.say("env_file", &format!("[{}]", files.join(", ")));
                }
            }
        }
    }

    /// What the file put into its `process.env` and this app gets.
    fn own_variables(&mut self, app: &mut App, settings: &AppSettings) {
        if self.process_env.is_empty() {
            return;
        }
        let of_file = "`process.env`";
        if let Some(dotenv) = &self.dotenv {
            let file = dotenv.display();
            self.notes.once(of_file, || {
                format!("{}: what it puts into {of_file} is all in {file}: `env_file` names that", self.file)
            });
            return;
        }
        let evaluated =
            settings.settings.iter().filter(|setting| matches!(setting.origin, Origin::Evaluated(_)));
        let lines: Vec<String> = evaluated
            .filter_map(|setting| {
                let name = setting.key.strip_prefix("env.")?;
                Some(self.evaluated(name, &setting.value, &mut app.secrets))
            })
            .collect();
        if lines.is_empty() {
            return;
        }
        self.notes
            .once(of_file, || format!("{}: what it puts into {of_file} stands in `env` now", self.file));
        if let Some((_, own)) = app.sections.iter_mut().find(|(key, _)| key == "env") {
            own.splice(0..0, lines);
        } else {
            app.sections.insert(0, ("env".to_owned(), lines));
        }
    }

    /// Behaviour of PM2 for each Node app that no key controls.
    fn rejections(&mut self) {
        const OPTION: &str = "--unhandled-rejections";
        let is_affected = |app: &&Arc<AppSpec>| {
            program::kind_by_name(&app.exec) == Some(ProgramKind::Node)
                && !app.exec.interpreter_args.iter().any(|option| option.starts_with(OPTION))
        };
        let names: Vec<&str> =
            self.loaded.plan.apps.iter().filter(is_affected).map(|app| app.name.as_str()).collect();
        if !names.is_empty() {
            self.notes.add(format!(
                "PM2 keeps a Node app running after an unhandled promise rejection, Node ends it; \
                 node_args = \"{OPTION}=warn\" keeps it running: {}",
                names.join(", ")
            ));
        }
    }

    fn unknown(&mut self, entry: &Entry, inside: &str) {
        if value::is_unset(&entry.node, Dialect::Pm2) {
            return;
        }
        let place = SourceLocation { file: self.file.clone(), position: entry.at };
        let message = format!("`{}`{inside} is left out: unknown key", entry.key);
        let problem = Problem::at(place, message).did_you_mean(&entry.key, words(APP_KEYS));
        self.notes.problem(&problem);
    }

    fn left_out(&mut self, entry: &Entry, inside: &str, why: &str) {
        let topic = format!("{}{inside}", entry.key);
        let place = self.place(&entry.node);
        self.notes.once(&topic, || format!("{place}: `{}`{inside} is left out: {why}", entry.key));
    }

    fn place(&self, node: &Node) -> SourceLocation {
        SourceLocation { file: self.file.clone(), position: node.at }
    }
}

/// The source of the working directory of apps that set none.
#[derive(Clone, Copy)]
struct Bases {
    of_root: bool,
    of_defaults: bool,
}

impl App {
    /// Gives a key its value, in its place or as the last one.
    fn say(&mut self, key: &'static str, value: &str) {
        let is_it =
            |(said, _): &&mut (String, String)| find(APP_KEYS, said).is_some_and(|said| said.name == key);
        match self.lines.iter_mut().find(is_it) {
            Some((_, said)) => value.clone_into(said),
            None => self.lines.push((key.to_owned(), value.to_owned())),
        }
    }
}

fn is_of_an_app(key: &str) -> bool {
    find(APP_KEYS, key).is_some() || key.starts_with("env_")
}

fn push_lines(text: &mut String, lines: &[(String, String)]) {
    for (key, value) in lines {
        writeln!(text, "{} = {value}", write::key(key)).expect("a String takes everything");
    }
}

/// The lines of an app, then its tables below `table`.
fn push_app(text: &mut String, app: App, table: &str) {
    push_lines(text, &app.lines);
    for (key, lines) in app.sections {
        writeln!(text, "\n[{table}.{}]", write::key(&key)).expect("a String takes everything");
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
}

fn variable_line(name: &str, value: &str) -> String {
    format!("{} = {value}", write::key(name))
}

fn table_lines(entries: &[Entry]) -> Vec<String> {
    let lines = entries.iter().filter_map(|entry| {
        Some(format!("{} = {}", write::key(&entry.key), write::value(&entry.node.value)?))
    });
    lines.collect()
}

fn is_secret(name: &str, value: &str) -> bool {
    Setting { key: format!("env.{name}"), value: value.to_owned(), origin: Origin::Default }.is_secret()
}

/// `path` as it is written in a file in `dir`; both are absolute and without `..`.
fn seen_from(dir: &Path, path: &Path) -> String {
    let (mut dir, mut path) = (dir.components().peekable(), path.components().peekable());
    while dir.peek().is_some() && dir.peek() == path.peek() {
        dir.next();
        path.next();
    }
    let up = dir.map(|_| Component::ParentDir);
    let seen: PathBuf = up.chain(path).collect();
    if seen.as_os_str().is_empty() { ".".to_owned() } else { seen.to_string_lossy().into_owned() }
}
