//! The actor: it owns the machine and the parts of the supervisor.
//!
//! Events of the parts go to the machine ([`Supervisor::feed`]). The effects of the machine go to the parts by one
//! function (`apply` in `effects`), which hands each effect to the part that carries it out. The fields are private
//! to the files of the actor:
//!
//! | file | contents |
//! |---|---|
//! | `startup` | from the configuration to a supervisor, and an early end |
//! | `event_loop` | the loop: wait for an event, let the machine decide, carry out |
//! | `effects` | events into the machine, effects to the parts |
//! | `process_events` | starts that have ended, and processes that have been reaped |
//! | `node_events` | events of Node workers |
//! | `signals` | signals that procrun receives |
//! | `plan_changes` | the parts that follow the plan: files, schedules, limits, sockets |
//! | `requests`, `targets`, `file_requests`, `input_request` | the requests of clients |
//! | `add_request`, `change_request`, `app_update` | requests that add and change applications |
//! | `config_reload` | the ecosystem file is read again |
//! | `snapshots`, `saved_apps` | what clients get of the process list |
//! | `shutdown` | the end: files, termination message, last lines |

mod add_request;
mod app_update;
mod change_request;
mod config_reload;
mod effects;
mod event_loop;
mod file_requests;
mod input_request;
mod node_events;
mod plan_changes;
mod process_events;
mod requests;
mod saved_apps;
mod shutdown;
mod signals;
mod snapshots;
pub(super) mod startup;
mod targets;

use std::{io, path::PathBuf, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    added_apps::AddedApps,
    clients::Clients,
    clock,
    closed_sockets::ClosedSockets,
    deferred::Deferred,
    evaluation::Running,
    event_queue::EventReceiver,
    health_checks::Checks,
    listen_sockets::ListenSockets,
    lookup::SingleLookup,
    memory::Memory,
    outages::{Outages, Part},
    own_file::OwnFile,
    preflight::{Candidate, Preflight, Results},
    reading::Reading,
    schedules::Schedules,
    termination::Cause,
    timers::Timers,
    unexplained::Unexplained,
    usage::UsageSamples,
    wall_clock::WallClock,
    workers::Workers,
    zones::Zones,
};
use crate::{
    config::Source,
    health::Notify,
    logs::Logs,
    machine::{
        Effect, Machine, Run, Time,
        events::{EventData, Notice},
    },
    node::Hub,
    spec::{ExitCode, Instances, Plan, Signal},
    sys::{cpus, process::OpenFiles, signals::Signals},
    watch::Watcher,
};

/// The machine and the parts of the supervisor. It is their one owner, so it has a field for each.
struct Supervisor<'a> {
    source: &'a Source,
    began: Instant,
    machine: Machine,
    workers: Workers,
    clients: Clients<'a>,
    node: Hub,
    notify: Notify,
    checks: Checks,
    listen_sockets: ListenSockets,
    closed_sockets: ClosedSockets,
    memory: Memory,
    logs: Logs,
    timers: Timers,
    watcher: Watcher,
    schedules: Schedules,
    zones: Zones,
    unexplained: Unexplained,
    signals: Signals,
    /// When to install the handlers for real-time signals.
    realtime_at: Option<Instant>,
    /// When to give back the memory that the first starts needed.
    trim_at: Option<Instant>,
    outages: Outages,
    /// Reports of helper threads.
    thread_events: EventReceiver,
    usage: UsageSamples,
    wall_clock: WallClock,
    /// Looks up the programs of apps for `describe`.
    program_lookup: SingleLookup,
    open_files: OpenFiles,
    evaluation: Option<Running>,
    /// The directory for the files of a background supervisor.
    home: Option<PathBuf>,
    added: AddedApps,
    own_file: OwnFile,
    reading: Reading,
    preflight: Preflight,
    deferred: Deferred<Continuation>,
    boot: BootPhase,
    shutdown: Shutdown,
    /// Kept between turns so that a turn allocates nothing.
    effects: Vec<Effect>,
}

/// How a request continues, on the supervisor's thread.
type Continuation = Box<dyn FnOnce(&mut Supervisor<'_>) + Send>;

/// The progress of the first starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BootPhase {
    NotBegun,
    /// The first process is about to be made.
    FirstStarts,
    /// The parts follow the plan.
    Followed,
    Over,
}

/// The end of procrun, as far as it is known.
#[derive(Debug, Default)]
struct Shutdown {
    /// The exit code, when all processes of applications have ended.
    code: Option<ExitCode>,
    is_requested: bool,
    /// The signal that processes of no app get as soon as the shutdown begins.
    stray_signal: Option<Signal>,
    cause: Cause,
}

impl Supervisor<'_> {
    fn now(&self) -> Time {
        Time::after_start(clock::now() - self.began)
    }

    /// Reports an event.
    fn report(&mut self, notice: Notice) {
        self.clients.report(notice, &[]);
    }

    /// Reports an event of a run, unless its instance is forgotten.
    fn report_run(&mut self, run: Run, data: EventData) {
        if let Some(view) = self.machine.instance(run.instance) {
            let notice = Notice::of(view.subject(), data);
            self.report(notice);
        }
    }

    /// Handles the result of a part that waited for the kernel: reports an outage and its end.
    fn check<T>(&mut self, part: Part, result: io::Result<T>) -> Option<T> {
        let (value, report) = self.outages.check(part, result);
        if let Some(data) = report {
            self.report(Notice::of_runtime(data));
        }
        value
    }

    /// Continues with the answer of a helper thread; `None`: it has not come within `limit`.
    fn when_answered<T: Send + 'static>(
        &mut self,
        answer: oneshot::Receiver<T>,
        limit: Duration,
        then: impl FnOnce(&mut Supervisor<'_>, Option<T>) + Send + 'static,
    ) {
        let then = move |answer| -> Continuation {
            Box::new(move |supervisor: &mut Supervisor<'_>| then(supervisor, answer))
        };
        self.deferred.add_answer(self.workers.helpers(), answer, limit, then);
    }

    /// Checks these applications, then continues with the results.
    fn check_first(
        &mut self,
        candidates: Vec<Candidate>,
        then: impl FnOnce(&mut Supervisor<'_>, Results) + Send + 'static,
    ) {
        let helpers = self.workers.helpers();
        let results = self.preflight.begin(candidates, self.source, self.listen_sockets.open(), helpers);
        self.deferred.add(async move {
            let results = results.await;
            Box::new(move |supervisor: &mut Supervisor<'_>| then(supervisor, results)) as Continuation
        });
    }
}

/// The number of CPUs, if the plan needs it; otherwise a start need not wait for it.
fn cpus_for(plan: &Plan) -> u32 {
    let needs_number = plan.apps.iter().any(|app| matches!(app.instances, Instances::CpusMinus(_)));
    if needs_number { cpus::available() } else { 1 }
}
