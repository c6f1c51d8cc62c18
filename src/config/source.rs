//! The source of a plan: the target of a command with its flags, arguments and environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    document::{self, Parsed},
    file,
    flags::Flags,
    path,
    problem::{EX_CONFIG, EX_USAGE, Problem, Problems},
    target::{self, Format, STDIN, Target},
};

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

/// The source of a plan. It never changes, but the files that it names may change between two reads.
#[derive(Debug, Clone)]
pub struct Source(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) target: Target,
    pub(super) name: String,
    pub(super) flags: Flags,
    pub(super) args: Option<Vec<String>>,
    pub(super) environment: BTreeMap<OsString, OsString>,
    pub(super) cwd: PathBuf,
    pub(super) command_line: Vec<OsString>,
    /// The TOML file for which a [`Conversion`](super::loaded::Conversion) is made, absolute.
    pub(super) converts_to: Option<PathBuf>,
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
    /// Determines the kind of the target.
    ///
    /// # Errors
    ///
    /// A wrong flag (64), a program that does not exist (127) or cannot be executed (126). [`Source::read`] reports a
    /// missing file.
    pub fn new(invocation: Invocation) -> Result<Self, Problems> {
        Ok(Self(Arc::new(Inner::new(invocation)?)))
    }

    /// Whether the target is an ecosystem file by its name.
    pub fn is_named_as_file(word: &OsStr) -> bool {
        target::format_of(word).is_some()
    }

    /// A source that is read with its [`Conversion`](super::loaded::Conversion) to TOML for the file `to`, which is
    /// not written and need not exist.
    ///
    /// # Errors
    ///
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
            let hint = "`convert` accepts JSON, YAML and PM2's modules (.config.js, .cjs, .mjs, .ts)";
            return Err(Problems::one(EX_USAGE, problem.hint(hint)));
        }
        inner.converts_to = Some(path::resolve(&inner.cwd, to));
        Ok(Self(Arc::new(inner)))
    }

    /// A source with this text of an ecosystem file in JSON, whatever the target is.
    ///
    /// # Errors
    ///
    /// A wrong flag or argument (64).
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

    /// Whether a child must evaluate the source: it is a JavaScript or TypeScript file.
    pub fn needs_evaluation(&self) -> bool {
        matches!(self.0.target, Target::File { format: Format::Script, .. })
    }

    /// The target as the user wrote it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The caller's environment.
    pub fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.0.environment
    }

    /// The absolute path of the target, if it is an ecosystem file.
    pub fn file(&self) -> Option<&Path> {
        match &self.0.target {
            Target::File { path, .. } => Some(path),
            Target::Script(_) | Target::Text { .. } | Target::Nothing => None,
        }
    }

    /// Whether the source is an ecosystem file, or its text.
    pub fn is_document(&self) -> bool {
        matches!(self.0.target, Target::File { .. } | Target::Text { .. })
    }

    /// Parses a text.
    pub(super) fn parse(&self, text: &str, format: Format) -> Result<Parsed, Problems> {
        document::parse(&self.0.name.as_str().into(), text, format, &self.0.environment)
    }

    pub(super) fn unreadable(&self, unreadable: &file::Unreadable) -> Problems {
        let problem = Problem::new(format!("{} {}", self.name(), unreadable.why));
        let problem = match unreadable.hint {
            Some(hint) => problem.hint(hint),
            None if unreadable.why == file::MISSING && !self.0.name.starts_with('/') => {
                problem.hint(format!("check the path, which is relative to {}", self.0.cwd.display()))
            }
            None => problem,
        };
        Problems::one(EX_CONFIG, problem)
    }
}
