//! The commands, one file each: definition, function and, where no other command needs it, output.
//!
//! A new command is a file here and a row in [`COMMANDS`]. Parser, help, completions and reference follow from
//! its definition. A command for the supervisor sends a `control::Request`; a new request is a variant there and an
//! arm in `supervisor::actor::requests`.

mod apply;
mod attach;
pub(super) mod check;
mod cleardump;
mod completions;
mod convert;
mod delete;
mod describe;
mod ecosystem;
mod env;
mod events;
mod flush;
mod healthcheck;
mod help;
mod id;
mod jlist;
mod kill;
mod list;
mod logs;
mod monit;
mod pid;
mod ping;
mod prettylist;
mod reload;
mod reset;
mod restart;
mod resurrect;
mod run;
mod save;
mod scale;
mod schema;
mod send;
mod serve;
mod signal;
pub(super) mod start;
mod stop;
mod supervise;
mod tree;
mod version;

use super::command::Command;

/// All commands, in the order of the help.
pub(super) static COMMANDS: &[&Command] = &[
    &run::RUN,
    &check::CHECK,
    &start::START,
    &stop::STOP,
    &restart::RESTART,
    &reload::RELOAD,
    &apply::APPLY,
    &delete::DELETE,
    &scale::SCALE,
    &reset::RESET,
    &signal::SIGNAL,
    &serve::SERVE,
    &list::LIST,
    &jlist::JLIST,
    &prettylist::PRETTYLIST,
    &describe::DESCRIBE,
    &tree::TREE,
    &env::ENV,
    &pid::PID,
    &id::ID,
    &healthcheck::HEALTHCHECK,
    &logs::LOGS,
    &events::EVENTS,
    &monit::MONIT,
    &attach::ATTACH,
    &send::SEND,
    &flush::FLUSH,
    &ping::PING,
    &save::SAVE,
    &cleardump::CLEARDUMP,
    &resurrect::RESURRECT,
    &supervise::SUPERVISE,
    &kill::KILL,
    &ecosystem::ECOSYSTEM,
    &convert::CONVERT,
    &schema::SCHEMA,
    &completions::COMPLETIONS,
    &help::HELP,
    &version::VERSION,
];
