//! What needs root: other users, mounts, cgroups, system calls that fail. Node is needed, too.

mod bad_input;
mod control;
mod cron;
mod health;
mod hostile;
mod limits;
mod log_files;
mod memory;
mod notify;
mod spawn;
mod surroundings;
mod termination;

#[path = "../support/mod.rs"]
mod support;
