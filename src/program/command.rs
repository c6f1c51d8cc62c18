//! The program that runs a script, and its arguments.

use std::{ffi::OsString, path::PathBuf};

use crate::spec::ProgramKind;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The file to execute, absolute.
    pub program: PathBuf,
    /// All arguments, `argv[0]` first.
    pub argv: Vec<OsString>,
    /// Variables that are set on the way to the program, as by `env -S`.
    pub vars: Vec<(OsString, OsString)>,
    /// The kind of program that runs the code.
    pub kind: ProgramKind,
    /// Whether the program is Node itself, so that `argv[1]` may be an option of Node.
    pub takes_node_options: bool,
    /// There is no interpreter to which `interpreter_args` could be passed.
    pub is_direct: bool,
    /// How the kind was found, for messages: `/app/run is a shell script (#!/bin/sh)`.
    pub reason: String,
}
