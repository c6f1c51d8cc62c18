//! Converts a file in one of PM2's formats to TOML with the same meaning. Keys keep their spelling and order.
//!
//! The input is the tree, not the plan: defaults are not written. A value that TOML rejects or reads in another way
//! is written with the meaning that it has in PM2. A key without effect is left out, with a note. The result is
//! parsed again, and returned only if it gives the same plan. No file is written.

mod app;
mod converter;
mod paths;
mod same;
mod values;
mod variables;

use std::{path::Path, sync::Arc};

use self::{
    app::{App, push_app, push_lines, table_lines},
    converter::Converter,
    values::EffectivePart,
};
use super::{
    apply,
    apply::Outcome,
    defaults, deploy,
    draft::RuntimeDraft,
    effective::effective_entries,
    env_file,
    include::{self, Include},
    keys::{APP_KEYS, CWD, DEFAULTS, INCLUDE, Key, Kind, RUNTIME_KEYS, find},
    limits,
    loaded::{Conversion, Loaded},
    notices::Notices,
    origin::Origin,
    problem::Problems,
    sites,
    source::Source,
    target::Format,
    tree::{Entry, Node, Value},
    value::{self, Dialect},
    watching, write,
};
use crate::{
    program,
    spec::{AppSpec, ProgramKind, TerminationLog},
};

impl Source {
    /// The plan of the tree of an ecosystem file, and its conversion to TOML if one is requested. `process_env` has
    /// the variables that the file set while it was evaluated.
    pub(super) fn load_file(
        &self,
        root: &Node,
        format: Format,
        process_env: &[(String, String)],
        problems: Problems,
    ) -> Result<Loaded, Problems> {
        let mut loaded = self.load_tree(root, format, process_env, problems)?;
        if let Some(to) = &self.0.converts_to {
            let with_sites = sites::as_apps(root).map(|(root, _)| root);
            let root = with_sites.as_ref().unwrap_or(root);
            loaded.conversion = Some(convert(self, root, to, process_env, &loaded)?);
        }
        Ok(loaded)
    }
}

/// Converts a loaded tree for a TOML file at the absolute path `to`.
fn convert(
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
        dotenv: variables::dotenv_behind(process_env, &source.0.cwd),
        loaded,
        file: source.name().into(),
        notes: Notices::default(),
    };
    let text = converter.root(root);
    converter.rejections();
    same::same_meaning(source, &text, to, loaded)?;
    Ok(Conversion { text, notes: converter.notes.into_list() })
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
        let deploy = deploy::environments(root);
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
        // YAML files keep anchors in `x-` keys. The values are written where they are used.
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
            app.set("name", &write::quoted(&plan.name));
            let written_name = self.source.full_name(&app.draft);
            let note =
                format!("{}: the second app `{written_name}` is now `{}`", self.place(node), plan.name);
            self.notes.add(note);
        }
        if !bases.of_root && (app.draft.cwd.is_some() || !bases.of_defaults) {
            self.rewrite_cwd(&mut app);
        }
        self.rewrite_env_files(&mut app);
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
            self.rewrite_cwd(&mut app);
        }
        self.rewrite_env_files(&mut app);
        app
    }

    /// Writes the entries of an app, whose spec is `plan`, or those of `defaults`.
    fn entries(
        &mut self,
        entries: &[Entry],
        inside: &str,
        plan: Option<&AppSpec>,
        at_root: bool,
        app: &mut App,
    ) {
        let effective = effective_entries(entries, Dialect::Pm2);
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
                let why = format!("it is the same key as `{}`, which applies", counts.key);
                self.left_out(entry, inside, &why);
                continue;
            }
            let Some(written) = self.value(key, entry, inside, &mut app.draft) else { continue };
            let written = match plan
                .map_or(EffectivePart::Whole, |plan| values::effective_part(key.name, &app.draft, plan))
            {
                EffectivePart::Whole => written,
                EffectivePart::Part(part) => part,
                EffectivePart::None => {
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
                Some(entries) if matches!(key.kind, Kind::Rlimits(_)) => {
                    let set = limits::set(entries, Dialect::Pm2).cloned().collect::<Vec<_>>();
                    if !set.is_empty() {
                        app.sections.push((entry.key.clone(), table_lines(&set)));
                    }
                }
                // PM2 ignores a table here; TOML requires a string.
                Some(_) if matches!(key.kind, Kind::Watch(_) | Kind::Patterns(_)) => {
                    app.lines.push((entry.key.clone(), written));
                }
                // The value may become a list later, so it is written on one line.
                Some(_) if matches!(key.kind, Kind::EnvFiles(_)) => {
                    app.lines.push((entry.key.clone(), written));
                }
                Some(entries) => app.sections.push((entry.key.clone(), table_lines(entries))),
                None => app.lines.push((entry.key.clone(), written)),
            }
        }
    }

    /// The TOML value for a key. `None`: it is left out.
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
                // The value unsets the key. TOML does not accept every form of that.
                let taken = matches!(put(Dialect::Toml, &mut D::default()), Ok(Outcome::Unset));
                return if taken { write::value(&entry.node.value) } else { None };
            }
            Outcome::Adjusted(how) => {
                let place = self.place(&entry.node);
                self.notes.add(format!("{place}: `{}`{inside} {how}", entry.key));
            }
            Outcome::Unsupported => {
                self.left_out(entry, "", "procrun does not have this feature of PM2");
                return None;
            }
            Outcome::Noted(why) => {
                self.left_out(entry, inside, &format!("it {why}"));
                return None;
            }
        }
        values::as_toml(&key.kind, &entry.node)
    }

    /// Notes a behaviour of PM2 for Node apps that no key controls.
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
                "Node exits on an unhandled promise rejection, and PM2 prevents that; node_args = \"{OPTION}=warn\" \
                 keeps these apps running: {}",
                names.join(", ")
            ));
        }
    }
}

/// The origin of the working directory of apps that set none.
#[derive(Clone, Copy)]
struct Bases {
    of_root: bool,
    of_defaults: bool,
}

fn is_of_an_app(key: &str) -> bool {
    find(APP_KEYS, key).is_some() || key.starts_with("env_")
}
