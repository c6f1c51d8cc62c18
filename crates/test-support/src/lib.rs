//! Runs the built binary for the integration tests: a directory with an ecosystem file and real workers, a running
//! procrun, and the facts of `/proc` about its processes.
//!
//! It is a package of its own, so that the test programs share one compiled copy. It knows procrun only from
//! outside: it uses no type of the library.

mod bed;
mod capture;
mod command;
pub mod load;
pub mod procfs;
pub mod promtool;
mod run;
pub mod strace;
mod wait;
pub mod web;
pub mod workers;

pub use bed::{Bed, Launch, binary, node_major, repository, run_to_end, spawn, tool};
pub use command::CommandOutput;
pub use nix::libc::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};
pub use run::{End, Procrun, send};
pub use wait::{DEADLINE, now, wait_for, wait_for_within, wait_until, wait_until_within};

/// The text of a line that procrun prefixed: the part behind the first ` | `.
#[track_caller]
pub fn text(line: &str) -> &str {
    line.split_once(" | ").unwrap_or_else(|| panic!("no prefix in {line:?}")).1
}

/// The last word of a line as a number: workers print process ids and times at the end.
#[track_caller]
pub fn last_number(line: &str) -> i64 {
    line.split_whitespace()
        .next_back()
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no number at the end of {line:?}"))
}

/// The last word of a line as a process id.
#[track_caller]
pub fn last_pid(line: &str) -> i32 {
    i32::try_from(last_number(line)).expect("a process id")
}
