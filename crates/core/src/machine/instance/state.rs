//! The states of an instance, and what takes it from one to the next.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    machine::{
        effect::Effect,
        ending::FollowUp,
        events::{EventData, Notice},
        reason::StopReason,
        subject::Subject,
        time::Time,
    },
    spec::{ExitCode, Signal},
};

/// The status of an instance in the words of PM2. `waiting` is procrun's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its process starts, or is not ready yet.
    Launching,
    /// Its process runs.
    Online,
    /// Its process, or the rest of its tree, is being stopped.
    Stopping,
    /// It has no process and does not start by itself.
    Stopped,
    /// It has no process until its dependencies are ready.
    #[serde(rename = "waiting")]
    WaitingForDependencies,
    /// It has no process until the backoff delay is over.
    #[serde(rename = "waiting restart")]
    BackingOff,
    /// It has no process after too many unstable runs.
    Errored,
}

impl Status {
    /// The word for it.
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
    /// It starts when others are what it waits for.
    WaitingForDependencies(DependencyWait),
    Launching {
        run: u64,
        since: Time,
        stop: Option<Stop>,
        /// For its process, which gets them as soon as it executes its program.
        signals: BTreeSet<Signal>,
    },
    Online {
        run: u64,
        since: Time,
    },
    /// It finishes its connections before it is asked to end.
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

/// The wait of an instance for others.
#[derive(Debug)]
pub(in crate::machine) struct DependencyWait {
    /// Whom to start first.
    pub(in crate::machine) starts: StartDependencies,
    /// What it waits for has been said.
    pub(in crate::machine) is_reported: bool,
    /// It has waited for `listen_timeout`.
    pub(in crate::machine) is_late: bool,
    /// That has been said, too.
    pub(in crate::machine) is_late_reported: bool,
    /// Why it cannot start as things stand.
    pub(in crate::machine) obstacle: Option<Obstacle>,
}

impl DependencyWait {
    /// Whether nothing leads to its start by itself.
    pub(in crate::machine) fn is_blocked(&self) -> bool {
        self.obstacle.is_some()
    }
}

/// Why an instance cannot start as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::machine) struct Obstacle {
    /// What stands in its way: `migrate (0) is errored`.
    pub(in crate::machine) message: String,
    /// That has come about by itself; nobody wanted it so.
    pub(in crate::machine) is_failure: bool,
}

/// Which of those that it depends on are started with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::machine) enum StartDependencies {
    /// None any more.
    Started,
    /// Those that were never started or stopped on request.
    NeverStarted,
    /// All: the request names it.
    All,
}

/// Where an instance stands, and what its timers and its stop need.
#[derive(Debug)]
pub(in crate::machine) struct Lifecycle {
    pub(in crate::machine) state: State,
    /// Counts armed timers; all but the last one armed are stale.
    pub(in crate::machine) epoch: u64,
    /// The number of the last run that was attempted; 0: none.
    pub(in crate::machine) attempted: u64,
    /// The number of the last run whose program has been executed; 0: none.
    pub(in crate::machine) executed: u64,
    /// A client or the configuration has stopped it.
    pub(in crate::machine) is_stopped_by_request: bool,
    /// In a shutdown: SIGKILL comes no later than this, whatever `kill_timeout` says, and the present run is
    /// the last one.
    pub(in crate::machine) kill_limit: Option<Time>,
    /// The time from the stop signal to SIGKILL, and when it ends.
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

/// A wish to end the instance.
#[derive(Debug, Clone, Copy)]
pub(in crate::machine) struct Stop {
    pub(in crate::machine) signal: Signal,
    pub(in crate::machine) cause: StopReason,
    pub(in crate::machine) then: AfterStop,
}

/// What comes when the tree is gone.
#[derive(Debug, Clone, Copy)]
pub(in crate::machine) enum AfterStop {
    /// The process ended by itself: whatever its ending leads to.
    Follow(FollowUp),
    /// Stay stopped.
    StayStopped,
    /// Run again, with a clean record.
    Restart,
    /// Run again as after a crash: it was sick.
    Recover,
    /// Be forgotten.
    Remove,
}

/// What the root has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(in crate::machine) enum StepOutcome {
    /// Nothing.
    Nothing,
    /// It has ended by itself and for good.
    Ended(ExitCode),
    /// It has given up.
    Errored(ExitCode),
    /// It may be forgotten.
    Removed,
}

/// What a step works with.
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
