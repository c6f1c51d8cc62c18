//! What is worth saying, to people and to programs, and in which words.

use std::{fmt, sync::Arc, time::Duration};

use super::{Answer, EndRequest, Ending, Excess, InstanceId, ProbeKind, Reason, Sickness, Sign};
use crate::spec::{AppSpec, ExitCode, Signal};

/// Whom a notice is about. It names the instance even when that is already forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Which instance.
    pub id: InstanceId,
    /// What people call it by.
    pub pm_id: u32,
    /// Where it stands in a reload.
    pub generation: Generation,
    /// What it runs.
    pub spec: Arc<AppSpec>,
}

/// Where an instance stands in a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// It is the one of its place.
    Settled,
    /// It is to be that one as soon as it is ready, if ever.
    Coming,
    /// It was that one, and ends.
    Leaving,
}

/// Worth saying, to people and to programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The main process of an instance has ended.
    Ended {
        /// Whose.
        who: Subject,
        /// How.
        ending: Ending,
        /// Why procrun has ended it, if it has.
        reason: Option<Reason>,
        /// How long it was up.
        uptime: Duration,
        /// What follows.
        next: Next,
    },
    /// The program of an instance is being executed.
    Started {
        /// Whose.
        who: Subject,
    },
    /// An instance that could not listen goes on without that, and counts as online.
    GoesOn {
        /// Which.
        who: Subject,
        /// Where it could not listen: `port 3000`.
        place: String,
    },
    /// An instance with `wait_ready` has not sent its message in time. It goes on.
    NotReady {
        /// Which.
        who: Subject,
        /// What it was to do, and how long it has had.
        setback: Setback,
    },
    /// An instance has given a sign that it can do its work, for the first time in this run.
    Ready {
        /// Which.
        who: Subject,
        /// What sign.
        sign: Sign,
        /// How long after its start.
        after: Duration,
    },
    /// An instance waits for others before it starts, or still does.
    WaitsFor {
        /// Which.
        who: Subject,
        /// For what: `db (ready)`.
        what: String,
        /// How long it has waited, if that is longer than anybody expects.
        late: Option<Duration>,
    },
    /// An instance is not started, because what it waits for will not come.
    Blocked {
        /// Which.
        who: Subject,
        /// What stands in its way: `migrate (0) is errored`.
        what: String,
    },
    /// An instance has passed a check for the first time in this run, or again.
    Well {
        /// Which.
        who: Subject,
        /// What was asked.
        kind: ProbeKind,
        /// How long after its start.
        after: Duration,
    },
    /// An instance has failed a check, and nothing follows yet.
    Failed {
        /// Which.
        who: Subject,
        /// What was asked.
        kind: ProbeKind,
        /// Failures in a row that count.
        failures: u32,
        /// So many are believed.
        retries: u32,
        /// What was answered.
        said: String,
    },
    /// An instance has failed its check for readiness often enough.
    NotReadyNow {
        /// Which.
        who: Subject,
        /// What was answered.
        said: String,
    },
    /// An instance is not well and has to end.
    Sick {
        /// Which.
        who: Subject,
        /// Why.
        sickness: Sickness,
    },
    /// An instance is asked to finish its connections before it is asked to end.
    Draining {
        /// Which.
        who: Subject,
        /// How long it may take.
        within: Duration,
        /// Why.
        cause: StopCause,
    },
    /// An instance is asked to end.
    Stopping {
        /// Which.
        who: Subject,
        /// By what.
        request: EndRequest,
        /// Why.
        cause: StopCause,
    },
    /// Processes of an ended worker are still there and have to end.
    Leftovers {
        /// Whose.
        who: Subject,
    },
    /// An instance did not end in time: SIGKILL to its whole tree.
    Killing {
        /// Which.
        who: Subject,
        /// How long it was given.
        waited: Duration,
    },
    /// Not even SIGKILL ended it (a process in uninterruptible sleep).
    Unkillable {
        /// Which.
        who: Subject,
    },
    /// An application is being reloaded.
    Reloading {
        /// Its name.
        app: String,
        /// How many processes are to be replaced.
        total: u32,
        /// Old and new ones serve side by side; else each old one ends before its new one starts.
        rolling: bool,
    },
    /// All of an application that was to be replaced has been.
    Reloaded {
        /// Its name.
        app: String,
        /// How many processes.
        total: u32,
        /// How long it took.
        took: Duration,
    },
    /// An application was not reloaded, or not all of it.
    ReloadFailed(ReloadFailure),
    /// It is time for an application by its schedule: it is restarted, reloaded or started.
    Due {
        /// Which, as it is.
        app: Arc<AppSpec>,
    },
    /// Something waits until the reload of an application is over.
    Queued {
        /// Its name.
        app: String,
        /// What waits: `scale`.
        what: &'static str,
    },
    /// Files of an application have changed, and it runs anew.
    FilesChanged {
        /// Its name.
        app: String,
        /// One of the files, for people.
        path: String,
        /// Old and new processes serve side by side.
        rolling: bool,
    },
    /// The same, but it happens so often that it waits.
    ChangesOften {
        /// Its name.
        app: String,
        /// One of the files, for people.
        path: String,
        /// How many changes in a row came soon after a start.
        times: u32,
        /// How long it waits.
        wait: Duration,
    },
    /// An instance has more memory than it may have.
    TooMuch {
        /// Which.
        who: Subject,
        /// Bytes that it has.
        used: u64,
        /// Bytes that it may have.
        limit: u64,
        /// What is done about it.
        answer: Answer,
    },
    /// The container's memory is short: the largest worker ends and starts again.
    Retiring {
        /// Which.
        who: Subject,
        /// Bytes that it has.
        size: u64,
        /// Bytes that the container has and cannot have back.
        used: u64,
        /// Bytes that it may have.
        limit: u64,
        /// Bytes that all workers together have.
        workers: u64,
        /// How often in a row.
        times: u32,
        /// How long its next start waits.
        wait: Duration,
    },
    /// The container's memory is short, and not because of its workers.
    MemoryElsewhere {
        /// Bytes that the container has and cannot have back.
        used: u64,
        /// Bytes that it may have.
        limit: u64,
        /// Bytes that its workers have.
        workers: u64,
    },
    /// A task was changed while it runs: it is not interrupted, and runs again when it has ended.
    TaskChanged {
        /// Which.
        who: Subject,
    },
    /// A process that could not be started was to get these signals.
    SignalsLost {
        /// Whose process.
        who: Subject,
        /// Which, by number.
        signals: Vec<Signal>,
    },
    /// The file says of an application what it is being reloaded to already.
    UnderWay {
        /// Its name.
        app: String,
    },
    /// Everything is to stop, and serves on for a while.
    Closing {
        /// How long.
        delay: Duration,
    },
    /// Everything stops.
    ShuttingDown {
        /// How many instances have a process.
        alive: usize,
    },
    /// Asked to stop again: no more waiting.
    KillingAll,
    /// The end of an application is the end of the container (`on_errored`, `ends_container`).
    Escalated {
        /// Which.
        who: Subject,
        /// The code procrun will exit with.
        code: ExitCode,
    },
}

