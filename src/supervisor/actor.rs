//! The supervisor's loop: wait for news, let the machine decide, carry it out.

use std::{collections::BTreeMap, io, mem::ManuallyDrop, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::Instant,
};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    REALTIME_DELAY, Role,
    boot::{self, Boot, Prepared},
    clients::Clients,
    config_reload::{self, Reading},
    deferred::{Continuation, Deferred},
    evaluation::Running,
    health_checks::Checks,
    helper_threads::{HelperThreads, Job, Purpose},
    is_stop,
    launch::Resources,
    listen_sockets::{self, ListenSockets},
    memory::Memory,
    not_started,
    outages::{Outages, Part},
    own_file::OwnFile,
    panics,
    preflight::{PendingResults, Preflight, Results},
    print_early,
    report::{self, ThreadReports},
    schedules::Schedules,
    snapshots::WallClock,
    starting::StartResult,
    termination::{Cause, TerminationMessage},
    timers::Timers,
    unexplained::{Explained, Unexplained},
    usage::UsageSamples,
    web_server,
    workers::{Ended, Parts, StartOutcomes, Workers},
    zones::Zones,
};
use crate::{
    config::{Loaded, Problems, Source},
    health::Notify,
    logs::{self, Logs},
    machine::{
        Effect, Input, Machine, NotifyMessage, Reply, Run, ShutdownRequest, StopMethod, Ticket, Time,
        events::{EventData, Notice, RuntimePart, SentBy, SignalUse},
    },
    node::{self, Hub, Opening},
    spec::{
        AppSpec, ExitCode, Instances, Plan, Signal, StopSignalScope, TerminationLog, diff::same_but_instances,
    },
    sys::{
        clock::after,
        cpus, descriptor_reserve,
        pipes::Budget,
        process::{self, OpenFiles},
        reap::{self, Pid, Status},
        signals::{Received, Sender, Signals},
        spawn, threads,
    },
    watch::Watcher,
};

/// The code of a second supervisor where there may be one.
const SECOND: ExitCode = 1;
/// After a request to stop, a reader that reads nothing has only this time.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long the end of procrun waits until the files of its sockets are removed.
const FILES_TIMEOUT: Duration = Duration::from_secs(1);

/// How long after the first starts their memory is given back: by then the workers have written their first lines
/// and the helper threads are idle, and what all that needed goes too.
const TRIM_DELAY: Duration = Duration::from_secs(1);

/// After this number of turns the runtime polls all its sources. While one source always has something (a
/// worker that floods its channel, a follower of many lines), it would not, and no other source would be
/// served, not even a signal. A poll costs a system call.
const LOOK_AROUND: u32 = 8;

pub(super) struct Supervisor<'a> {
    pub(super) source: &'a Source,
    pub(super) began: Instant,
    pub(super) machine: Machine,
    pub(super) workers: Workers,
    pub(super) clients: Clients<'a>,
    pub(super) usage: UsageSamples,
    pub(super) wall_clock: WallClock,
    pub(super) node: Hub,
    pub(super) watcher: Watcher,
    pub(super) listen_sockets: ListenSockets,
    pub(super) checks: Checks,
    notify: Notify,
    pub(super) memory: Memory,
    unexplained: Unexplained,
    logs: Logs,
    timers: Timers,
    pub(super) schedules: Schedules,
    pub(super) zones: Zones,
    signals: Signals,
    /// When to install the handlers for real-time signals.
    realtime_at: Option<Instant>,
    /// When to give back the memory that the first starts needed.
    trim_at: Option<Instant>,
    pub(super) outages: Outages,
    /// What helper threads report.
    thread_reports: ThreadReports,
    pub(super) open_files: OpenFiles,
    pub(super) evaluation: Option<Running>,
    /// Where a supervisor in the background keeps its files.
    pub(super) home: Option<PathBuf>,
    /// The applications that commands have added.
    pub(super) added: Vec<Arc<AppSpec>>,
    /// The ecosystem files that commands have named, each with the environment with which it was read.
    pub(super) files: BTreeMap<PathBuf, Arc<BTreeMap<String, String>>>,
    pub(super) own_file: OwnFile,
    pub(super) reading: Reading,
    pub(super) preflight: Preflight,
    pub(super) deferred: Deferred,
    /// Files of closed sockets that are being removed.
    removals: Vec<oneshot::Receiver<()>>,
    boot: BootPhase,
    end: Option<ExitCode>,
    stop_asked: bool,
    /// The signal that processes of no app get as soon as the shutdown begins.
    for_strays: Option<Signal>,
    /// Why it ends.
    pub(super) cause: Cause,
    /// Kept between turns so that a turn allocates nothing.
    effects: Vec<Effect>,
}

