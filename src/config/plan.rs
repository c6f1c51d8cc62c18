//! Drafts → the plan: selects apps, resolves their names and applies flags.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use super::{
    build::build,
    build_context::{BuildContext, BuildOutput},
    decode::{App, File},
    document::Document,
    draft::{Draft, RuntimeDraft},
    files::Files,
    keys::{APP_KEYS, RUNTIME_KEYS, TIME_FORMAT, all},
    listen,
    loaded::Loaded,
    log_paths,
    notices::Notices,
    order,
    origin::{AppSettings, Origin, Setting},
    path::{expand_home, resolve, stem},
    problem::{EX_CONFIG, EX_USAGE, Problem, Problems},
    source::Source,
    target::Format,
    tree::Node,
    value::Dialect,
    variables,
};
use crate::{
    spec::{AppSpec, Instances, Plan, TerminationLog, serve, validate::validate},
    sys::{bounded_lookup::Lookups, cpus},
};

impl Source {
    /// A plan with one app that flags alone describe.
    pub(super) fn load_script(&self, script: &str) -> Result<Loaded, Problems> {
        let draft = Draft { script: Some(script.to_owned()), ..Draft::default() };
        let document = Rc::new(self.document(Format::Script));
        let label = "the app".to_owned();
        let app = App { draft, document, number: 0, at: None, label, script_refused: false };
        let file = File { apps: vec![app], ..File::default() };
        self.load(file, Format::Script, &[], Problems::none(EX_CONFIG), Notices::default(), Vec::new())
    }

    /// The main file.
    fn document(&self, format: Format) -> Document {
        let inner = &*self.0;
        Document::new(inner.name.as_str().into(), format, inner.target.file_dir(&inner.cwd), &inner.cwd)
    }

    /// The plan of a parsed file. `process_env` has the variables that the file set while it was evaluated.
    pub(super) fn load_tree(
        &self,
        root: &Node,
        format: Format,
        process_env: &[(String, String)],
        mut problems: Problems,
    ) -> Result<Loaded, Problems> {
        let inner = &*self.0;
        let mut notices = Notices::default();
        let unset = inner.flags.unset_keys();
        let mut files = Files::new(&inner.cwd, &inner.environment, unset, &mut problems, &mut notices);
        // A conversion has the values of the file.
        files.ignores_variables = inner.converts_to.is_some();
        let document = self.document(format);
        let with_sites = files.with_sites(root, &document);
        let root = with_sites.as_ref().unwrap_or(root);
        let mut file = files.main(root, document, self.file());
        let mut files_read: Vec<PathBuf> = self.file().map(Path::to_owned).into_iter().collect();
        files_read.append(&mut files.included);
        for app in &mut file.apps {
            app.draft.is_built_in = app.draft.script.as_deref() == Some(serve::SCRIPT);
        }
        self.load(file, format, process_env, problems, notices, files_read)
    }

