//! Every decision, pure.
//!
//! [`Machine::step`] takes the time and one [`Event`] and says what is to be done as
//! [`Effect`]s. There is no clock, no file, no socket and no process here: time comes in as an
//! argument, timers go out as effects with an epoch, and a timer that has gone stale is ignored.
//!
//! The tree has two levels, each with one question. An *instance* asks "run
//! again, and when?"; the *root* ([`Machine`]) asks "which instances, in which order, and does
//! the container live on?". What an instance cannot answer it hands up as a verdict.

mod app;
mod backoff;
mod event;
pub mod events;
mod fault;
mod file_changes;
mod forecast;
mod health;
mod in_use;
mod instance;
mod job;
mod memory;
mod notice;
mod operation;
mod order;
mod pending_operations;
mod readiness_gate;
mod reason;
mod record;
mod reload;
mod root;
mod scheduled_restart;
mod shutdown;
mod stop_targets;
mod time;

#[cfg(test)]
mod tests;

pub use app::RenameObstacle;
pub use event::{
    Effect, EndRequest, Ending, Event, FailureKind, InstanceId, Readiness, Run, Sign, SpawnFailure,
    StopRequest, Timer, Wait,
};
pub use fault::{ListenFailure, Uncaught};
pub use forecast::Forecast;
pub use health::{HealthFailure, ProbeKind, Word};
pub use in_use::address_in_use;
pub use instance::Status;
pub use memory::{Answer, Excess, Shortage};
pub use notice::{Generation, Next, ReadinessFailure, StopReason, Subject, Why};
pub use operation::{Addition, Count, Manner, Operation, Reply, Ticket, Wanted};
pub use reason::{Command, Reason, reason};
pub use record::RestartHistory;
pub use root::{InstanceView, Machine};
pub use stop_targets::{Member, Role, StopTargets, role, stop_targets};
pub use time::Time;
