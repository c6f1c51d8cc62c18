//! What needs root: other users, mounts, cgroups, system calls that fail. Node is needed, too.

mod bad_input;
mod control;
mod control_socket;
mod cron;
mod health;
mod hostile;
mod hung_files;
mod limits;
mod log_files;
mod memory;
mod notify;
mod spawn;
mod surroundings;
mod system_calls;
mod termination;

use procrun_test_support as support;
