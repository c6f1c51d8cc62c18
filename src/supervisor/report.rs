//! What procrun says of its own doing: one place, one vocabulary.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::machine::{Ending, Machine, Next, Notice, StopCause};

/// Says a notice in procrun's own log.
pub(super) fn say(machine: &Machine, notice: &Notice) {
    match notice {
        Notice::Ended { instance, ending, uptime, next } => {
            let (app, id) = (name(machine, *instance), instance.0);
            let (reason, uptime) = (ending.reason(), Readable(*uptime));
            match next {
                Next::Restart(Duration::ZERO) => {
                    info!(app, id, reason, "{ending} after {uptime}, restarting now");
                }
                Next::Restart(wait) => {
                    let wait = Readable(*wait);
                    info!(app, id, reason, "{ending} after {uptime}, restarting in {wait}");
                }
                Next::Stay if failed(ending) => warn!(app, id, reason, "{ending} after {uptime}, stopped"),
                Next::Stay => info!(app, id, reason, "{ending} after {uptime}, stopped"),
                Next::Errored { unstable } => {
                    error!(
                        app,
                        id, reason, "{ending} after {uptime}, errored: {unstable} unstable starts in a row"
                    );
                }
                Next::Sweep => {
                    info!(app, id, reason, "{ending} after {uptime}, its processes are still there")
                }
            }
        }
        Notice::Stopping { instance, signal, cause } => {
            let (app, id) = (name(machine, *instance), instance.0);
            match cause {
                StopCause::Shutdown => debug!(app, id, "stopping with {signal}"),
                StopCause::Removed => info!(app, id, "stopping with {signal}: no longer wanted"),
                StopCause::Changed => info!(app, id, "stopping with {signal}: its configuration changed"),
            }
        }
        Notice::Leftovers { instance, signal } => {
            info!(
                app = name(machine, *instance),
                id = instance.0,
                "sent {signal} to the processes it left behind"
            );
        }
        Notice::Killing { instance, waited } => {
            let waited = Readable(*waited);
            warn!(
                app = name(machine, *instance),
                id = instance.0,
                "still there after {waited}, killing its tree"
            );
        }
        Notice::Unkillable { instance } => {
            error!(
                app = name(machine, *instance),
                id = instance.0,
                "not even SIGKILL ended it, giving up on it"
            );
        }
        Notice::ShuttingDown { alive } => info!("stopping {alive} {}", plural(*alive)),
        Notice::KillingAll => warn!("asked to stop again, killing everything"),
        Notice::Escalated { instance, code } => {
            error!(
                app = name(machine, *instance),
                id = instance.0,
                "errored and critical: ending with code {code}"
            );
        }
    }
}

fn failed(ending: &Ending) -> bool {
    ending.code() != 0
}

fn name(machine: &Machine, id: crate::machine::InstanceId) -> &str {
    machine.instance(id).map_or("?", |view| &view.spec.name)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "process" } else { "processes" }
}

/// A duration as people say it.
struct Readable(Duration);

impl std::fmt::Display for Readable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (millis, seconds) = (self.0.as_millis(), self.0.as_secs());
        match seconds {
            _ if millis < 1000 => write!(f, "{millis} ms"),
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}