/// How far the first starts have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BootPhase {
    NotBegun,
    /// The first process is about to be made.
    FirstStarts,
    /// Everything that the plan asks for is set up.
    Followed,
    Over,
}

/// Reads the configuration and runs it to its end.
pub(super) async fn supervise(
    source: &Source,
    role: &Role,
    mut signals: Signals,
    open_files: OpenFiles,
    boot: Boot,
) -> io::Result<ExitCode> {
    let Boot { helpers, mut listen_sockets, cgroups, found } = boot;
    // While the configuration is read.
    let null = Arc::new(spawn::dev_null()?);
    let node = Hub::default();
    let (reporter, thread_reports) = report::queue();
    let prepared = boot::finish(found, source, &mut signals, open_files, &helpers, &listen_sockets).await;
    let Prepared { loaded: Loaded { plan, notices, .. }, preflight, results } = match prepared {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(problems)) => return Ok(unreadable(role, &problems)),
        Err(signal) => {
            // Checks may have begun.
            helpers.finish(Purpose::File, now() + FILES_TIMEOUT).await;
            return Ok(stopped_early(signal));
        }
    };
    let mut clients = Clients::new(role, &helpers);
    if role.background.is_some()
        && let Err(code) = open_for_background(&mut clients, &mut signals).await?
    {
        return Ok(code);
    }
    // The applications are checked meanwhile.
    let logs = match &role.background {
        None => Logs::start(&plan.runtime.log)?,
        Some(background) => background.logs(&plan.runtime.log)?,
    };
    let checked = checked(results, source, role, &plan, &mut signals, &helpers, &mut clients).await?;
    let (results, web) = match checked {
        Ok(checked) => checked,
        Err(code) => return Ok(code),
    };
    let notices = [notices, results.notices()].concat();
    results.into_apps(&mut listen_sockets);
    let subscriber =
        tracing_subscriber::registry().with(logs::layer(logs.clone(), plan.runtime.log.verbosity));
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    let termination_log =
        if role.background.is_some() { TerminationLog::Off } else { plan.runtime.termination_log.clone() };
    panics::report_to(&logs, termination_log);
    report_boot(&mut clients, notices, listen_sockets.reports().into_iter().chain(web));
    let cpus = cpus_for(&plan);
    let machine = Machine::new(plan, cpus);
    let resources = Resources {
        inherited: Arc::new(source.environment().clone()),
        packages: Arc::default(),
        sockets: listen_sockets.open().clone(),
        helpers,
        scripts: node.scripts().clone(),
        budget: Budget::new(machine.instances().count() * 2),
        null,
        open_files,
    };
    let workers = Workers::new(resources, logs.clone(), cgroups, reporter);
    let began = now();
    let mut supervisor = Supervisor {
        source,
        clients,
        usage: UsageSamples::default(),
        wall_clock: WallClock::default(),
        began,
        machine,
        workers,
        node,
        watcher: Watcher::default(),
        listen_sockets,
        checks: Checks::default(),
        notify: Notify::default(),
        memory: Memory::new(began),
        unexplained: Unexplained::default(),
        logs: logs.clone(),
        timers: Timers::default(),
        schedules: Schedules::new(),
        zones: Zones::default(),
        signals,
        realtime_at: Some(began + REALTIME_DELAY),
        trim_at: None,
        outages: Outages::default(),
        thread_reports,
        open_files,
        evaluation: None,
        home: role.background.as_ref().map(|background| background.home.clone()),
        added: Vec::new(),
        files: BTreeMap::new(),
        own_file: OwnFile::default(),
        reading: Reading::default(),
        preflight,
        deferred: Deferred::default(),
        removals: Vec::new(),
        boot: BootPhase::NotBegun,
        end: None,
        stop_asked: false,
        for_strays: None,
        cause: Cause::default(),
        effects: Vec::new(),
    };
    role.report_ready();
    let code = supervisor.run().await;
    supervisor.clean_up(role, code, &logs).await;
    // The kernel takes everything back faster than it could be given back piece by piece.
    std::mem::forget(supervisor);
    Ok(code)
}