/// Why an instance is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// Everything stops.
    Shutdown,
    /// Its application is no longer in the file, or has fewer instances.
    Removed,
    /// Its application reads otherwise now.
    Changed,
    /// `stop`.
    Asked,
    /// `delete`.
    Deleted,
    /// `scale` to fewer instances.
    ScaledDown,
    /// Somebody asked for it to run anew.
    Restarted,
    /// Watched files have changed.
    FilesChanged,
    /// It is time for it by its schedule.
    Due,
    /// It has too much memory, or is the largest when the container's is short.
    Memory(Excess),
    /// Its application is being reloaded, and its new process has to wait for its end.
    Reloaded,
    /// Its successor does its work now.
    Replaced,
    /// It was to be a successor, but the reload is given up.
    GivenUp,
    /// It is not well.
    Sick,
    /// It has finished its connections.
    Drained,
    /// It has had its time to finish its connections.
    NotDrained,
}

impl StopCause {
    /// Whether others take its place: then it may finish the connections that it has.
    pub(super) fn drains(self) -> bool {
        match self {
            Self::Removed | Self::ScaledDown | Self::Replaced | Self::GivenUp => true,
            Self::Shutdown
            | Self::Changed
            | Self::Asked
            | Self::Deleted
            | Self::FilesChanged
            | Self::Restarted
            | Self::Due
            | Self::Memory(_)
            | Self::Reloaded
            | Self::Sick
            | Self::Drained
            | Self::NotDrained => false,
        }
    }
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It runs again after this wait.
    Restart(Duration),
    /// It stays ended, as it was asked to.
    Stay,
    /// It stays ended: its own exit is final.
    Final,
    /// Too many unstable runs.
    Errored {
        /// So many.
        unstable: u32,
    },
    /// What is left of its tree has to end before anything follows.
    Sweep,
}

