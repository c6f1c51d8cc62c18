//! Reads the files of a plan: the main file and the files that it includes, with their apps in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use super::{
    decode::{Decoder, File, NO_APPS},
    defaults::Defaults,
    document::{Document, Parsed, parse},
    file,
    include::{self, Include},
    notices::Notices,
    problem::{Problem, Problems},
    sites,
    tree::{Node, Position},
    value::Dialect,
    variables,
};
use crate::spec::validate::MAX_APPS;

/// Reads the files that the main file includes.
pub(super) struct Files<'a> {
    /// The caller's working directory.
    pub(super) cwd: &'a Path,
    pub(super) environment: &'a BTreeMap<OsString, OsString>,
    /// Keys that a flag unsets.
    pub(super) unset: BTreeSet<&'static str>,
    pub(super) problems: &'a mut Problems,
    pub(super) notices: &'a mut Notices,
    /// Variables that set keys of the main file are ignored.
    pub(super) ignores_variables: bool,
    /// The included files, absolute.
    pub(super) included: Vec<PathBuf>,
    /// From the main file to the current file: the path with links resolved, and the name.
    chain: Vec<(PathBuf, Arc<str>)>,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        cwd: &'a Path,
        environment: &'a BTreeMap<OsString, OsString>,
        unset: BTreeSet<&'static str>,
        problems: &'a mut Problems,
        notices: &'a mut Notices,
    ) -> Self {
        Self {
            cwd,
            environment,
            unset,
            problems,
            notices,
            ignores_variables: false,
            included: Vec::new(),
            chain: Vec::new(),
        }
    }

    /// Decodes the main file and the files that it includes. `path` is its path, if it is a file.
    pub(super) fn main(&mut self, root: &Node, mut document: Document, path: Option<&Path>) -> File {
        if let Some(path) = path {
            self.chain.push((resolve_links(path), document.name.clone()));
        }
        if !self.ignores_variables
            && let Some((cwd, origin)) = variables::cwd(self.environment, self.cwd)
        {
            (document.base, document.base_origin) = (cwd, Some(origin));
        }
        let place = document.place(None);
        let file = self.contents(root, document, Defaults::default());
        if file.lacks_apps && file.apps.is_empty() {
            let problem = Problem::at(place, "contains no apps");
            match file.includes.is_empty() {
                true => self.problems.push(problem.hint(NO_APPS)),
                false if self.problems.is_empty() => {
                    self.problems.push(problem.hint("no file of `include` contains an app"));
                }
                false => {}
            }
        }
        file
    }

    /// The tree with the apps of `static`. `None`: there is no `static`.
    pub(super) fn with_sites(&mut self, root: &Node, document: &Document) -> Option<Node> {
        let (root, complaints) = sites::as_apps(root)?;
        for (at, message, hint) in complaints {
            let hint = hint.map(str::to_owned);
            let problem = Problem { place: Some(document.place(at)), message, hint };
            if document.dialect == Dialect::Toml {
                self.problems.push(problem);
            } else {
                self.notices.problem(&problem);
            }
        }
        Some(root)
    }

    fn contents(&mut self, root: &Node, document: Document, defaults: Defaults) -> File {
        let mut decoder = Decoder {
            document: Rc::new(document),
            is_included: !self.included.is_empty(),
            defaults,
            environment: self.environment,
            unset: &self.unset,
            problems: self.problems,
            notices: self.notices,
        };
        let mut file = decoder.root(root);
        let Decoder { document, defaults, is_included, .. } = decoder;
        let mut dir = document.dir.as_path();
        if !is_included
            && !self.ignores_variables
            && let Some(patterns) = variables::includes(self.environment)
        {
            let by = "the variable `PROCRUN_INCLUDE`";
            file.includes = patterns.into_iter().map(|pattern| Include { pattern, at: None, by }).collect();
            dir = self.cwd;
        }
        let mut seen = BTreeSet::new();
        for include in &file.includes {
            let paths = match include::files(&include.pattern, dir) {
                Ok(paths) => paths,
                Err(why) => {
                    let Include { pattern, at, by } = include;
                    self.report(&document, *at, format!("{by}: `{pattern}` {why}"), None);
                    continue;
                }
            };
            for path in paths {
                // Patterns may overlap.
                if seen.insert(path.clone()) {
                    let mut apps = self.include(&path, include, &document, &defaults);
                    file.apps.append(&mut apps);
                }
            }
        }
        if file.apps.len() > MAX_APPS {
            let message = format!("{} apps, at most {MAX_APPS} are accepted", file.apps.len());
            self.report(&document, None, message, None);
            file.apps.truncate(MAX_APPS);
        }
        file
    }

    /// The apps of a file that `document` includes.
    fn include(
        &mut self,
        path: &Path,
        &Include { at, by, .. }: &Include,
        document: &Document,
        defaults: &Defaults,
    ) -> Vec<super::decode::App> {
        let name = include::display_name(path, &document.name, &document.dir);
        let real = resolve_links(path);
        if let Some(first) = self.chain.iter().position(|(open, _)| *open == real) {
            let cycle = self.chain[first..].iter().chain([&self.chain[first]]);
            let cycle: Vec<&str> = cycle.map(|(_, name)| &**name).collect();
            let message = format!("{by} leads to a cycle: {}", cycle.join(" → "));
            self.report(document, at, message, Some("a file cannot include itself: remove one of these"));
            return Vec::new();
        }
        let format = match include::format(path) {
            Ok(format) => format,
            Err((why, hint)) => {
                self.report(document, at, format!("{by} names {name}, which {why}"), Some(hint));
                return Vec::new();
            }
        };
        if self.included.len() >= include::MAX_FILES {
            let message = format!("more than {} files are included", include::MAX_FILES);
            self.report(document, at, message, None);
            return Vec::new();
        }
        let text = match file::read(path) {
            Ok(text) => text,
            Err(unreadable) => {
                let message = format!("{by} names {name}, which {}", unreadable.why);
                self.report(document, at, message, unreadable.hint);
                return Vec::new();
            }
        };
        self.included.push(path.to_owned());
        let root = match parse(&name, &text, format, self.environment) {
            Ok(Parsed { root, problems, warnings }) => {
                self.problems.append(problems);
                for warning in &warnings {
                    self.notices.problem(warning);
                }
                root
            }
            Err(problems) => {
                self.problems.append(problems);
                return Vec::new();
            }
        };
        let dir = path.parent().unwrap_or(Path::new("/"));
        let mut included = Document::new(name.clone(), format, dir, self.cwd);
        if document.base_origin.is_some() {
            included.base.clone_from(&document.base);
            included.base_origin.clone_from(&document.base_origin);
        }
        let with_sites = self.with_sites(&root, &included);
        self.chain.push((real, name));
        let file = self.contents(with_sites.as_ref().unwrap_or(&root), included, defaults.clone());
        self.chain.pop();
        file.apps
    }

    /// An error in every format: missing apps must not go unnoticed.
    fn report(&mut self, document: &Document, at: Option<Position>, message: String, hint: Option<&str>) {
        let hint = hint.map(str::to_owned);
        self.problems.push(Problem { place: Some(document.place(at)), message, hint });
    }
}

fn resolve_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
