//! Configuration → [`spec::Plan`](crate::spec::Plan), or errors with their place.
//!
//! ```text
//! TOML ─┐                                 flags ─┐
//! JSON ─┼─▶ tree (value + line, column) ─▶ drafts ─▶ plan + notices + the origin of each setting
//! YAML ─┤          one key table ────────────┘
//! JS ───┘ (JSON of a child that the supervisor runs)
//! ```
//!
//! A file may include others, each with a format of its own; their drafts are combined in one plan.
//!
//! It reads files and nothing else: it starts no process, opens no socket, changes nothing, and searches no
//! program except the target. It collects all errors instead of stopping at the first.

mod apply;
mod arguments;
mod build;
mod changes;
mod convert;
mod cron;
mod decode;
mod defaults;
mod differences;
mod document;
mod dotenv;
mod draft;
mod env_file;
mod evaluate;
mod expand;
mod file;
mod files;
mod flags;
mod foreign;
mod health;
mod include;
mod json;
mod keys;
mod limits;
mod listen;
mod log_paths;
mod mode;
mod notices;
mod order;
mod origin;
mod patch;
mod path;
mod plan;
mod problem;
mod sites;
mod suggest;
mod target;
#[cfg(test)]
mod tests;
mod toml;
mod tree;
mod value;
mod variables;
mod watching;
mod write;
mod yaml;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use changes::{Changes, can_change};
pub use convert::Conversion;
pub use differences::{Difference, differences};
pub use env_file::{UnreadableEnvFile, variables as env_file_variables};
pub use evaluate::{Evaluation, EvaluationEnd};
pub use flags::{FlagValue, Flags};
pub use health::shown_checks;
pub use keys::schema;
pub use origin::{AppSettings, Origin, Setting, is_secret};
pub use patch::Patch;
pub use path::resolve as resolve_path;
pub use problem::{EX_CONFIG, EX_IOERR, EX_USAGE, Problem, Problems};
pub use suggest::nearest;
pub use tree::{Position, SourceLocation};
pub use variables::known as known_variables;

use crate::spec::{Plan, Runtime, order::Outside};
use document::Parsed;
use draft::RuntimeDraft;
use notices::Notices;
pub use target::STDIN;
use target::{Format, Target};

/// The request of the command line.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The ecosystem file, script or executable.
    pub target: OsString,
    /// The options.
    pub flags: Flags,
    /// The arguments after `--`, if there is a `--`.
    pub args: Option<Vec<OsString>>,
    /// The caller's environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// The caller's working directory, absolute.
    pub cwd: PathBuf,
    /// The whole command line: some JavaScript files read it.
    pub command_line: Vec<OsString>,
}

/// The source of a plan. It never changes and can be read as often as needed; the files that it names may have
/// changed by then.
#[derive(Debug, Clone)]
pub struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: Target,
    name: String,
    flags: Flags,
    args: Option<Vec<String>>,
    environment: BTreeMap<OsString, OsString>,
    cwd: PathBuf,
    command_line: Vec<OsString>,
    /// The TOML file for which a [`Conversion`] is made, absolute.
    converts_to: Option<PathBuf>,
}

/// What reading a source gave.
#[derive(Debug)]
pub enum Read {
    /// The plan.
    Loaded(Loaded),
    /// A JavaScript or TypeScript file: run this, then call [`Evaluation::finish`].
    NeedsEvaluation(Evaluation),
}

/// A plan and the facts about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What to run.
    pub plan: Plan,
    /// What is worth saying although nothing is wrong.
    pub notices: Vec<String>,
    /// procrun's own settings, with where each came from.
    pub runtime_settings: Vec<Setting>,
    /// Each application's settings, in the order of the plan.
    pub settings: Vec<AppSettings>,
    /// What the applications would wait for if `--only` did not leave it out.
    pub outside: Vec<Outside>,
    /// The ecosystem file, the files that it includes, and every `env_file`, absolute.
    pub files_read: Vec<PathBuf>,
    /// The same as TOML, if a conversion was requested.
    pub conversion: Option<Conversion>,
    /// The applications for which a file system did not answer in time.
    pub unanswered: Vec<Unanswered>,
}

