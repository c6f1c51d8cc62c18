//! The loop: wait for an event, let the machine decide, carry out.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        clock::{self, sleep_until},
        evaluation::Running,
        outages::Part,
    },
    BootPhase, Supervisor,
};
use crate::{
    machine::{
        Input,
        events::{EventData, Notice, RuntimePart},
    },
    spec::{ExitCode, diff::same_but_instances},
    sys::{clock::after, process, signals::Received, threads},
};

/// Maximum number of turns until the runtime polls all its sources. tokio polls timers and I/O only when the
/// task yields: without it one busy source (a worker that floods its channel, a follower of many lines) would starve
/// the others, signals included. A poll costs a system call.
const POLL_ALL_INTERVAL: u32 = 8;

/// How long after the first starts their memory is given back: by then the workers have written their first lines
/// and the helper threads are idle, and what all that needed goes too.
const TRIM_DELAY: Duration = Duration::from_secs(1);

/// What follows when the supervisor has woken.
enum Woken {
    /// Nothing: no child has ended and no timer is due.
    Handled,
    /// The schedules, and all other sources.
    ScheduleDue,
    /// All sources that have no wake-up of their own: children, timers, limits.
    ForAll,
}

impl Supervisor<'_> {
    /// Runs until everything has ended. Nothing returns early: an error of a part degrades
    /// that part (see [`Outages`](super::super::outages::Outages)).
    pub(super) async fn run(&mut self) -> ExitCode {
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
            if turns.is_multiple_of(POLL_ALL_INTERVAL) {
                tokio::task::yield_now().await;
            }
            if let Some(code) = self.shutdown.code {
                // Processes that no app waits for end with procrun, as with any PID 1.
                self.workers.kill_strays();
                self.report(Notice::of_runtime(EventData::Exiting { code }));
                self.clients.send_events();
                return code;
            }
            if boot.is_some_and(|at| at <= clock::now()) {
                boot = None;
                self.boot();
                // After the first starts, which need not wait for it.
                self.clients.begin_to_open();
                continue;
            }
            self.end_boot();
            let next = self.next_wake(boot);
            let mut is_time = false;
            // Before the channels of processes that have ended: a restart need not wait for them.
            self.signals.take_arrived(&mut received);
            if received.is_empty() {
                match self.wake(next, &mut received).await {
                    Woken::Handled => continue,
                    Woken::ScheduleDue => is_time = true,
                    Woken::ForAll => {}
                }
            }
            for signal in received.drain(..) {
                self.handle_signal(signal);
            }
            self.outages.end_rests(clock::now());
            self.receive_realtime_in_time(clock::now());
            self.trim_in_time(clock::now());
            self.find_zones(clock::now());
            self.workers.helpers().grow(clock::now());
            self.reap();
            let now = self.now();
            let due = std::iter::from_fn(|| self.timers.pop_due(now)).map(Input::TimerFired).collect();
            self.feed(due);
            self.stop_strays();
            let excesses = self.memory.sample(&self.machine, &mut self.workers);
            self.feed(excesses);
            if is_time {
                self.handle_due();
            }
            self.handle_evaluation();
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

    /// Waits until a source has something, and handles it.
    async fn wake(&mut self, next: Option<Instant>, received: &mut Vec<Received>) -> Woken {
        tokio::select! {
            result = self.signals.wait(received), if self.outages.allows(Part::Signals) => {
                self.check(Part::Signals, result);
            }
            () = sleep_until(next) => {}
            () = self.schedules.wait() => return Woken::ScheduleDue,
            () = advance(&mut self.evaluation) => {}
            then = self.deferred.next() => {
                then(self);
                return Woken::Handled;
            }
            events = self.watcher.events() => self.handle_watch_events(events),
            notice = self.thread_events.next() => self.report(notice),
            result = self.node.wait(), if self.outages.allows(Part::Channels) => {
                self.check(Part::Channels, result);
                self.handle_node_events();
                // Connections arrive by the thousand; no child has ended and no timer is due.
                return Woken::Handled;
            }
            // As with the node: no child has ended and no timer is due.
            answers = self.checks.answers() => {
                self.feed(answers);
                return Woken::Handled;
            }
            result = self.notify.wait(), if self.outages.allows(Part::Notifications) => {
                if let Some(notified) = self.check(Part::Notifications, result) {
                    self.feed(notified);
                }
                return Woken::Handled;
            }
            explained = self.unexplained.explained() => self.handle_explained(explained),
            results = self.workers.wait() => {
                self.handle_starts(results);
                return Woken::Handled;
            }
            result = self.clients.wait(), if self.outages.allows(Part::Commands) => {
                self.check(Part::Commands, result);
                self.serve();
            }
            () = self.usage.expire() => {}
        }
        Woken::ForAll
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
    pub(super) fn follow_first_plan(&mut self) {
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
            self.report(Notice::outage(RuntimePart::RealTimeSignals, error));
        }
    }

    /// Ends the phase of the first starts once they are over. They may all have been cancelled before anything
    /// was reported of them.
    fn end_boot(&mut self) {
        if matches!(self.boot, BootPhase::FirstStarts | BootPhase::Followed) && !self.workers.is_starting() {
            self.follow_first_plan();
            self.boot = BootPhase::Over;
            self.workers.remove_stale_cgroups();
            self.trim_at = Some(clock::now() + TRIM_DELAY);
        }
    }

    /// Gives back the memory that the first starts needed.
    fn trim_in_time(&mut self, now: Instant) {
        if self.trim_at.is_some_and(|at| at <= now) {
            self.trim_at = None;
            process::trim_memory();
        }
    }

    /// Handles the file that was evaluated, if the evaluation has ended.
    fn handle_evaluation(&mut self) {
        if let Some(evaluation) = self.evaluation.take_if(|evaluation| evaluation.is_done()) {
            self.has_evaluated(evaluation);
        }
    }
}

async fn advance(evaluation: &mut Option<Running>) {
    match evaluation {
        Some(running) => running.advance().await,
        None => std::future::pending().await,
    }
}
