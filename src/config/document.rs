//! One ecosystem file of a plan: the main file, or an included one. A document has the file's name, format and base
//! of relative paths.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    json,
    origin::Origin,
    problem::{EX_CONFIG, Problem, Problems},
    target::Format,
    toml,
    tree::{Flaw, Node, Position, SourceLocation},
    value::Dialect,
    yaml,
};

/// A file and the rules by which it is read.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// The name in messages.
    pub(super) name: Arc<str>,
    pub(super) dialect: Dialect,
    /// The directory that holds it, absolute.
    pub(super) dir: PathBuf,
    /// The base of a relative `cwd` of its apps, and its default.
    pub(super) base: PathBuf,
    /// Where `base` was set, if a file sets it.
    pub(super) base_origin: Option<Origin>,
}

impl Document {
    /// A file in `dir` for a caller in `caller_cwd`. Relative paths in TOML are relative to the file, in PM2's
    /// formats to the caller's directory, as in PM2.
    pub(super) fn new(name: Arc<str>, format: Format, dir: &Path, caller_cwd: &Path) -> Self {
        let dialect = if format == Format::Toml { Dialect::Toml } else { Dialect::Pm2 };
        let base = if dialect == Dialect::Toml { dir } else { caller_cwd };
        Self { name, dialect, dir: dir.to_owned(), base: base.to_owned(), base_origin: None }
    }

    pub(super) fn place(&self, position: Option<Position>) -> SourceLocation {
        SourceLocation { file: self.name.clone(), position }
    }
}

/// A parsed file.
pub(super) struct Parsed {
    pub(super) root: Node,
    /// Errors that do not prevent reading the rest.
    pub(super) problems: Problems,
    /// Probable mistakes in a file that can be run.
    pub(super) warnings: Vec<Problem>,
}

/// Parses the file `name`. `environment` is for `${VAR}` in TOML.
///
/// # Errors
///
/// The text is not in this format.
pub(super) fn parse(
    name: &Arc<str>,
    text: &str,
    format: Format,
    environment: &BTreeMap<OsString, OsString>,
) -> Result<Parsed, Problems> {
    let parsed = match format {
        Format::Toml => toml::parse(text, environment).map(|(root, flaws)| (root, flaws, Vec::new())),
        Format::Yaml => yaml::parse(text).map(|root| (root, Vec::new(), Vec::new())),
        Format::Json | Format::Script => {
            json::parse(text).map(|(root, repeated)| (root, Vec::new(), repeated))
        }
    };
    let problem = |(position, message, hint): Flaw| {
        let place = Some(SourceLocation { file: name.clone(), position });
        Problem { place, message, hint }
    };
    let problems = |flaws: Vec<Flaw>| {
        let mut problems = Problems::none(EX_CONFIG);
        for flaw in flaws {
            problems.push(problem(flaw));
        }
        problems
    };
    match parsed {
        Ok((root, flaws, warnings)) => Ok(Parsed {
            root,
            problems: problems(flaws),
            warnings: warnings.into_iter().map(problem).collect(),
        }),
        Err(flaws) => Err(problems(flaws).sorted()),
    }
}