/// Why a new process does not count as ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setback {
    /// It has ended.
    Ended {
        /// How.
        ending: Ending,
        /// How long it was up.
        uptime: Duration,
    },
    /// It has not given its sign.
    Silent {
        /// What sign.
        sign: Sign,
        /// How long it has had (`listen_timeout`).
        waited: Duration,
    },
    /// It has not passed its check.
    Unwell {
        /// How long it has had (`listen_timeout`).
        waited: Duration,
        /// What was answered last.
        said: String,
    },
    /// It was not well and had to end.
    Sick(Sickness),
    /// It never began: what was there before could not be ended.
    NoRoom,
    /// It has not begun: it waits for others.
    Order,
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { ending: ending @ Ending::SpawnFailed(_), uptime: _ } => {
                write!(f, "ended: {ending}")
            }
            Self::Ended { ending, uptime } => write!(f, "ended: {ending}, up {}", Readable(*uptime)),
            Self::Silent { sign: Sign::Listening, waited } => {
                write!(f, "did not listen within {} (`listen_timeout`)", Readable(*waited))
            }
            Self::Silent { sign: Sign::Message, waited } => {
                write!(f, "did not send `ready` within {} (`listen_timeout`)", Readable(*waited))
            }
            Self::Order => f.write_str("did not start: it waits for others"),
            Self::Silent { sign: Sign::Probe, waited } => {
                write!(f, "did not pass its check within {} (`listen_timeout`)", Readable(*waited))
            }
            Self::Unwell { waited, said } => {
                write!(f, "did not pass its check within {} (`listen_timeout`): {said}", Readable(*waited))
            }
            Self::Sick(sickness) => write!(f, "{sickness}"),
            Self::NoRoom => f.write_str("did not start: its predecessor did not end"),
        }
    }
}

/// A reload that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadFailure {
    /// The application's name.
    pub app: String,
    /// Why.
    pub why: Why,
    /// How many processes have been replaced before.
    pub replaced: u32,
    /// How many were to be.
    pub total: u32,
    /// Old and new ones served side by side.
    pub rolling: bool,
}

/// Why a reload was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A new process is not ready.
    Setback(Subject, Setback),
    /// Somebody asked for the application, or a part of it, to stop.
    Asked,
    /// The container's memory is short.
    MemoryShort,
    /// The application is no longer in the file.
    Removed,
    /// Everything stops.
    Shutdown,
}

impl fmt::Display for ReloadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, why, replaced, total, rolling } = self;
        write!(f, "the reload of {app} is given up: ")?;
        match why {
            Why::Setback(who, setback) => write!(f, "{who} {setback}")?,
            Why::MemoryShort => f.write_str("the container's memory is short")?,
            Why::Asked => return f.write_str("it was asked to stop"),
            Why::Removed => return f.write_str("it is no longer in the file"),
            Why::Shutdown => return f.write_str("everything stops"),
        }
        match (rolling, replaced) {
            (true, 0) => f.write_str("; the old version serves on"),
            (false, 0) if *total == 1 => f.write_str("; it goes on as after any other end"),
            (false, 0) => {
                write!(f, "; none of the {total} was restarted before it, the others run on as they were")
            }
            (true, _) => {
                write!(f, "; {replaced} of {total} run the new version, the others serve on with the old one")
            }
            (false, _) => {
                write!(f, "; {replaced} of {total} were restarted before it, the others run on as they were")
            }
        }
    }
}