    fn load(
        &self,
        file: File,
        format: Format,
        process_env: &[(String, String)],
        mut problems: Problems,
        mut notices: Notices,
        mut files_read: Vec<PathBuf>,
    ) -> Result<Loaded, Problems> {
        let inner = &*self.0;
        let main = self.document(format);
        let dialect = main.dialect;
        let File { mut runtime, apps, .. } = file;
        report_missing_scripts(&apps, &mut problems);
        let names = self.names(&apps, &mut problems, &mut notices);
        let selected = self.select(&apps, &names, &mut problems);
        self.check_flags_for_one_app(selected.len(), apps.len(), &mut problems);
        self.named_environment(&apps, &selected, &mut notices);

        let (mut specs, mut settings, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lookups, mut unanswered) = (Lookups::default(), Vec::new());
        let mut app_names = order::Names { full: Vec::new(), written: Vec::new(), left_out: BTreeMap::new() };
        let written: Vec<Option<String>> = apps.iter().map(|app| app.draft.name.clone()).collect();
        for (number, app) in apps.into_iter().enumerate() {
            if !selected.contains(&number) {
                let full = names[number].as_str();
                let known_as = [Some(full), written[number].as_deref()].into_iter().flatten();
                app_names.left_out.extend(known_as.map(|known| (known, full)));
                continue;
            }
            let document = &app.document;
            let context = BuildContext {
                base: &document.base,
                dialect: document.dialect,
                file_dir: &document.dir,
                caller_cwd: &inner.cwd,
                environment: &inner.environment,
                env_name: inner.flags.env_name.as_deref(),
                name: &inner.name,
                process_env,
            };
            let mut draft = app.draft;
            if let (None, Some(origin)) = (&draft.cwd, &document.base_origin) {
                draft.origins.insert("cwd", origin.clone());
            }
            inner.flags.apply_to_app(&mut draft, &mut notices, &mut problems);
            if let Some(args) = &inner.args {
                draft.args.clone_from(args);
                draft.origins.insert("args", Origin::Flag("--"));
            }
            let name = match draft.origin("name") {
                Origin::Flag(_) => self.full_name(&draft),
                _ => names[number].clone(),
            };
            app_names.full.push(name.clone());
            app_names.written.push(written[number].clone());
            wanted.push(draft.depends_on.clone());
            let mut output = BuildOutput {
                problems: &mut problems,
                notices: &mut notices,
                files_read: &mut files_read,
                lookups: &mut lookups,
                unanswered: &mut unanswered,
            };
            let (spec, of_app) = build(draft, name, &context, &mut output);
            specs.push(spec);
            settings.push(of_app);
        }
        let outside =
            order::resolve(&mut specs, &settings, &wanted, &app_names, dialect, &mut problems, &mut notices);
        listen::clashes(&mut specs, &settings, dialect, &mut problems, &mut notices);
        for (spec, settings) in specs.iter().zip(&mut settings) {
            for key in all(APP_KEYS) {
                settings.update(key.name, (key.show)(spec));
            }
        }
        let specs: Vec<Arc<AppSpec>> = specs.into_iter().map(Arc::new).collect();
        for clash in log_paths::clashes(&specs, &settings) {
            if dialect == Dialect::Toml {
                problems.push(clash);
            } else {
                notices.problem(&clash);
            }
        }
        if problems.is_empty() {
            report_out_of_range(&specs, &settings, &mut problems);
        }
        report_too_few_cpus(&specs, &mut notices);
        self.finish_runtime(&mut runtime, &main.base, &mut notices, &mut problems);
        if !problems.is_empty() {
            return Err(problems.sorted());
        }
        let runtime_settings = all(RUNTIME_KEYS).filter_map(|key| {
            let value = (key.show)(&runtime.runtime)?;
            let origin = runtime.origins.get(key.name).cloned().unwrap_or(Origin::Default);
            Some(Setting { key: key.name.to_owned(), value, origin })
        });
        Ok(Loaded {
            runtime_settings: runtime_settings.collect(),
            plan: Plan { apps: specs, runtime: runtime.runtime },
            notices: inner.flags.notices.iter().cloned().chain(notices.into_list()).collect(),
            settings,
            outside,
            files_read,
            conversion: None,
            unanswered,
        })
    }

    /// Settles procrun's own settings: flags override variables, and variables override the file. `base` is the base
    /// of relative paths.
    fn finish_runtime(
        &self,
        runtime: &mut RuntimeDraft,
        base: &Path,
        notices: &mut Notices,
        problems: &mut Problems,
    ) {
        let environment = &self.0.environment;
        variables::apply_to_runtime(environment, runtime, notices, problems);
        self.0.flags.apply_to_runtime(runtime, problems);
        variables::grace(runtime, environment, notices);
        if let TerminationLog::File(file) = &mut runtime.runtime.termination_log {
            *file = resolve(base, &expand_home(&file.to_string_lossy(), environment));
        }
        if runtime.time && runtime.runtime.log.date_format.is_none() {
            runtime.runtime.log.date_format = Some(TIME_FORMAT.to_owned());
            runtime.origins.insert("log_date_format", Origin::Derived("time"));
        }
    }

    /// The name of an application as it is written, or after its script.
    pub(super) fn full_name(&self, draft: &Draft) -> String {
        let script = draft.script.as_deref().unwrap_or_default();
        let mut name = draft.name.clone().unwrap_or_else(|| name_of_script(script));
        if draft.append_env_to_name
            && let Some(env) = &self.0.flags.env_name
        {
            name = format!("{name}-{env}");
        }
        match &draft.name_prefix {
            Some(prefix) if !name.contains(prefix.as_str()) => format!("{prefix}:{name}"),
            _ => name,
        }
    }

    /// A unique name for each app. In TOML, and in different files, equal names are an error. In one file of PM2's
    /// formats the second app gets the name `name-1`.
    fn names(&self, apps: &[App], problems: &mut Problems, notices: &mut Notices) -> Vec<String> {
        let mut names: Vec<String> = apps.iter().map(|app| self.full_name(&app.draft)).collect();
        let mut taken: BTreeSet<String> = names.iter().cloned().collect();
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for (number, app) in apps.iter().enumerate() {
            let name = names[number].clone();
            if app.draft.script.is_none() && app.draft.name.is_none() {
                continue;
            }
            let Some(&earlier) = first.get(&name) else {
                first.insert(name, number);
                continue;
            };
            let at = app.draft.origin("name").position().or(app.at);
            let of = &apps[earlier];
            let is_same_file = Rc::ptr_eq(&of.document, &app.document);
            if app.document.dialect == Dialect::Toml || !is_same_file {
                let place = of.document.place(of.draft.origin("name").position().or(of.at));
                let of = match place.position {
                    Some(position) if is_same_file => format!(" of line {}", position.line),
                    None if is_same_file => String::new(),
                    Some(_) | None => format!(" of {place}"),
                };
                let message = format!("app {} has the same name as the app{of}: `{name}`", app.number + 1);
                problems.push(
                    Problem::at(app.document.place(at), message)
                        .hint("give each app its own `name`; `instances` runs one several times"),
                );
                continue;
            }
            let mut others = (1..=names.len()).map(|count| format!("{name}-{count}"));
            let other = others.find(|other| !taken.contains(other)).expect("there are fewer other names");
            let place = app.document.place(at);
            notices.add(format!("{place}: a second app has the name `{name}`: it runs as `{other}`"));
            taken.insert(other.clone());
            names[number] = other;
        }
        names
    }

