//! The set-up of the process: signals, limits and reserves, before anything else is done.

use std::{io, os::fd::AsFd as _};

use super::early_output::print_early;
use crate::{
    config::{Problem, Problems},
    spec::ExitCode,
    sys::{
        descriptor_reserve, launch_slots,
        process::{self, OpenFiles},
        signals,
    },
};

/// The exit code for a failure of procrun's own set-up (sysexits.h: `EX_OSERR`).
pub(super) const SET_UP_FAILED: ExitCode = 71;

/// Sets up the process. Signal handlers come first: a SIGTERM waits until there is a handler for it.
pub(super) fn set_up() -> io::Result<(signals::Installed, OpenFiles)> {
    let installed = signals::install()?;
    // PID 1 gets the orphans anyway.
    if let Err(error) = process::become_subreaper()
        && !process::is_pid1()
    {
        print_early(format_args!(
            "warn: prctl(PR_SET_CHILD_SUBREAPER) is refused: {error}; processes whose parent ends are not found and \
             not stopped\n  hint: allow it in the container's seccomp profile, or run procrun as PID 1"
        ));
    }
    process::set_close_on_exec();
    let open_files = process::raise_open_files();
    launch_slots::reserve(io::stdin().as_fd());
    descriptor_reserve::fill();
    Ok((installed, open_files))
}

pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The error of a set-up that failed.
pub(super) fn failed_set_up(error: &io::Error) -> Problems {
    Problems::one(SET_UP_FAILED, Problem::new(format!("procrun cannot start: {error}")))
}
