//! Finds the program that runs a script.
//!
//! This is the only place that decides it. The configuration needs the default of `exec_mode` and warnings, the
//! preflight needs what is missing, and each start needs what to execute. All of them get an answer from the
//! file at that moment: its links, its `#!` line, the main file of a directory. It reads files, changes
//! nothing, and waits for nothing but the file system.
//!
//! | file | contents |
//! |---|---|
//! | `resolve` | the answers for other modules |
//! | `lookup` | the script of an application, as a file |
//! | `uninterpreted` | without a configured interpreter: by extension, by content, or the script itself |
//! | `interpreted`, `candidates` | a program that runs the script, and its arguments |
//! | `identity`, `head`, `shebang` | the kind of an interpreter and of a file |
//! | `package`, `shim` | package.json, and the shell scripts of package managers |
//! | `runners` | whether a program may start npm or another package runner |
//! | `typescript` | which Node runs TypeScript, and the options of tsx |
//! | `command`, `failure` | the results |

mod candidates;
mod command;
mod failure;
mod head;
mod identity;
mod interpreted;
mod lookup;
mod package;
mod resolve;
mod runners;
mod shebang;
mod shim;
#[cfg(test)]
mod tests;
mod typescript;
mod uninterpreted;

pub use self::{
    command::Command,
    failure::Failure,
    lookup::LookupContext,
    package::main_of,
    resolve::{check_cwd, clusters_by_default, command, kind_by_name, resolve},
    runners::may_start_runner,
    typescript::NodeVersion,
};