/// A look-up for an application that has no result. The plan says what is known without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The name of the application.
    pub app: String,
    /// What timed out or failed, with the path: a clause that follows `app NAME: `.
    pub what: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// What to do about a file system that does not answer.
pub const UNANSWERED_HINT: &str = "the file system does not answer; is a network mount down?";

impl Loaded {
    /// The same for a command, which has no time to wait for a file system.
    ///
    /// # Errors
    /// A look-up has timed out.
    pub fn answered(self) -> Result<Self, Problems> {
        let mut problems = Problems::none(EX_IOERR);
        for Unanswered { app, what, hint } in &self.unanswered {
            problems.push(Problem::new(format!("app `{app}`: {what}")).hint(*hint));
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}

impl Inner {
    fn new(invocation: Invocation) -> Result<Self, Problems> {
        let Invocation { target, flags, args, environment, cwd, command_line } = invocation;
        flags.check()?;
        let args = args.map(target::utf8_arguments).transpose()?;
        let app_cwd = flags
            .text_of("cwd")
            .map_or_else(|| cwd.clone(), |dir| path::resolve(&cwd, &path::expand_home(dir, &environment)));
        let name = if target == STDIN { "stdin".to_owned() } else { target.to_string_lossy().into_owned() };
        let target = target::classify(&target, &cwd, &app_cwd, environment.get(OsStr::new("PATH")))?;
        Ok(Self { target, name, flags, args, environment, cwd, command_line, converts_to: None })
    }
}

impl Source {
    /// Finds out what the target is.
    ///
    /// # Errors
    /// A flag that is wrong (64), a program that is not there (127) or cannot be executed (126).
    /// A file that is missing is found by [`Source::read`].
    pub fn new(invocation: Invocation) -> Result<Self, Problems> {
        Ok(Self(Arc::new(Inner::new(invocation)?)))
    }

    /// Whether this word, by its name, is an ecosystem file.
    pub fn is_named_as_file(word: &OsStr) -> bool {
        target::format_of(word).is_some()
    }

    /// The same, but what is read comes with its [`Conversion`] to TOML: for a file `to`, which need not be
    /// there and is not written.
    ///
    /// # Errors
    /// As [`Source::new`], or the target is not an ecosystem file in another format.
    pub fn to_convert(invocation: Invocation, to: &Path) -> Result<Self, Problems> {
        let mut inner = Inner::new(invocation)?;
        let wrong = match &inner.target {
            Target::File { format: Format::Toml, .. } => Some("is TOML already"),
            Target::File { .. } => None,
            Target::Script(_) | Target::Text { .. } | Target::Nothing => Some("is not an ecosystem file"),
        };
        if let Some(wrong) = wrong {
            let problem = Problem::new(format!("{} {wrong}", inner.name));
            let hint = "`convert` takes JSON, YAML and PM2's modules (.config.js, .cjs, .mjs, .ts)";
            return Err(Problems::one(EX_USAGE, problem.hint(hint)));
        }
        inner.converts_to = Some(path::resolve(&inner.cwd, to));
        Ok(Self(Arc::new(inner)))
    }

    /// A source that is the text of an ecosystem file in JSON, whatever the target is.
    ///
    /// # Errors
    /// A flag or an argument that is wrong (64).
    pub fn of_text(invocation: Invocation, text: String) -> Result<Self, Problems> {
        let Invocation { target, flags, args, environment, cwd, command_line } = invocation;
        flags.check()?;
        let args = args.map(target::utf8_arguments).transpose()?;
        let name = target.to_string_lossy().into_owned();
        let target = Target::Text { text, format: Format::Json };
        Ok(Self(Arc::new(Inner {
            target,
            name,
            flags,
            args,
            environment,
            cwd,
            command_line,
            converts_to: None,
        })))
    }

    /// A source without applications, for a supervisor that gets them by commands.
    pub fn nothing(environment: BTreeMap<OsString, OsString>, cwd: PathBuf) -> Self {
        Self(Arc::new(Inner {
            target: Target::Nothing,
            name: "nothing".to_owned(),
            flags: Flags::default(),
            args: None,
            environment,
            cwd,
            command_line: Vec::new(),
            converts_to: None,
        }))
    }

    /// Reads it as it is now.
    ///
    /// # Errors
    /// Everything that is wrong with it; [`Problems::exit_code`] is 78, or 64 if it is the flags
    /// that do not fit the file.
    pub fn read(&self) -> Result<Read, Problems> {
        match &self.0.target {
            Target::Script(script) => self.load_script(script).map(Read::Loaded),
            Target::Nothing => {
                let mut draft = RuntimeDraft {
                    runtime: Runtime { auto_exit: false, ..Runtime::default() },
                    ..RuntimeDraft::default()
                };
                let mut notices = Notices::default();
                let mut problems = Problems::none(EX_CONFIG);
                let environment = &self.0.environment;
                variables::apply_to_runtime(environment, &mut draft, &mut notices, &mut problems);
                if !problems.is_empty() {
                    return Err(problems);
                }
                plan::grace(&mut draft, &self.0.environment, &mut notices);
                Ok(Read::Loaded(Loaded {
                    plan: Plan { apps: Vec::new(), runtime: draft.runtime },
                    notices: notices.into_list(),
                    runtime_settings: Vec::new(),
                    settings: Vec::new(),
                    outside: Vec::new(),
                    files_read: Vec::new(),
                    conversion: None,
                    unanswered: Vec::new(),
                }))
            }
            Target::Text { text, format } => self.load_text(text, *format).map(Read::Loaded),
            Target::File { path, format: Format::Script } => {
                file::open(path).map_err(|unreadable| self.unreadable(&unreadable))?;
                Evaluation::new(self.clone(), path).map(Read::NeedsEvaluation)
            }
            Target::File { path, format } => {
                let text = file::read(path).map_err(|unreadable| self.unreadable(&unreadable))?;
                // A file with the name of another tool's may be an ecosystem file all the same.
                let loaded = self.load_text(&text, *format);
                let loaded =
                    loaded.map_err(|problems| foreign::refused(&self.0.name, path).unwrap_or(problems));
                loaded.map(Read::Loaded)
            }
        }
    }

    /// Whether it is a module, which a child evaluates.
    pub fn needs_evaluation(&self) -> bool {
        matches!(self.0.target, Target::File { format: Format::Script, .. })
    }

    /// What the user called the target.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The caller's environment.
    pub fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.0.environment
    }

    /// The target if it is an ecosystem file, absolute: reading it again can give something else.
    pub fn file(&self) -> Option<&Path> {
        match &self.0.target {
            Target::File { path, .. } => Some(path),
            Target::Script(_) | Target::Text { .. } | Target::Nothing => None,
        }
    }

    /// Whether the target is an ecosystem file, be it in a file or not.
    pub fn is_document(&self) -> bool {
        matches!(self.0.target, Target::File { .. } | Target::Text { .. })
    }

    fn load_text(&self, text: &str, format: Format) -> Result<Loaded, Problems> {
        let Parsed { root, problems, warnings } = self.parse(text, format)?;
        let mut loaded = self.load_file(&root, format, &[], problems)?;
        loaded.notices.splice(0..0, warnings.iter().map(Problem::one_line));
        Ok(loaded)
    }

    /// The tree of a text.
    fn parse(&self, text: &str, format: Format) -> Result<Parsed, Problems> {
        document::parse(&self.0.name.as_str().into(), text, format, &self.0.environment)
    }

    fn unreadable(&self, unreadable: &file::Unreadable) -> Problems {
        let problem = Problem::new(format!("{} {}", self.name(), unreadable.why));
        let problem = match unreadable.hint {
            Some(hint) => problem.hint(hint),
            None if unreadable.why == file::MISSING && !self.0.name.starts_with('/') => {
                problem.hint(format!("looked for in {}", self.0.cwd.display()))
            }
            None => problem,
        };
        Problems::one(EX_CONFIG, problem)
    }
}

impl Target {
    fn file_dir<'a>(&'a self, cwd: &'a Path) -> &'a Path {
        match self {
            Self::File { path, .. } => path.parent().unwrap_or(Path::new("/")),
            Self::Script(_) | Self::Text { .. } | Self::Nothing => cwd,
        }
    }
}
