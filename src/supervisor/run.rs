//! The life of a supervisor: set-up, boot, loop, end.

use std::mem::ManuallyDrop;

use super::{
    actor,
    boot::Boot,
    early_output::print_early,
    panics,
    role::Role,
    set_up::{SET_UP_FAILED, runtime, set_up},
    termination::not_started,
};
use crate::{
    config::Source,
    spec::{ExitCode, TerminationLog},
    sys::{
        limits, process,
        signals::{self, Signals},
    },
};

/// Runs the apps of `source` in the foreground until the end, and returns the exit code.
///
/// Errors are printed to stderr; a configuration with errors starts nothing. Without a directory for its
/// control socket it runs without one.
pub fn run(source: &Source, role: &Role) -> ExitCode {
    panics::install_hook();
    process::limit_allocator_arenas();
    // Signals that arrive before the set-up has installed their handlers wait for them.
    signals::block_all();
    // The set-up runs beside it.
    let boot = Boot::begin(source);
    match set_up().and_then(|(installed, open_files)| {
        limits::lower_own_oom_score();
        // The process ends right after; see the end of `supervise`.
        let runtime = ManuallyDrop::new(runtime()?);
        panics::guard(|| {
            runtime.block_on(async {
                let signals = Signals::new(installed)?;
                // On the heap: the future holds the state of every part, and the stack would keep its room.
                Box::pin(actor::startup::supervise(source, role, signals, open_files, boot)).await
            })
        })
    }) {
        Ok(code) => code,
        Err(error) => {
            let error = format!("error: procrun cannot start: {error}");
            print_early(&error);
            if role.background.is_none() {
                not_started(&TerminationLog::IfThere, &error);
            }
            SET_UP_FAILED
        }
    }
}
