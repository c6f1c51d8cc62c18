//! The programs that may run a script, the preferred one first.

use std::{ffi::OsString, path::Path};

use super::{identity, shebang::RequestedProgram};
use crate::spec::ProgramKind;

/// Programs for scripts by extension, the preferred one first (PM2's `interpreter.json`).
const BY_EXTENSION: [(&[&str], &[&str]); 8] = [
    (&["js", "cjs", "mjs", "jsx"], &["node", "bun"]),
    (&["ts", "cts", "mts", "tsx"], &["node", "bun"]),
    (&["py"], &["python3", "python"]),
    (&["sh"], &["bash", "sh"]),
    (&["rb"], &["ruby"]),
    (&["php"], &["php"]),
    (&["pl"], &["perl"]),
    (&["lua"], &["lua"]),
];

/// Programs of which the first existing one runs a script.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    pub(super) names: Vec<OsString>,
    /// Their arguments before `interpreter_args`.
    pub(super) args: Vec<OsString>,
    pub(super) vars: Vec<(OsString, OsString)>,
}

impl Candidates {
    pub(super) fn by_extension(script: &Path) -> Option<Self> {
        let extension = script.extension()?.to_str()?;
        let (_, programs) = BY_EXTENSION.iter().find(|(known, _)| known.contains(&extension))?;
        Some(Self { names: programs.iter().map(OsString::from).collect(), ..Self::default() })
    }

    pub(super) fn javascript() -> Self {
        Self { names: ["node", "bun"].map(OsString::from).into(), ..Self::default() }
    }

    /// The interpreter of a `#!` line. PM2 uses the Node in `PATH`, whatever the line contains.
    pub(super) fn requested(requested: &RequestedProgram) -> Self {
        let mut candidates = Self::javascript();
        if !requested.program.is_empty() {
            candidates.names.retain(|name| *name != requested.program);
            candidates.names.insert(0, requested.program.clone());
        }
        Self { args: requested.args.clone(), vars: requested.vars.clone(), ..candidates }
    }

    pub(super) fn one(name: &str) -> Self {
        Self { names: vec![name.into()], ..Self::default() }
    }

    /// The kind of the preferred one.
    pub(super) fn kind(&self) -> ProgramKind {
        self.names.first().and_then(|name| identity::by_name(Path::new(name))).unwrap_or_default()
    }
}