    /// The indexes of the apps that `--only` selects.
    fn select(&self, apps: &[App], names: &[String], problems: &mut Problems) -> BTreeSet<usize> {
        let only = &self.0.flags.only;
        if only.is_empty() {
            return (0..apps.len()).collect();
        }
        let mut selected = BTreeSet::new();
        for wanted in only {
            let matches = |number: &usize| {
                names[*number] == *wanted || apps[*number].draft.name.as_ref() == Some(wanted)
            };
            let found: Vec<usize> = (0..apps.len()).filter(matches).collect();
            if found.is_empty() && !apps.is_empty() {
                let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                self.report_usage(
                    problems,
                    Problem::new(format!("`--only`: there is no app `{wanted}`"))
                        .hint(format!("there is {}", known.join(", "))),
                );
            }
            selected.extend(found);
        }
        selected
    }

    /// Reports flags that can apply to one app only.
    fn check_flags_for_one_app(&self, selected: usize, of: usize, problems: &mut Problems) {
        let several = |what: &str| {
            Problem::new(format!("{what} can be set for one app, not for {selected}"))
                .hint("select one with `--only`")
        };
        if selected <= 1 || of <= 1 {
            return;
        }
        if let Some(flag) = self.0.flags.flag_of("name") {
            self.report_usage(problems, several(&format!("`{flag}`")));
        }
        if self.0.args.is_some() {
            self.report_usage(problems, several("arguments after `--`"));
        }
    }

    fn named_environment(&self, apps: &[App], selected: &BTreeSet<usize>, notices: &mut Notices) {
        let Some(wanted) = &self.0.flags.env_name else { return };
        let has = |number: &usize| apps[*number].draft.named_envs.iter().any(|(name, _)| name == wanted);
        if !selected.iter().any(has) {
            notices.add(format!("`--env {wanted}`: no app has an `env_{wanted}`"));
        }
    }

    /// Reports a problem of the command line. If it is the first problem, the exit code is 64.
    #[expect(clippy::unused_self, reason = "called like the other checks")]
    fn report_usage(&self, problems: &mut Problems, problem: Problem) {
        if problems.is_empty() {
            *problems = Problems::one(EX_USAGE, problem);
        } else {
            problems.push(problem);
        }
    }
}

/// Reports values that are valid alone but exceed a limit together, such as prefix and name.
fn report_out_of_range(specs: &[Arc<AppSpec>], settings: &[AppSettings], problems: &mut Problems) {
    for (spec, settings) in specs.iter().zip(settings) {
        if let Err(violation) = validate(spec) {
            let place = settings.place_of(violation.key);
            problems.push(Problem { place, message: violation.to_string(), hint: None });
        }
    }
}

/// Reports the apps without `script`.
fn report_missing_scripts(apps: &[App], problems: &mut Problems) {
    for app in apps {
        if app.draft.script.is_none() && !app.script_refused {
            let problem = Problem::at(app.document.place(app.at), format!("{} has no `script`", app.label));
            problems.push(problem.hint("`script` is the program or file to run"));
        }
    }
}

/// Reports `instances` that leave no CPU: PM2 starts one process then.
fn report_too_few_cpus(specs: &[Arc<AppSpec>], notices: &mut Notices) {
    // Counting CPUs reads several files in `/proc` and `/sys`, and few plans need it.
    let cpus = LazyCell::new(cpus::available);
    for spec in specs {
        if let Instances::CpusMinus(less) = spec.instances
            && less > 0
            && less >= *cpus
        {
            let cpus = *cpus;
            let name = &spec.name;
            let of = if cpus == 1 { "1 CPU".to_owned() } else { format!("{cpus} CPUs") };
            notices.add(format!("app `{name}`: `instances` is -{less} on {of}: 1 process runs"));
        }
    }
}

/// A script may be a shell command of any length; a name is one short line.
fn name_of_script(script: &str) -> String {
    const MAX_LENGTH: usize = 60;
    let name: String =
        stem(script).chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LENGTH).collect();
    match name.trim() {
        "" => "app".to_owned(),
        name => name.to_owned(),
    }
}