/// `main (0)`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = match self.generation {
            Generation::Settled => "",
            Generation::Coming => "the new ",
            Generation::Leaving => "the old ",
        };
        write!(f, "{which}{} ({})", self.spec.name, self.pm_id)
    }
}

/// A duration as people say it.
#[derive(Debug, Clone, Copy)]
pub struct Readable(pub Duration);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, seconds) = (self.0.as_millis(), self.0.as_secs());
        match seconds {
            _ if millis < 1000 => write!(f, "{millis} ms"),
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

/// A number of bytes as people say it, in powers of 1024.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0 {
            0..MIB => write!(f, "{} KB", self.0 / 1024),
            size @ MIB..10_485_760 if !size.is_multiple_of(MIB) => {
                let tenths = size / (MIB / 10);
                write!(f, "{}.{} MB", tenths / 10, tenths % 10)
            }
            size => write!(f, "{} MB", size / MIB),
        }
    }
}

impl Notice {
    /// The instance it is about.
    pub fn instance(&self) -> Option<&Subject> {
        match self {
            Self::Ended { who, .. }
            | Self::Started { who }
            | Self::GoesOn { who, .. }
            | Self::NotReady { who, .. }
            | Self::Ready { who, .. }
            | Self::WaitsFor { who, .. }
            | Self::Blocked { who, .. }
            | Self::Well { who, .. }
            | Self::Failed { who, .. }
            | Self::NotReadyNow { who, .. }
            | Self::Sick { who, .. }
            | Self::Draining { who, .. }
            | Self::Stopping { who, .. }
            | Self::Leftovers { who, .. }
            | Self::Killing { who, .. }
            | Self::Unkillable { who }
            | Self::TaskChanged { who }
            | Self::SignalsLost { who, .. }
            | Self::TooMuch { who, .. }
            | Self::Retiring { who, .. }
            | Self::Escalated { who, .. } => Some(who),
            Self::Reloading { .. }
            | Self::Reloaded { .. }
            | Self::ReloadFailed(_)
            | Self::Due { .. }
            | Self::Queued { .. }
            | Self::FilesChanged { .. }
            | Self::ChangesOften { .. }
            | Self::UnderWay { .. }
            | Self::Closing { .. }
            | Self::MemoryElsewhere { .. }
            | Self::ShuttingDown { .. }
            | Self::KillingAll => None,
        }
    }

    /// The name of the application it is about.
    pub fn app(&self) -> Option<&str> {
        match self {
            Self::Reloading { app, .. }
            | Self::Reloaded { app, .. }
            | Self::Queued { app, .. }
            | Self::FilesChanged { app, .. }
            | Self::ChangesOften { app, .. }
            | Self::UnderWay { app } => Some(app),
            Self::ReloadFailed(failure) => Some(&failure.app),
            Self::Due { app } => Some(&app.name),
            Self::Closing { .. }
            | Self::MemoryElsewhere { .. }
            | Self::ShuttingDown { .. }
            | Self::KillingAll => None,
            Self::Ended { .. }
            | Self::Started { .. }
            | Self::GoesOn { .. }
            | Self::NotReady { .. }
            | Self::Ready { .. }
            | Self::WaitsFor { .. }
            | Self::Blocked { .. }
            | Self::Well { .. }
            | Self::Failed { .. }
            | Self::NotReadyNow { .. }
            | Self::Sick { .. }
            | Self::Draining { .. }
            | Self::Stopping { .. }
            | Self::Leftovers { .. }
            | Self::Killing { .. }
            | Self::Unkillable { .. }
            | Self::TaskChanged { .. }
            | Self::SignalsLost { .. }
            | Self::TooMuch { .. }
            | Self::Retiring { .. }
            | Self::Escalated { .. } => self.instance().map(|who| &*who.spec.name),
        }
    }
}
