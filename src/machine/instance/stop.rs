//! How an instance is ended: it drains, is asked to end, and is killed.

use std::time::Duration;

use super::{Instance, State, Step, Stop, Verdict};
use crate::{
    machine::{
        Time,
        event::{Effect, Run},
        notice::{Notice, StopCause},
        reason::Reason,
    },
    spec::Signal,
};

/// How long SIGKILL may take until it is sent again, or a process counts as unkillable.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

impl Instance {
    /// Asks it to end. What it was to do afterwards is replaced by what `stop` says.
    pub(in crate::machine) fn stop(&mut self, step: &mut Step<'_>, stop: Stop) -> Verdict {
        match stop.cause {
            StopCause::Memory(excess) => self.reason = Some(Reason::Memory(excess)),
            // It has one by now: it is not well, or its successor has come because of it.
            StopCause::Sick
            | StopCause::GivenUp
            | StopCause::Replaced
            | StopCause::Drained
            | StopCause::NotDrained => {}
            StopCause::Shutdown
            | StopCause::Removed
            | StopCause::Changed
            | StopCause::Asked
            | StopCause::Restarted
            | StopCause::Due
            | StopCause::Reloaded => self.reason = None,
        }
        match &mut self.state {
            State::Online { run, since } => {
                let (number, since) = (*run, *since);
                let run = Run { instance: self.id, number };
                if self.spec.is_cluster() {
                    step.out.push(Effect::Retire(run));
                }
                // Who has never listened has nothing to finish.
                match self.spec.stop.drain.filter(|_| stop.cause.drains() && self.readiness.listening) {
                    Some(within) => {
                        let Stop { signal, cause, then } = stop;
                        self.state = State::Draining { run: number, since, signal, then };
                        step.say(Notice::Draining { who: self.subject(), within, cause });
                        step.out.push(Effect::Drain(run));
                        self.arm(step, within);
                    }
                    None => self.ask_to_end(step, number, since, stop),
                }
                Verdict::Nothing
            }
            State::Draining { run, since, then, .. } => {
                let (run, since) = (*run, *since);
                if stop.cause.drains() {
                    *then = stop.then;
                } else {
                    self.ask_to_end(step, run, since, stop);
                }
                Verdict::Nothing
            }
            State::Launching { stop: pending, .. } => {
                *pending = Some(stop);
                Verdict::Nothing
            }
            State::Stopping { then, .. } => {
                *then = stop.then;
                Verdict::Nothing
            }
            State::Stopped | State::Waiting | State::Errored => self.follow(step, stop.then, 0),
        }
    }

    /// It has finished its connections, or has had its time to.
    pub(in crate::machine) fn drained(&mut self, step: &mut Step<'_>, cause: StopCause) {
        match self.state {
            State::Draining { run, since, signal, then } => {
                self.ask_to_end(step, run, since, Stop { signal, cause, then });
            }
            State::Stopped
            | State::Launching { .. }
            | State::Online { .. }
            | State::Stopping { .. }
            | State::Waiting
            | State::Errored => {}
        }
    }

    fn ask_to_end(&mut self, step: &mut Step<'_>, number: u64, since: Time, stop: Stop) {
        let Stop { signal, cause, then } = stop;
        let run = Run { instance: self.id, number };
        self.state = State::Stopping { run: number, ended: false, signal, since, kills: 0, then };
        step.say(Notice::Stopping { who: self.subject(), signal, cause });
        step.out.push(if self.spec.stop.with_message && self.spec.is_node() {
            Effect::Shutdown(run, signal)
        } else {
            Effect::Signal(run, signal)
        });
        // A stopped process (SIGSTOP) would not see the signal before it goes on.
        step.out.push(Effect::Signal(run, Signal::CONT));
        self.arm(step, self.spec.stop.kill_timeout);
    }

    /// SIGKILL to the whole tree, at once.
    pub(in crate::machine) fn kill(&mut self, step: &mut Step<'_>) {
        let Some(run) = self.run() else { return };
        let State::Stopping { kills, ended, .. } = &mut self.state else { return };
        *kills += 1;
        if self.spec.stop.treekill {
            step.out.push(Effect::KillTree(run));
        } else if !*ended {
            step.out.push(Effect::Signal(run, Signal::KILL));
        }
        self.arm(step, KILL_PATIENCE);
    }
}
