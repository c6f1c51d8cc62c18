//! The states of an instance, and the types of its steps.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    machine::{
        effect::Effect,
        ending::FollowUp,
        events::{EventData, Notice},
        reason::StopKind,
        subject::Subject,
        time::Time,
    },
    spec::{ExitCode, Signal},
};

/// The status of an instance in the words of PM2. `waiting` is procrun's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The instance's process starts, or is not ready yet.
    Launching,
    /// The instance's process runs.
    Online,
    /// The instance's process tree is being stopped.
    Stopping,
    /// The instance has no process and does not start by itself.
    Stopped,
    /// The instance has no process until its dependencies are satisfied.
    #[serde(rename = "waiting")]
    WaitingForDependencies,
    /// The instance has no process until the backoff delay is over.
    #[serde(rename = "waiting restart")]
    BackingOff,
    /// The instance has no process after too many unstable runs.
    Errored,
}

impl Status {
    /// The word in tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::Online => "online",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::WaitingForDependencies => "waiting",
            Self::BackingOff => "waiting restart",
            Self::Errored => "errored",
        }
    }

    /// What the status alone does not show: the process runs and cannot serve. `None`: it is not known to have one.
    pub fn flaw(self, healthy: Option<bool>, ready: Option<bool>) -> Option<&'static str> {
        match (self, healthy, ready) {
            // A process that has passed its health probe and fails it is being restarted.
            (Self::Online, Some(false), _) => Some("not healthy yet"),
            (Self::Online, _, Some(false)) => Some("not ready"),
            _ => None,
        }
    }

    /// The word for it, with the flaw.
    pub fn with_flaw(self, flaw: Option<&str>) -> String {
        flaw.map_or_else(|| self.word().to_owned(), |flaw| format!("{}, {flaw}", self.word()))
    }

    /// The nearest of PM2's own words.
    pub fn pm2_word(self) -> &'static str {
        match self {
            Self::WaitingForDependencies => Self::Launching.word(),
            Self::Launching
            | Self::Online
            | Self::Stopping
            | Self::Stopped
            | Self::BackingOff
            | Self::Errored => self.word(),
        }
    }
}

#[derive(Debug)]
pub(in crate::machine) enum State {
    Stopped,
    /// The instance starts when its dependencies are satisfied.
    WaitingForDependencies(DependencyWait),
    Launching {
        run: u64,
        since: Time,
        stop: Option<Stop>,
        /// Signals for its process, which gets them when it executes its program.
        signals: BTreeSet<Signal>,
    },
    Online {
        run: u64,
        since: Time,
    },
    /// The instance finishes its connections before it gets its stop signal.
    Draining {
        run: u64,
        since: Time,
        signal: Signal,
        then: AfterStop,
    },
    Stopping {
        run: u64,
        main_exited: bool,
        since: Time,
        kills: u8,
        then: AfterStop,
    },
    BackingOff,
    Errored,
}

/// The wait of an instance for its dependencies.
#[derive(Debug)]
pub(in crate::machine) struct DependencyWait {
    /// The dependencies that must be started first.
    pub(in crate::machine) starts: StartDependencies,
    /// The wait was reported.
    pub(in crate::machine) is_reported: bool,
    /// The instance has waited for `listen_timeout`.
    pub(in crate::machine) is_late: bool,
    /// That it is late was reported.
    pub(in crate::machine) is_late_reported: bool,
    /// Why it cannot start at the moment.
    pub(in crate::machine) obstacle: Option<Obstacle>,
}

impl DependencyWait {
    /// Whether a dependency does not become satisfied by itself.
    pub(in crate::machine) fn is_blocked(&self) -> bool {
        self.obstacle.is_some()
    }
}

/// Why an instance cannot start at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::machine) struct Obstacle {
    /// The obstacle: `migrate (0) is errored`.
    pub(in crate::machine) message: String,
    /// The dependency has failed: no client and no configuration stopped it.
    pub(in crate::machine) is_failure: bool,
}

/// Which dependencies a start starts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::machine) enum StartDependencies {
    /// None: they have been started.
    Started,
    /// Dependencies that were neither started nor stopped before.
    NeverStarted,
    /// All: a client requested the start of the dependent instance.
    All,
}

/// The state of an instance, and the data of its timers and its stop.
#[derive(Debug)]
pub(in crate::machine) struct Lifecycle {
    pub(in crate::machine) state: State,
    /// Counts armed timers; all but the last one are stale.
    pub(in crate::machine) epoch: u64,
    /// The number of the last attempted run; 0: none.
    pub(in crate::machine) attempted: u64,
    /// The number of the last run whose program was executed; 0: none.
    pub(in crate::machine) executed: u64,
    /// Whether a client or the configuration has stopped it.
    pub(in crate::machine) is_stopped_by_request: bool,
    /// In a shutdown: SIGKILL comes no later than this, whatever `kill_timeout` is, and the present run is the last
    /// one.
    pub(in crate::machine) kill_limit: Option<Time>,
    /// The grace period and its end.
    pub(in crate::machine) grace: (Duration, Time),
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            state: State::Stopped,
            epoch: 0,
            attempted: 0,
            executed: 0,
            is_stopped_by_request: false,
            kill_limit: None,
            grace: (Duration::ZERO, Time::ZERO),
        }
    }
}

/// A request to stop the instance.
#[derive(Debug, Clone, Copy)]
pub(in crate::machine) struct Stop {
    pub(in crate::machine) signal: Signal,
    pub(in crate::machine) kind: StopKind,
    pub(in crate::machine) then: AfterStop,
}

/// What follows when the process tree is gone.
#[derive(Debug, Clone, Copy)]
pub(in crate::machine) enum AfterStop {
    /// The process ended by itself: what its exit leads to.
    Follow(FollowUp),
    /// Stay stopped.
    StayStopped,
    /// Restart, and forget earlier unstable runs.
    Restart,
    /// Restart as after a crash: it was unhealthy.
    Recover,
    /// Leave the list.
    Remove,
}

/// What a step of an instance means for the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(in crate::machine) enum StepOutcome {
    /// Nothing.
    Nothing,
    /// The instance has ended by itself and does not restart.
    Ended(ExitCode),
    /// The instance is errored.
    Errored(ExitCode),
    /// The instance leaves the list.
    Removed,
}

/// The context of a step.
pub(in crate::machine) struct Step<'a> {
    pub(in crate::machine) now: Time,
    pub(in crate::machine) out: &'a mut Vec<Effect>,
    pub(in crate::machine) runs: &'a mut u64,
}

impl Step<'_> {
    pub(in crate::machine) fn report(&mut self, subject: Subject, data: EventData) {
        self.out.push(Notice::of(subject, data).into());
    }
}
