//! What needs root: other users, mounts, cgroups, system calls that fail. Node is needed, too.

mod bad_input;
mod control;
mod control_socket;
mod cron;
mod file_systems;
mod health;
mod limits;
mod log_files;
mod memory;
mod notify;
mod panics;
mod shortages;
mod spawn;
mod stopped_starts;
mod surroundings;
mod system_calls;
mod termination;
mod user_files;

use procrun_test_support as support;

use support::{Bed, Procrun, workers};

/// Starts the applications of a bed as PID 1, with the script `steady.sh`, after these shell commands and through this
/// program.
fn start_steady(bed: &Bed, commands: &str, through: &[&str]) -> Procrun {
    bed.script("steady.sh", workers::STEADY);
    bed.launch(&["ecosystem.toml"]).pid1().system_path().after(commands).through(through).start()
}
