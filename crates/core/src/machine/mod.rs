//! The state machine that makes every decision of the supervisor, pure.
//!
//! [`Machine::step`] takes the time and one [`Input`] and returns what is to be done as [`Effect`]s. There is no clock,
//! no file, no socket and no process here: time comes in as an argument, timers go out as effects with an epoch, and a
//! stale timer has no effect.
//!
//! There are two levels. An *instance* decides whether and when it runs again. The *root* ([`Machine`]) decides which
//! instances exist, in which order they start and stop, and whether procrun ends. A step of an instance returns what
//! only the root can decide as its outcome.
//!
//! The files are in layers, and none imports a file of a layer above it: the vocabulary (`ids`, `ending`, `reason`,
//! `events`, `input`, `effect` and others), then `instance`, then the state of reloads, operations and shutdowns, then
//! `root`, and at the top the handlers (`app`, `order`, `reload`, `operations`, `shutdown` and others), which are
//! methods of [`Machine`].

mod app;
mod backoff;
mod change_backoff;
mod effect;
mod ending;
pub mod events;
mod fault;
mod file_changes;
mod forecast;
mod health;
mod history;
mod ids;
mod in_use;
mod input;
mod instance;
mod job;
mod listening;
mod memory;
mod memory_limits;
mod notify;
mod operation;
mod operations;
mod order;
mod pending_operations;
mod readiness;
mod reason;
mod reload;
mod reloads;
mod root;
mod scheduled_restart;
mod serde_form;
mod shutdown;
mod shutdown_budget;
mod status_probe;
mod stop_targets;
mod subject;
mod tallies;
mod time;
mod views;

#[cfg(test)]
mod tests;

pub use app::RenameObstacle;
pub use effect::Effect;
pub use ending::{Ending, FailureKind, FollowUp, SpawnFailure, StopMethod};
pub use fault::{ListenFailure, Uncaught};
pub use forecast::Forecast;
pub use health::{HealthFailure, ProbeKind};
pub use history::PastRun;
pub use ids::{InstanceId, Run, Timer, TimerKind};
pub use in_use::address_in_use;
pub use input::{Input, ShutdownRequest};
pub use instance::Status;
pub use memory::{MemoryAction, MemoryExcess, MemoryShortage};
pub use notify::NotifyMessage;
pub use operation::{Action, AppUpdate, Count, InitialState, Operation, Reply, RestartScope, Ticket};
pub use readiness::{Readiness, ReadinessFailure, ReadinessSource};
pub use reason::{CommandKind, ExitReason, ReloadAbortReason, StopKind, reason};
pub use root::Machine;
pub use status_probe::{AppReport, InstanceProblem, StatusReport};
pub use stop_targets::{Member, Role, StopTargets, role, stop_targets};
pub use subject::{Generation, Subject};
pub use tallies::{AppTally, Tallies};
pub use time::Time;
pub use views::InstanceView;