/// Opens the control socket of a supervisor in the background: there is one for each home, and commands are the only
/// way to it. An error: procrun ends with this code.
async fn open_for_background(
    clients: &mut Clients<'_>,
    signals: &mut Signals,
) -> io::Result<Result<(), ExitCode>> {
    clients.begin_to_open();
    Ok(match super::unless_stopped(signals, clients.opened()).await {
        Ok(opened) => opened?.map_err(|error| {
            print_early(format_args!("error: {error}"));
            SECOND
        }),
        Err(signal) => Err(stopped_early(signal)),
    })
}

/// Waits for the checks of what the applications need, and for the HTTP server. An error: procrun ends with this
/// code.
async fn checked(
    results: PendingResults,
    source: &Source,
    role: &Role,
    plan: &Plan,
    signals: &mut Signals,
    helpers: &HelperThreads,
    clients: &mut Clients<'_>,
) -> io::Result<Result<(Results, Option<Notice>), ExitCode>> {
    let web = web_server::start(plan, source);
    let code = match super::unless_stopped(signals, results).await {
        Ok(results) => {
            let results = results?;
            match refused(role, &plan.runtime.termination_log, &results) {
                None => match web_server::opened(web, role, plan, signals, clients).await? {
                    Ok(web) => return Ok(Ok((results, web))),
                    Err(code) => code,
                },
                Some(code) => code,
            }
        }
        Err(signal) => stopped_early(signal),
    };
    // With the results went the sockets, and their files.
    helpers.finish(Purpose::File, now() + FILES_TIMEOUT).await;
    Ok(Err(code))
}

/// Reports what was found before there was a log: warnings of the configuration, and sockets that are open.
fn report_boot(clients: &mut Clients<'_>, warnings: Vec<String>, sockets: impl Iterator<Item = Notice>) {
    let warning = |message| Notice::of_runtime(EventData::ConfigWarning { message });
    for notice in warnings.into_iter().map(warning).chain(sockets) {
        clients.report(notice, &[]);
    }
}

