//! Events go into the machine here, and its effects go to the parts.

use super::{
    super::workers::{StartContext, Workers},
    Supervisor,
};
use crate::{
    machine::{
        Effect, Input, Reply, Run, StopMethod, Ticket,
        events::{EventData, Notice},
    },
    spec::{Signal, StopSignalScope},
    sys::descriptor_reserve,
};

/// The effects of one step of the machine, as far as they are carried out together.
struct Batch {
    /// What the machine learns of these effects at once.
    inputs: Vec<Input>,
    starts: Vec<Run>,
    kills: Vec<Run>,
    /// Reports that wait until the starts have begun: a start is urgent, a line about it is not.
    reports: Vec<Report>,
    has_starts: bool,
}

/// An effect that only reports something.
enum Report {
    Notice(Notice, Vec<Ticket>),
    Reply(Ticket, Reply),
}

impl Supervisor<'_> {
    /// Gives the machine inputs and all inputs that follow from them at once. The output of a round is written
    /// together.
    pub(super) fn feed(&mut self, mut inputs: Vec<Input>) {
        let _held = (!inputs.is_empty()).then(|| self.logs.hold());
        if !inputs.is_empty() {
            self.clients.has_changed();
        }
        while !inputs.is_empty() {
            if inputs.iter().any(|input| matches!(input, Input::Started(..))) {
                self.memory.begin();
            }
            let now = self.now();
            let mut effects = std::mem::take(&mut self.effects);
            for input in inputs {
                self.machine.step(now, input, &mut effects);
            }
            inputs = self.apply_all(&mut effects);
            self.effects = effects;
        }
    }

    /// Carries out the effects of one step, the starts together and the kills together.
    fn apply_all(&mut self, effects: &mut Vec<Effect>) -> Vec<Input> {
        let mut signalled: Vec<Run> = effects.iter().filter_map(receives_signal).collect();
        signalled.dedup();
        let reserve = (!signalled.is_empty()).then(descriptor_reserve::release);
        if !signalled.is_empty() {
            // Once for all of them: a process that a signal ends takes the evidence of its descendants with it.
            self.workers.trees_of(&signalled, &self.machine).refresh_some(&signalled);
        }
        let has_starts = effects.iter().any(|effect| matches!(effect, Effect::Spawn(_)));
        let mut batch = Batch {
            inputs: Vec::new(),
            starts: Vec::new(),
            kills: Vec::new(),
            reports: Vec::new(),
            has_starts,
        };
        for effect in effects.drain(..) {
            self.apply(effect, &mut batch);
        }
        let Batch { mut inputs, starts, kills, reports, .. } = batch;
        if !kills.is_empty() {
            self.workers.kill_trees(&kills, &self.machine);
        }
        drop(reserve);
        if !starts.is_empty() {
            let (workers, mut context) = self.start_context();
            inputs.extend(workers.start_all(&starts, &mut context));
        }
        for report in reports {
            self.send_report(report);
        }
        self.close_failed(&inputs);
        inputs
    }

    /// Hands an effect to the part that carries it out. Effects have no other way to the parts.
    fn apply(&mut self, effect: Effect, batch: &mut Batch) {
        match effect {
            Effect::Spawn(run) => batch.starts.push(run),
            Effect::CancelStart(run) => batch.inputs.extend(self.workers.cancel_start(run)),
            Effect::KillTree(run) => batch.kills.push(run),
            Effect::Probe(run, kind) => {
                self.checks.start(run, kind, &self.machine, &mut self.workers, &mut self.node);
            }
            Effect::Signal(run, signal) => self.workers.signal(run, signal),
            Effect::Retire(run) => self.node.retire(run),
            Effect::Drain(run) => {
                if !self.node.drain(run) {
                    batch.inputs.push(Input::Drained(run));
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
            Effect::Report { notice, tickets } => self.take_report(Report::Notice(notice, tickets), batch),
            Effect::Reply(ticket, reply) => self.take_report(Report::Reply(ticket, reply), batch),
            Effect::Exit(code) => self.shutdown.code = Some(code),
        }
    }

    fn take_report(&mut self, report: Report, batch: &mut Batch) {
        if batch.has_starts {
            batch.reports.push(report);
        } else {
            self.send_report(report);
        }
    }

    /// Logs a report, or inputs a client.
    fn send_report(&mut self, report: Report) {
        match report {
            Report::Notice(notice, tickets) => {
                if let EventData::EndedContainer { code } = notice.data {
                    self.shutdown.cause.culprit = notice.subject.instance.filter(|_| code != 0);
                }
                self.clients.report(notice, &tickets);
            }
            Report::Reply(ticket, reply) => {
                self.clients.reply(ticket, &reply, &self.machine, self.workers.pid_files());
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
                self.report_run(run, EventData::ChannelMissing { signal });
                signal
            }
        };
        self.workers.request_end(run, signal, scope);
    }

    /// The workers, and the parts that a start is connected with.
    pub(super) fn start_context(&mut self) -> (&mut Workers, StartContext<'_>) {
        let context = StartContext {
            machine: &self.machine,
            node: &mut self.node,
            listen_sockets: &mut self.listen_sockets,
            notify: &mut self.notify,
        };
        (&mut self.workers, context)
    }

    /// Closes the connections with runs whose start has failed.
    pub(super) fn close_failed(&mut self, events: &[Input]) {
        for event in events {
            if let Input::SpawnFailed(run, _) = event {
                self.node.ended(*run);
                self.notify.ended(*run);
            }
        }
    }
}

/// The run that gets a signal.
fn receives_signal(effect: &Effect) -> Option<Run> {
    match effect {
        Effect::Signal(run, _) | Effect::RequestStop(run, _, _) | Effect::StopLeftovers(run, _) => Some(*run),
        _ => None,
    }
}
