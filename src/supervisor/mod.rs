//! The one actor that owns the process table: select, step, carry out.
//!
//! One thread, that of the actor, owns the process table: it registers, reaps and signals processes, and arms timers.
//! Helper threads create the processes (`start_job`). The actor makes no decision: `machine` decides.
//!
//! `actor` owns the machine and the parts; its files are the steps of its loop. The other files here are the parts. A
//! part does not know the actor, and no file is imported by its own imports.

mod actor;
mod added_apps;
mod background;
mod boot;
mod clients;
mod clock;
mod closed_sockets;
mod command_text;
mod deferred;
mod early_output;
mod early_stop;
mod environment;
mod evaluation;
mod event_dispatch;
mod event_log;
mod event_queue;
mod failed_start;
mod health_checks;
mod helper_threads;
mod identity;
mod input;
mod inspector;
mod job_queues;
mod launch;
mod listen_sockets;
mod log_event;
mod log_files;
mod log_followers;
mod lookup;
mod memory;
mod outages;
mod own_file;
mod package;
mod panics;
mod pid_file;
mod preflight;
mod probe_program;
mod process_trees;
mod read_config;
mod reading;
mod role;
mod run;
mod schedules;
mod service_manager;
mod set_up;
mod start_job;
mod start_progress;
mod start_target;
mod starting;
mod stop_targets;
mod termination;
mod timers;
mod unexplained;
mod usage;
mod wall_clock;
mod web_server;
mod workers;
mod zones;

pub use self::{
    background::Background, read_config::evaluate, role::Role, run::run, service_manager::ServiceManager,
    termination::not_started,
};
