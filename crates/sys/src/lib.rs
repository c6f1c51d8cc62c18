//! The system-call layer: everything that talks to the kernel about processes.
//!
//! The only package with `unsafe` code, and the only one that forks, waits and sends signals. It makes no
//! decision: what to start, when to reap and which process gets a signal comes from its callers.

#![allow(unsafe_code, reason = "every other package forbids it; every block has a SAFETY comment")]

pub mod accounts;
pub mod activation;
pub mod bounded_lookup;
mod cgroup_clone;
pub mod cgroups;
pub mod channel;
pub mod clock;
pub mod cpus;
pub mod datagrams;
pub mod descriptor_reserve;
pub mod detach;
pub mod directory;
pub mod file_rights;
pub mod inotify;
pub mod inspect;
pub mod launch_slots;
pub mod limits;
pub mod lock;
pub mod mount_points;
pub mod pages;
pub mod pipes;
pub mod poll;
pub mod proc;
pub mod proc_stat;
pub mod process;
pub mod process_memory;
pub mod program;
pub mod reap;
pub mod regular_file;
pub mod run_cgroups;
pub mod shortage;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod terminal;
pub mod threads;
pub mod tree;
pub mod units;
pub mod zone;