impl Supervisor<'_> {
    /// Runs until everything has ended. Nothing in here returns early: an error of a part degrades that
    /// part (see [`Outages`]).
    async fn run(&mut self) -> ExitCode {
        let delay = self.machine.plan().runtime.start_delay;
        let mut boot = Some(after(self.began.into(), delay).into());
        if !delay.is_zero() {
            self.clients.begin_to_open();
            self.receive_realtime();
            self.report(Notice::of_runtime(EventData::StartDelayed { delay }));
        }
        let mut received = Vec::new();
        let mut turns = 0_u32;
        loop {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(LOOK_AROUND) {
                tokio::task::yield_now().await;
            }
            if let Some(code) = self.end {
                // Processes that no app waits for end with procrun, as with any PID 1.
                self.workers.kill_strays();
                self.report(Notice::of_runtime(EventData::Exiting { code }));
                self.clients.send_events();
                return code;
            }
            if boot.is_some_and(|at| at <= now()) {
                boot = None;
                self.boot();
                // After the first starts, which need not wait for it.
                self.clients.begin_to_open();
                continue;
            }
            self.end_boot();
            let next = self.next_wake(boot);
            let mut is_time = false;
            tokio::select! {
                result = self.signals.wait(&mut received), if self.outages.allows(Part::Signals) => {
                    self.check(Part::Signals, result);
                }
                () = sleep_until(next) => {}
                () = self.schedules.ring() => is_time = true,
                () = advance(&mut self.evaluation) => {}
                then = self.deferred.next() => {
                    then(self);
                    continue;
                }
                reports = self.watcher.events() => {
                    self.take_watch_events(reports);
                }
                report = self.thread_reports.next() => self.report(report),
                result = self.node.turn(), if self.outages.allows(Part::Channels) => {
                    self.check(Part::Channels, result);
                    self.hear();
                    // Connections arrive by the thousand; no child has ended and no timer is due.
                    continue;
                }
                // As with the node: no child has ended and no timer is due.
                answers = self.checks.answers() => {
                    self.feed(answers);
                    continue;
                }
                result = self.notify.turn(), if self.outages.allows(Part::Notifications) => {
                    if let Some(said) = self.check(Part::Notifications, result) {
                        self.feed(said);
                    }
                    continue;
                }
                explained = self.unexplained.explained() => self.take_explained(explained),
                results = self.workers.turn() => {
                    self.take_starts(results);
                    continue;
                }
                result = self.clients.turn(), if self.outages.allows(Part::Commands) => {
                    self.check(Part::Commands, result);
                    self.serve();
                }
                () = self.usage.rest() => {}
            }
            for signal in received.drain(..) {
                self.received(signal);
            }
            self.outages.end_rests(now());
            self.receive_realtime_in_time(now());
            self.trim_in_time(now());
            self.find_zones(now());
            self.workers.helpers().grow(now());
            self.reap();
            let now = self.now();
            let due = std::iter::from_fn(|| self.timers.pop_due(now)).map(Input::TimerFired).collect();
            self.feed(due);
            self.end_strays();
            let excesses = self.memory.look(&self.machine, &mut self.workers);
            self.feed(excesses);
            if is_time {
                self.take_due();
            }
            self.take_evaluation();
            let machine = &self.machine;
            self.node.keep_only(
                |app| machine.is_app_alive(app),
                |version| machine.is_any_alive(|spec| same_but_instances(spec, version)),
            );
            // Before the start no worker is alive.
            if boot.is_none() {
                self.close_unused_sockets();
            }
        }
    }

    /// When the supervisor has something to do even if nothing happens.
    fn next_wake(&self, boot: Option<Instant>) -> Option<Instant> {
        let timer =
            boot.or_else(|| self.timers.next().map(|at| after(self.began.into(), at.elapsed()).into()));
        let of_parts = [
            self.memory.next(),
            self.outages.next(),
            self.workers.helpers().next(),
            self.realtime_at,
            self.trim_at,
            self.zones.next(),
        ];
        timer.into_iter().chain(of_parts.into_iter().flatten()).min()
    }

    /// The parts of the supervisor that do not work at present, as text.
    pub(super) fn failing(&self) -> Vec<String> {
        let threads =
            threads::failing().into_iter().map(|(name, failure)| format!("the thread `{name}` {failure}"));
        threads.chain(self.outages.failing().map(|part| format!("cannot {part}"))).collect()
    }

    /// Starts the applications, and what is needed only once they run.
    fn boot(&mut self) {
        self.feed(vec![Input::Boot]);
        self.boot = BootPhase::FirstStarts;
    }

    /// Sets up what the first process need not wait for, once that executes its program: until then the
    /// supervisor leaves its CPU to it.
    fn follow_plan(&mut self) {
        if self.boot != BootPhase::FirstStarts {
            return;
        }
        self.boot = BootPhase::Followed;
        // A reload may have come before.
        let plan = self.machine.pending_plan();
        self.watch(&plan);
        self.follow_schedules(&plan);
        self.memory.follow(&plan);
        self.receive_realtime();
    }

    /// Watches the files of this plan from now on.
    pub(super) fn watch(&mut self, plan: &Plan) {
        if let Err(error) = self.watcher.follow(plan) {
            self.report(report::outage(RuntimePart::Watching, error));
        }
    }

    /// Installs the handlers for real-time signals if the first start takes long.
    fn receive_realtime_in_time(&mut self, now: Instant) {
        if self.realtime_at.is_some_and(|at| at <= now) {
            self.receive_realtime();
        }
    }

    /// Installs the handlers for real-time signals, once.
    fn receive_realtime(&mut self) {
        if self.realtime_at.take().is_some()
            && let Err(error) = self.signals.receive_realtime()
        {
            self.report(report::outage(RuntimePart::RealTimeSignals, error));
        }
    }

    /// Ends the phase of the first starts once they are over. They may all have been abandoned before anything
    /// was reported of them.
    fn end_boot(&mut self) {
        if matches!(self.boot, BootPhase::FirstStarts | BootPhase::Followed) && !self.workers.is_starting() {
            self.follow_plan();
            self.boot = BootPhase::Over;
            self.workers.remove_stale_cgroups();
            self.trim_at = Some(now() + TRIM_DELAY);
        }
    }

    /// Gives back the memory that the first starts needed.
    fn trim_in_time(&mut self, now: Instant) {
        if self.trim_at.is_some_and(|at| at <= now) {
            self.trim_at = None;
            process::trim_memory();
        }
    }

    /// Removes its files and reports why procrun ends.
    async fn clean_up(&mut self, role: &Role, code: ExitCode, logs: &Logs) {
        self.workers.release_logs();
        // The files of unix sockets do not go by themselves.
        let sockets = self.listen_sockets.keep_only(|_, _| false);
        self.close_unused(sockets);
        let until = now() + FILES_TIMEOUT;
        for mut removed in std::mem::take(&mut self.removals) {
            self.workers.helpers().receive(&mut removed, until).await;
        }
        self.workers.finish_pid_files();
        while let Some(report) = self.thread_reports.waiting() {
            self.report(report);
        }
        self.clients.send_ready_answers();
        if let Some(background) = &role.background {
            background.remove_pid_file();
        }
        let mut termination_message = match &role.background {
            None => TerminationMessage::new(self.machine.plan().runtime.termination_log.clone()),
            Some(_) => TerminationMessage::new(TerminationLog::Off),
        };
        // Files that are not removed stay for the next procrun, which removes them.
        let socket = ManuallyDrop::new(self.clients.close(until).await);
        let (scripts, helpers) = (self.node.scripts().clone(), self.workers.helpers().clone());
        // Before the output, which may block until procrun is killed; and with the last lines.
        let text = termination_message.text(self, code, logs);
        let writing = termination_message.write(text, &helpers, move || {
            drop(ManuallyDrop::into_inner(socket));
            scripts.remove();
        });
        let finished = logs.shut();
        // The kernel answers these calls itself; the other threads have their work meanwhile.
        self.workers.remove_cgroups();
        self.flush_logs(logs, finished).await;
        let mut written = termination_message.finish(writing, &helpers).await;
        if let Some(text) = termination_message.text(self, code, logs) {
            let writing = termination_message.write(Some(text), &helpers, || ());
            written = written.and(termination_message.finish(writing, &helpers).await);
        }
        if let Err(why) = written {
            self.report(report::outage(RuntimePart::TerminationMessage, why));
            self.flush_logs(logs, logs.finish()).await;
        }
    }

    /// Waits until everything is written. The reader may take any time, until a request to stop: then only as
    /// long as it reads at all.
    async fn flush_logs(&mut self, logs: &Logs, mut finished: oneshot::Receiver<()>) {
        let mut received = Vec::new();
        loop {
            let written = logs.written();
            let deadline = self.stop_asked.then(|| now() + LAST_WORDS);
            tokio::select! {
                _ = &mut finished => return,
                () = sleep_until(deadline) => {
                    if logs.written() == written {
                        logs::write_past_the_pump("the output is not read: the last lines are lost");
                        return;
                    }
                }
                result = self.signals.wait(&mut received), if self.outages.allows(Part::Signals) => {
                    self.check(Part::Signals, result);
                }
            }
            let is_stop_signal = |it: Received| Signal::from_number(it.number).is_some_and(is_stop);
            self.stop_asked |= received.drain(..).any(is_stop_signal);
            while reap::next().is_some() {}
        }
    }

    pub(super) fn now(&self) -> Time {
        Time::after_start(now() - self.began)
    }

    /// Lets the machine take in events and everything that follows from them at once. What comes
    /// of all events of a round goes out together.
    pub(super) fn feed(&mut self, mut events: Vec<Input>) {
        let _held = (!events.is_empty()).then(|| self.logs.hold());
        if !events.is_empty() {
            self.clients.has_changed();
        }
        while !events.is_empty() {
            if events.iter().any(|event| matches!(event, Input::Started(..))) {
                self.memory.begin();
            }
            let now = self.now();
            let mut effects = std::mem::take(&mut self.effects);
            for event in events {
                self.machine.step(now, event, &mut effects);
            }
            events = self.carry_out(&mut effects);
            self.effects = effects;
        }
    }

    /// Carries out the effects of the machine; all starts and all kills of a turn are done together.
    fn carry_out(&mut self, effects: &mut Vec<Effect>) -> Vec<Input> {
        let mut answers: Vec<Input> = Vec::new();
        let mut spawn: Vec<Run> = Vec::new();
        let mut kill: Vec<Run> = Vec::new();
        let mut signalled: Vec<Run> = effects.iter().filter_map(receives_signal).collect();
        signalled.dedup();
        let room = (!signalled.is_empty()).then(descriptor_reserve::release);
        if !signalled.is_empty() {
            // Once for all of them: a process that a signal ends takes the evidence of its descendants with it.
            self.workers.trees_of(&signalled, &self.machine).refresh_some(&signalled);
        }
        // A start is urgent, what is said about it is not.
        let starts = effects.iter().any(|effect| matches!(effect, Effect::Spawn(_)));
        let mut reports: Vec<Report> = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::Spawn(run) => spawn.push(run),
                Effect::AbandonStart(run) => answers.extend(self.workers.abandon_start(run)),
                Effect::KillTree(run) => kill.push(run),
                Effect::Probe(run, kind) => self.ask_how_it_is(run, kind),
                Effect::Signal(run, signal) => self.workers.signal(run, signal),
                Effect::Retire(run) => self.node.retire(run),
                Effect::Drain(run) => {
                    if !self.node.drain(run) {
                        answers.push(Input::Drained(run));
                    }
                }
                Effect::RequestStop(run, request, scope) => self.request_end(run, request, scope),
                Effect::StopLeftovers(run, signal) => self.workers.sweep(run, signal),
                Effect::ArmTimer(timer, at) => self.timers.arm(timer, at),
                Effect::Promote(run) => {
                    self.workers.promote(run);
                    // A successor is not sampled, and the last sample may have found no process.
                    self.memory.begin();
                }
                Effect::Remove(instance) => self.workers.forget(instance),
                Effect::Report { notice, tickets } => reports.push(Report::Notice(notice, tickets)),
                Effect::Reply(ticket, reply) => reports.push(Report::Reply(ticket, reply)),
                Effect::Exit(code) => self.end = Some(code),
            }
            if !starts {
                for report in reports.drain(..) {
                    self.tell(report);
                }
            }
        }
        if !kill.is_empty() {
            self.workers.kill_trees(&kill, &self.machine);
        }
        drop(room);
        if !spawn.is_empty() {
            let (workers, mut parts) = self.workers_and_parts();
            answers.extend(workers.start_all(&spawn, &mut parts));
        }
        for report in reports {
            self.tell(report);
        }
        self.close_failed(&answers);
        answers
    }

    /// Logs a report, or answers a client.
    fn tell(&mut self, report: Report) {
        match report {
            Report::Notice(notice, tickets) => {
                if let EventData::EndedContainer { code } = notice.data {
                    self.cause.culprit = notice.subject.instance.filter(|_| code != 0);
                }
                self.clients.report(notice, &tickets);
            }
            Report::Reply(ticket, reply) => {
                self.clients.reply(ticket, &reply, &self.machine, self.workers.pid_files());
            }
        }
    }

    /// Closes what connects procrun with runs whose start has failed.
    fn close_failed(&mut self, events: &[Input]) {
        for event in events {
            if let Input::SpawnFailed(run, _) = event {
                self.node.ended(*run);
                self.notify.ended(*run);
            }
        }
    }

    fn request_end(&mut self, run: Run, request: StopMethod, scope: StopSignalScope) {
        let signal = match request {
            StopMethod::Signal(signal) => signal,
            StopMethod::Message(signal) => {
                if self.node.send_shutdown(run) {
                    // A suspended process would not see the message.
                    self.workers.signal(run, Signal::CONT);
                    return;
                }
                self.report_of(run, EventData::ChannelMissing { signal });
                signal
            }
        };
        self.workers.request_end(run, signal, scope);
    }

    /// Handles the events of Node workers.
    fn hear(&mut self) {
        let all: Vec<node::HubEvent> = self.node.take_events().collect();
        let mut events = Vec::new();
        for event in all {
            match event {
                node::HubEvent::OpenSocket(opening) => self.open_for_worker(opening),
                event => events.extend(self.take_hub_event(event)),
            }
        }
        // Not only in a full turn: until the next one it could be hours.
        self.close_unused(Vec::new());
        self.feed(events);
    }

    /// Closes what no application that is alive listens on.
    fn close_unused_sockets(&mut self) {
        let machine = &self.machine;
        let unused = self
            .listen_sockets
            .keep_only(|app, listen| machine.is_any_alive(|spec| spec.name == app && spec.listen == listen));
        self.close_unused(unused);
    }

    /// Closes sockets that nothing uses any more. A helper thread removes the files of unix sockets.
    fn close_unused(&mut self, mut sockets: Vec<Arc<listen_sockets::Socket>>) {
        sockets.retain(|socket| socket.has_file());
        let files = self.node.closed_files();
        if sockets.is_empty() && files.is_empty() {
            return;
        }
        // Without a thread for it they stay: the next sockets replace them.
        let files = ManuallyDrop::new(files);
        let close = move || {
            listen_sockets::close(sockets);
            drop(ManuallyDrop::into_inner(files));
        };
        self.removals.retain_mut(|removal| removal.try_recv() == Err(TryRecvError::Empty));
        self.removals.extend(self.workers.helpers().ask_for(Purpose::File, close));
    }

    /// Opens a unix socket that a worker of a cluster asked for.
    fn open_for_worker(&mut self, opening: Opening) {
        let (sender, opened) = oneshot::channel();
        let theirs = opening.clone();
        let open = move || drop(sender.send(theirs.open()));
        let job = Job::new(Purpose::Check, open).of_app(&opening.app());
        let submitted = self.workers.helpers().submit(job);
        self.deferred.add(async move {
            let result = match submitted {
                // As long as it takes: a worker whose file system does not answer waits, as it would alone.
                Ok(()) => {
                    opened.await.unwrap_or_else(|_| Err(io::Error::other("a thread of procrun has panicked")))
                }
                Err(error) => Err(error),
            };
            Box::new(move |supervisor: &mut Supervisor<'_>| {
                supervisor.node.opened(opening, result);
                supervisor.hear();
            }) as Continuation
        });
    }

    /// Takes in the file that was being evaluated, if that is over.
    fn take_evaluation(&mut self) {
        if let Some(evaluation) = self.evaluation.take_if(|evaluation| evaluation.is_done()) {
            self.has_evaluated(evaluation);
        }
    }

    fn workers_and_parts(&mut self) -> (&mut Workers, Parts<'_>) {
        let parts = Parts {
            machine: &self.machine,
            node: &mut self.node,
            listen_sockets: &mut self.listen_sockets,
            notify: &mut self.notify,
        };
        (&mut self.workers, parts)
    }

    /// Takes in how starts have ended.
    fn take_starts(&mut self, results: Vec<StartResult>) {
        let _held = self.logs.hold();
        let (workers, mut parts) = self.workers_and_parts();
        let StartOutcomes { events, dead } = workers.advance(results, &mut parts);
        self.report_sockets();
        if !events.is_empty() {
            self.follow_plan();
        }
        self.close_failed(&events);
        self.feed(events);
        self.take_dead(&dead);
    }

    fn reap(&mut self) {
        let dead: Vec<_> = std::iter::from_fn(reap::next)
            .filter(|(pid, status)| {
                !self.evaluation.as_mut().is_some_and(|evaluation| evaluation.reaped(*pid, *status))
                    && !self.checks.reaped(*pid, *status)
            })
            .collect();
        self.take_dead(&dead);
    }

    /// Takes in processes that have been reaped.
    fn take_dead(&mut self, dead: &[(Pid, Status)]) {
        if dead.is_empty() {
            return;
        }
        let _held = self.logs.hold();
        let ended = self.workers.reaped(dead);
        let mut said = Vec::new();
        for Ended { run, .. } in &ended {
            self.node.ended(*run);
            self.checks.ended(run.instance);
            said.append(&mut self.notify.ended(*run));
        }
        self.hear();
        self.feed(said);
        let is_unexplained = |ended: &Ended| ended.is_failure() && self.machine.is_unexplained(ended.run);
        let (unexplained, explained): (Vec<Ended>, Vec<Ended>) = ended.into_iter().partition(is_unexplained);
        self.unexplained.ask(unexplained, &self.logs, now());
        self.take_ended(explained);
    }

    /// Takes in runs whose end needs no further explanation.
    fn take_ended(&mut self, ended: Vec<Ended>) {
        let mut events = self.workers.ended(ended, &self.machine);
        self.memory.explain(&mut events, &self.workers);
        self.feed(events);
    }

    /// Takes in runs that failed, with what their last lines tell.
    fn take_explained(&mut self, explained: Explained) {
        let Explained { ended, failures } = explained;
        let report =
            |(run, failure)| Input::Notified(run, NotifyMessage::ListenFailed { failure, is_handled: false });
        self.feed(failures.into_iter().map(report).collect());
        self.take_ended(ended);
    }

    fn received(&mut self, Received { number, sender }: Received) {
        let Some(signal) = Signal::from_number(number).filter(|signal| *signal != Signal::CHLD) else {
            return;
        };
        let _held = self.logs.hold();
        let sender_pid = match sender {
            Sender::Kernel => None,
            Sender::Process(pid) => Some(pid),
        };
        let action = match (signal, sender) {
            (signal, _) if is_stop(signal) => SignalUse::Stop,
            (Signal::HUP, Sender::Kernel) => SignalUse::StopWithoutTerminal,
            (Signal::HUP, Sender::Process(_)) if self.machine.is_stopping() => SignalUse::Ignore,
            (Signal::HUP, Sender::Process(_)) => SignalUse::ReadConfig(self.source.name().to_owned()),
            _ => SignalUse::Forward,
        };
        let data = EventData::SignalReceived { signal, sender_pid, action: action.clone() };
        self.report(Notice::of_runtime(data));
        match action {
            SignalUse::Stop => self.stop(signal, format!("stopped by {signal}{}", SentBy(sender_pid))),
            // Many programs re-read their files on SIGHUP instead of ending.
            SignalUse::StopWithoutTerminal => {
                self.stop(Signal::TERM, "stopped by SIGHUP, its terminal is gone".to_owned());
            }
            SignalUse::Ignore => {}
            SignalUse::ReadConfig(_) => self.start_reading(config_reload::Request::by_signal()),
            SignalUse::Forward => self.feed(vec![Input::ForwardSignal(signal)]),
        }
    }

    /// Stops everything; `why` is text for the log.
    pub(super) fn stop(&mut self, signal: Signal, why: String) {
        self.stop_asked = true;
        self.cause.asked.get_or_insert(why);
        // The workers first: they have something to finish.
        self.feed(vec![Input::Shutdown(ShutdownRequest { signal })]);
        self.for_strays = Some(signal);
        self.end_strays();
    }

    /// Stops processes of no app, unless `pre_stop_delay` applies.
    fn end_strays(&mut self) {
        if let Some(signal) = self.for_strays.take_if(|_| !self.machine.is_closing()) {
            self.workers.signal_strays(signal);
        }
    }
}

