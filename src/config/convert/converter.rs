//! The state of a conversion, and its notes on what the TOML file lacks.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{
    keys::{APP_KEYS, words},
    loaded::Loaded,
    notices::Notices,
    problem::Problem,
    source::Source,
    target::{Format, Target},
    tree::{Entry, Node, SourceLocation},
    value::{self, Dialect},
};

pub(super) struct Converter<'a> {
    pub(super) source: &'a Source,
    /// The directory of the TOML file.
    pub(super) to: &'a Path,
    pub(super) process_env: &'a [(String, String)],
    /// The file `.env` in the caller's directory, if the file's `process.env` has exactly its variables.
    pub(super) dotenv: Option<PathBuf>,
    pub(super) loaded: &'a Loaded,
    pub(super) file: Arc<str>,
    pub(super) notes: Notices,
}

impl Converter<'_> {
    pub(super) fn is_evaluated(&self) -> bool {
        matches!(self.source.0.target, Target::File { format: Format::Script, .. })
    }

    pub(super) fn unknown(&mut self, entry: &Entry, inside: &str) {
        if value::is_unset(&entry.node, Dialect::Pm2) {
            return;
        }
        let place = SourceLocation { file: self.file.clone(), position: entry.at };
        let message = format!("`{}`{inside} is left out: unknown key", entry.key);
        let problem = Problem::at(place, message).did_you_mean(&entry.key, words(APP_KEYS));
        self.notes.problem(&problem);
    }

    pub(super) fn left_out(&mut self, entry: &Entry, inside: &str, why: &str) {
        let topic = format!("{}{inside}", entry.key);
        let place = self.place(&entry.node);
        self.notes.once(&topic, || format!("{place}: `{}`{inside} is left out: {why}", entry.key));
    }

    pub(super) fn place(&self, node: &Node) -> SourceLocation {
        SourceLocation { file: self.file.clone(), position: node.at }
    }
}
