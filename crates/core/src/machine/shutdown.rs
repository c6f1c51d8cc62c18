//! The stop of everything: in which order, and how much of the time each may take.
//!
//! An application is asked to end when all that need it are gone; those that have nothing to do with
//! each other end at once. No container engine waits for ever: what there is of time is shared so that
//! the last one still gets its signal and its part.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    effect::Effect,
    events::{EventData, Notice},
    ids::{InstanceId, Timer, TimerKind},
    input::ShutdownRequest,
    instance::{AfterStop, Instance, StepOutcome, Stop},
    reason::StopReason,
    root::{Machine, Phase},
    shutdown_budget::{MIN_STOP_TIME, StopPath, longest_way, share},
    subject::Generation,
    time::Time,
};
use crate::spec::{
    ExitCode, Signal,
    order::{Graph, graph, needed_by},
};

/// A second request to stop counts as "now!" only after this: terminals and wrappers such as npm
/// deliver one Ctrl-C twice.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// How long a stop may take if nobody says anything: Docker's 10 s less a reserve.
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

impl Machine {
    pub(super) fn stop_requested(&mut self, now: Time, request: ShutdownRequest, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::NotBooted => self.shut_down(now, Some(request.signal), 0, out),
            Phase::Running => self.close(now, request.signal, out),
            Phase::Closing { asked, signal } if now.since(asked) > IMPATIENCE => {
                self.phase = Phase::Closing { asked: now, signal };
                self.shut_down(now, Some(signal), 0, out);
            }
            Phase::Stopping { asked: None, killed, code } => {
                self.phase = Phase::Stopping { asked: Some(now), killed, code };
            }
            Phase::Stopping { asked: Some(asked), killed: false, code } if now.since(asked) > IMPATIENCE => {
                self.phase = Phase::Stopping { asked: Some(asked), killed: true, code };
                out.push(Notice::of_runtime(EventData::KillingAll {}).into());
                for id in std::mem::take(&mut self.shutdown.waiting) {
                    self.end_in_turn(now, id, now, out);
                }
                for id in self.ids() {
                    self.with_instance(id, now, out, |instance, step| {
                        instance.kill(step);
                        StepOutcome::Nothing
                    });
                }
            }
            Phase::Closing { .. } | Phase::Stopping { .. } | Phase::Ended => {}
        }
    }

    /// Begins the shutdown on request, after `pre_stop_delay`.
    fn close(&mut self, now: Time, signal: Signal, out: &mut Vec<Effect>) {
        self.shutdown.ends = now + self.budget();
        let delay = self.pre_stop_delay();
        if delay.is_zero() || !self.instances.values().any(|instance| instance.run().is_some()) {
            self.shut_down(now, Some(signal), 0, out);
            return;
        }
        self.phase = Phase::Closing { asked: now, signal };
        // What the plan says may change meanwhile: a reload comes to its end.
        self.shutdown.begins = now + delay;
        out.push(Notice::of_runtime(EventData::Closing { delay }).into());
        let timer = Timer { instance: InstanceId::ROOT, kind: TimerKind::State, epoch: 0 };
        out.push(Effect::ArmTimer(timer, self.shutdown.begins));
    }

    /// How long a stop of everything may take.
    fn budget(&self) -> Duration {
        let planned = self.plan.apps.iter().map(|app| app.stop.kill_timeout);
        let running = self.instances.values().map(|instance| instance.spec.stop.kill_timeout);
        let longest = planned.chain(running).max().unwrap_or_default();
        self.plan.runtime.shutdown_timeout.unwrap_or(longest.max(DEFAULT_SHUTDOWN_TIMEOUT))
    }

    /// How long everything serves on before it is stopped.
    fn pre_stop_delay(&self) -> Duration {
        self.plan.runtime.pre_stop_delay.min(self.budget() / 2)
    }

    /// Whether everything is to stop and serves on until then.
    pub fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// The time of serving may be over.
    pub(super) fn closing_due(&mut self, now: Time, out: &mut Vec<Effect>) {
        if let Phase::Closing { signal, .. } = self.phase
            && now >= self.shutdown.begins
        {
            self.shut_down(now, Some(signal), 0, out);
        }
    }

    /// Stops everything; procrun will end with `code`.
    pub(super) fn shut_down(
        &mut self,
        now: Time,
        signal: Option<Signal>,
        code: ExitCode,
        out: &mut Vec<Effect>,
    ) {
        let asked = match self.phase {
            Phase::Closing { asked, .. } => Some(asked),
            Phase::NotBooted | Phase::Running | Phase::Ended => signal.map(|_| now),
            Phase::Stopping { asked, .. } => asked,
        };
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.shutdown.ends = now + self.budget();
        }
        self.phase = Phase::Stopping { asked, killed: false, code };
        self.shutdown.signal = signal;
        let alive = self.instances.values().filter(|instance| instance.run().is_some()).count();
        out.push(Notice::of_runtime(EventData::ShuttingDown { processes: alive }).into());
        self.end_reloads(out);
        self.waiting.clear();
        let limits = self.limits(now);
        let ends = self.shutdown.ends;
        for id in self.ids() {
            self.with_instance(id, now, out, |instance, step| {
                instance.limit_patience(step, ends);
                StepOutcome::Nothing
            });
            let Some(instance) = self.instances.get(&id) else { continue };
            if instance.has_a_turn_to_end() {
                self.shutdown.waiting.insert(id);
            } else {
                let limit = limits.get(&instance.spec.name).copied().unwrap_or(self.shutdown.ends);
                self.end_in_turn(now, id, limit, out);
            }
        }
        self.next_stage(now, out);
    }

    /// Stops all that no other running application depends on.
    pub(super) fn next_stage(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.shutdown.waiting.is_empty() || !matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        let instances = &self.instances;
        self.shutdown.waiting.retain(|id| instances.get(id).is_some_and(|it| it.run().is_some()));
        let order = self.order_of_ends();
        let alive = self.alive_apps();
        let needed = needed_by(&order, alive.iter().copied());
        let mut turn: Vec<InstanceId> = Vec::new();
        let is_free = |id: &InstanceId| !needed.contains(self.instances[id].spec.name.as_str());
        turn.extend(self.shutdown.waiting.iter().filter(|id| is_free(id)));
        if turn.is_empty() && self.shutdown.waiting.len() == self.living() {
            // Each waits for another: the present and the earlier dependencies form a cycle.
            turn.extend(&self.shutdown.waiting);
        }
        if turn.is_empty() {
            return;
        }
        let limits = self.limits(now);
        for id in turn {
            self.shutdown.waiting.remove(&id);
            let limit = limits.get(&self.instances[&id].spec.name).copied().unwrap_or(self.shutdown.ends);
            self.end_in_turn(now, id, limit, out);
        }
    }

    /// Asks one to end as everything else does, with SIGKILL at this time at the latest.
    fn end_in_turn(&mut self, now: Time, id: InstanceId, limit: Time, out: &mut Vec<Effect>) {
        let asked_with = self.shutdown.signal;
        self.with_instance(id, now, out, |instance, step| {
            let kill_signal = instance.spec.stop.kill_signal.or(asked_with);
            let signal = kill_signal.unwrap_or_else(|| instance.stop_signal());
            let then = match instance.generation {
                Generation::Current => AfterStop::StayStopped,
                Generation::Successor | Generation::Predecessor => AfterStop::Remove,
            };
            instance.limit_patience(step, limit);
            instance.stop(step, Stop { signal, cause: StopReason::Shutdown, then })
        });
    }

    fn living(&self) -> usize {
        self.instances.values().filter(|instance| instance.run().is_some()).count()
    }

    fn alive_apps(&self) -> BTreeSet<&str> {
        let alive = self.instances.values().filter(|instance| instance.run().is_some());
        alive.map(|instance| instance.spec.name.as_str()).collect()
    }

    /// Who needs whom: as the plan says it, and for those that it does not know as they read.
    fn order_of_ends(&self) -> Graph<'_> {
        let mut order = graph(self.instances.values().map(|instance: &Instance| &*instance.spec));
        order.extend(graph(self.plan.apps.iter().map(AsRef::as_ref)));
        order
    }

    /// When SIGKILL is due for each application that lives, if it is asked to end now. What is left of the
    /// time is shared with those that come after it, as far as it does not do for all.
    fn limits(&self, now: Time) -> BTreeMap<String, Time> {
        let order = self.order_of_ends();
        let mut own: BTreeMap<&str, Duration> = BTreeMap::new();
        for instance in self.instances.values().filter(|instance| instance.run().is_some()) {
            let longest = own.entry(&instance.spec.name).or_default();
            *longest = (*longest).max(instance.spec.stop.kill_timeout);
        }
        let left = self.shutdown.ends.since(now);
        let mut known = BTreeMap::new();
        own.iter()
            .map(|(name, own_time)| {
                longest_way(&order, &own, name, &mut known);
                let next = |name: &&str| known.get(name).and_then(|way: &StopPath<'_>| way.next);
                let stages = std::iter::successors(Some(*name), next);
                let share = share(left, stages.filter_map(|stage| own.get(stage).copied()).collect());
                ((*name).to_owned(), now + share.min(*own_time).max(MIN_STOP_TIME))
            })
            .collect()
    }
}