/// An effect that only tells something.
enum Report {
    Notice(Notice, Vec<Ticket>),
    Reply(Ticket, Reply),
}

/// The run that gets a signal.
fn receives_signal(effect: &Effect) -> Option<Run> {
    match effect {
        Effect::Signal(run, _) | Effect::RequestStop(run, _, _) | Effect::StopLeftovers(run, _) => Some(*run),
        _ => None,
    }
}

/// Says what is wrong with the configuration, and returns the code to end with.
fn unreadable(role: &Role, problems: &Problems) -> ExitCode {
    print_early(problems);
    if role.background.is_none() {
        not_started(&TerminationLog::IfThere, problems);
    }
    problems.exit_code()
}

/// Says which applications cannot run, and returns the code to end with if there are any.
fn refused(role: &Role, termination_log: &TerminationLog, results: &Results) -> Option<ExitCode> {
    let (refused, code) = results.refusals()?;
    let mut missing = String::new();
    for line in &refused {
        missing.extend(["error: ", line, "\n"]);
    }
    missing.push_str("nothing was started");
    print_early(&missing);
    if role.background.is_none() {
        not_started(termination_log, &missing);
    }
    Some(code)
}

/// A signal has asked to stop before anything was supervised. Returns the code to end with.
pub(super) fn stopped_early(signal: Signal) -> ExitCode {
    print_early(format_args!("received {signal} before anything was started, ending with code 0"));
    0
}

#[expect(clippy::disallowed_methods, reason = "the supervisor's clock: the one place that reads it")]
pub(super) fn now() -> Instant {
    std::time::Instant::now().into()
}

/// The number of CPUs, if the plan needs it; otherwise a start need not wait for it.
pub(super) fn cpus_for(plan: &Plan) -> u32 {
    let asks = plan.apps.iter().any(|app| matches!(app.instances, Instances::CpusMinus(_)));
    if asks { cpus::available() } else { 1 }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn advance(evaluation: &mut Option<Running>) {
    match evaluation {
        Some(running) => running.advance().await,
        None => std::future::pending().await,
    }
}
