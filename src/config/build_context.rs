//! The inputs of building an application besides its draft, and the outputs besides its spec.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    loaded::{UNANSWERED_HINT, Unanswered},
    notices::Notices,
    problem::Problems,
    value::Dialect,
};
use crate::sys::bounded_lookup::Lookups;

/// The file of an application and the request of the command line.
pub(super) struct BuildContext<'a> {
    /// The base of relative `cwd`s.
    pub(super) base: &'a Path,
    pub(super) dialect: Dialect,
    /// The directory of the file, absolute.
    pub(super) file_dir: &'a Path,
    /// The caller's working directory.
    pub(super) caller_cwd: &'a Path,
    pub(super) environment: &'a BTreeMap<OsString, OsString>,
    /// The value of `--env`.
    pub(super) env_name: Option<&'a str>,
    /// The name of the file as the user wrote it.
    pub(super) name: &'a str,
    /// The variables that the file set in its `process.env`.
    pub(super) process_env: &'a [(String, String)],
}

/// Results that all applications add to.
pub(super) struct BuildOutput<'a> {
    pub(super) problems: &'a mut Problems,
    pub(super) notices: &'a mut Notices,
    pub(super) files_read: &'a mut Vec<PathBuf>,
    /// Look-ups of files that belong to one application.
    pub(super) lookups: &'a mut Lookups,
    /// The look-ups that timed out.
    pub(super) unanswered: &'a mut Vec<Unanswered>,
}

impl BuildOutput<'_> {
    /// Records a look-up of an application that timed out. `consequence` completes the notice.
    pub(super) fn unanswered(&mut self, app: &str, what: String, consequence: &str) {
        self.notices.add(format!("app `{app}`: {what}: {consequence}; {UNANSWERED_HINT}"));
        self.unanswered.push(Unanswered { app: app.to_owned(), what, hint: UNANSWERED_HINT });
    }
}
