//! The result of reading a source: the plan and the facts about it.

use std::path::PathBuf;

use super::{
    origin::{AppSettings, Setting},
    problem::{EX_IOERR, Problem, Problems},
};
use crate::spec::{Plan, order::CrossFileDependency};

/// A plan and the facts about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The applications and settings.
    pub plan: Plan,
    /// Notices about the configuration that are not errors.
    pub notices: Vec<String>,
    /// procrun's own settings with their origins.
    pub runtime_settings: Vec<Setting>,
    /// The settings of each application, in the order of the plan.
    pub settings: Vec<AppSettings>,
    /// Dependencies on applications that `--only` leaves out.
    pub outside: Vec<CrossFileDependency>,
    /// The ecosystem file, the files that it includes, and every `env_file`, absolute.
    pub files_read: Vec<PathBuf>,
    /// The file as TOML, if a conversion was requested.
    pub conversion: Option<Conversion>,
    /// Look-ups for applications that timed out.
    pub unanswered: Vec<Unanswered>,
}

/// The TOML file that a conversion writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The contents of the file.
    pub text: String,
    /// The parts of the original that it lacks, and what to check.
    pub notes: Vec<String>,
}

/// A look-up for an application without a result. The plan has what is known without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The name of the application.
    pub app: String,
    /// What timed out or failed, with the path: a clause that follows `app NAME: `.
    pub what: String,
    /// The next step.
    pub hint: &'static str,
}

/// The hint for a file system that does not respond.
pub const UNANSWERED_HINT: &str = "the file system does not respond; check its network mount";

impl Loaded {
    /// The plan for a command, which does not wait for file systems.
    ///
    /// # Errors
    ///
    /// A look-up has timed out.
    pub fn answered(self) -> Result<Self, Problems> {
        let mut problems = Problems::none(EX_IOERR);
        for Unanswered { app, what, hint } in &self.unanswered {
            problems.push(Problem::new(format!("app `{app}`: {what}")).hint(*hint));
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}
