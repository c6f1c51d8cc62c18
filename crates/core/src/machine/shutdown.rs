//! The shutdown: its order, and the time that each application gets.
//!
//! An application is stopped when all applications that depend on it have ended; independent applications stop at the
//! same time. A container engine kills procrun after a while, so the time left is shared such that the last stage still
//! gets its signal and its share.

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
    reason::StopKind,
    root::{Machine, Phase},
    shutdown_budget::{MIN_STOP_TIME, StopPath, fair_share, longest_path},
    subject::Generation,
    time::Time,
};
use crate::spec::{
    ExitCode, Signal,
    dependencies::{Graph, graph, needed_by},
};

/// A second request kills everything only if it comes this time after the first: terminals and wrappers such as npm
/// deliver one Ctrl-C twice.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);

/// The default of `shutdown_timeout`: Docker's 10 s less a reserve.
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

impl Machine {
    pub(super) fn shutdown_requested(&mut self, now: Time, request: ShutdownRequest, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::NotBooted => self.shut_down(now, Some(request.signal), 0, out),
            Phase::Running => self.begin_closing(now, request.signal, out),
            Phase::Closing { requested_at, signal } if now.since(requested_at) > REPEAT_WINDOW => {
                self.phase = Phase::Closing { requested_at: now, signal };
                self.shut_down(now, Some(signal), 0, out);
            }
            Phase::Stopping { requested_at: None, is_killing, code } => {
                self.phase = Phase::Stopping { requested_at: Some(now), is_killing, code };
            }
            Phase::Stopping { requested_at: Some(requested_at), is_killing: false, code }
                if now.since(requested_at) > REPEAT_WINDOW =>
            {
                self.phase = Phase::Stopping { requested_at: Some(requested_at), is_killing: true, code };
                out.push(Notice::of_runtime(EventData::KillingAll {}).into());
                for id in std::mem::take(&mut self.shutdown.pending) {
                    self.stop_in_order(now, id, now, out);
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

    /// Begins a requested shutdown, after `pre_stop_delay`.
    fn begin_closing(&mut self, now: Time, signal: Signal, out: &mut Vec<Effect>) {
        self.shutdown.deadline = now + self.budget();
        let delay = self.pre_stop_delay();
        if delay.is_zero() || !self.instances.values().any(|instance| instance.run().is_some()) {
            self.shut_down(now, Some(signal), 0, out);
            return;
        }
        self.phase = Phase::Closing { requested_at: now, signal };
        // Kept here because the plan may change meanwhile, when a reload completes.
        self.shutdown.closing_ends = now + delay;
        out.push(Notice::of_runtime(EventData::Closing { delay }).into());
        let timer = Timer { instance: InstanceId::ROOT, kind: TimerKind::State, epoch: 0 };
        out.push(Effect::ArmTimer(timer, self.shutdown.closing_ends));
    }

    /// The shutdown budget.
    fn budget(&self) -> Duration {
        let planned = self.plan.apps.iter().map(|app| app.stop.kill_timeout);
        let running = self.instances.values().map(|instance| instance.spec.stop.kill_timeout);
        let longest = planned.chain(running).max().unwrap_or_default();
        self.plan.runtime.shutdown_timeout.unwrap_or(longest.max(DEFAULT_SHUTDOWN_TIMEOUT))
    }

    /// The time that everything serves on before it is stopped, at most half of the budget.
    fn pre_stop_delay(&self) -> Duration {
        self.plan.runtime.pre_stop_delay.min(self.budget() / 2)
    }

    /// Whether a shutdown was requested and everything serves on for `pre_stop_delay`.
    pub fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// The end of `pre_stop_delay` may have come.
    pub(super) fn closing_timer_fired(&mut self, now: Time, out: &mut Vec<Effect>) {
        if let Phase::Closing { signal, .. } = self.phase
            && now >= self.shutdown.closing_ends
        {
            self.shut_down(now, Some(signal), 0, out);
        }
    }

    /// Stops everything; procrun ends with `code` then.
    pub(super) fn shut_down(
        &mut self,
        now: Time,
        signal: Option<Signal>,
        code: ExitCode,
        out: &mut Vec<Effect>,
    ) {
        let requested_at = match self.phase {
            Phase::Closing { requested_at, .. } => Some(requested_at),
            Phase::NotBooted | Phase::Running | Phase::Ended => signal.map(|_| now),
            Phase::Stopping { requested_at, .. } => requested_at,
        };
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.shutdown.deadline = now + self.budget();
        }
        self.phase = Phase::Stopping { requested_at, is_killing: false, code };
        self.shutdown.signal = signal;
        let alive = self.instances.values().filter(|instance| instance.run().is_some()).count();
        out.push(Notice::of_runtime(EventData::ShuttingDown { processes: alive }).into());
        self.abort_all_reloads(out);
        self.waiting_instances.clear();
        let limits = self.kill_times(now);
        let ends = self.shutdown.deadline;
        for id in self.ids() {
            self.with_instance(id, now, out, |instance, step| {
                instance.limit_grace_period(step, ends);
                StepOutcome::Nothing
            });
            let Some(instance) = self.instances.get(&id) else { continue };
            if instance.stops_in_order() {
                self.shutdown.pending.insert(id);
            } else {
                let limit = limits.get(&instance.spec.name).copied().unwrap_or(self.shutdown.deadline);
                self.stop_in_order(now, id, limit, out);
            }
        }
        self.next_stage(now, out);
    }

    /// Stops the instances that no running application depends on.
    pub(super) fn next_stage(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.shutdown.pending.is_empty() || !matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        let instances = &self.instances;
        self.shutdown.pending.retain(|id| instances.get(id).is_some_and(|it| it.run().is_some()));
        let order = self.stop_order();
        let alive = self.running_apps();
        let needed = needed_by(&order, alive.iter().copied());
        let mut stage: Vec<InstanceId> = Vec::new();
        let is_free = |id: &InstanceId| !needed.contains(self.instances[id].spec.name.as_str());
        stage.extend(self.shutdown.pending.iter().filter(|id| is_free(id)));
        if stage.is_empty() && self.shutdown.pending.len() == self.running_count() {
            // Each waits for another: the old and the new dependencies of a reload form a cycle together.
            stage.extend(&self.shutdown.pending);
        }
        if stage.is_empty() {
            return;
        }
        let limits = self.kill_times(now);
        for id in stage {
            self.shutdown.pending.remove(&id);
            let limit = limits.get(&self.instances[&id].spec.name).copied().unwrap_or(self.shutdown.deadline);
            self.stop_in_order(now, id, limit, out);
        }
    }

    /// Stops one instance for the shutdown, with SIGKILL at this time at the latest.
    fn stop_in_order(&mut self, now: Time, id: InstanceId, limit: Time, out: &mut Vec<Effect>) {
        let requested_signal = self.shutdown.signal;
        self.with_instance(id, now, out, |instance, step| {
            let kill_signal = instance.spec.stop.kill_signal.or(requested_signal);
            let signal = kill_signal.unwrap_or_else(|| instance.stop_signal());
            let then = match instance.generation {
                Generation::Current => AfterStop::StayStopped,
                Generation::Successor | Generation::Predecessor => AfterStop::Remove,
            };
            instance.limit_grace_period(step, limit);
            instance.stop(step, Stop { signal, kind: StopKind::Shutdown, then })
        });
    }

    fn running_count(&self) -> usize {
        self.instances.values().filter(|instance| instance.run().is_some()).count()
    }

    fn running_apps(&self) -> BTreeSet<&str> {
        let alive = self.instances.values().filter(|instance| instance.run().is_some());
        alive.map(|instance| instance.spec.name.as_str()).collect()
    }

    /// The dependencies: those of the plan, and those of instances that are not in it.
    fn stop_order(&self) -> Graph<'_> {
        let mut order = graph(self.instances.values().map(|instance: &Instance| &*instance.spec));
        order.extend(graph(self.plan.apps.iter().map(AsRef::as_ref)));
        order
    }

    /// When SIGKILL is due for each running application, if it is stopped now. The time left is shared with the stages
    /// after it if it is not enough for all of them.
    fn kill_times(&self, now: Time) -> BTreeMap<String, Time> {
        let order = self.stop_order();
        let mut own: BTreeMap<&str, Duration> = BTreeMap::new();
        for instance in self.instances.values().filter(|instance| instance.run().is_some()) {
            let longest = own.entry(&instance.spec.name).or_default();
            *longest = (*longest).max(instance.spec.stop.kill_timeout);
        }
        let left = self.shutdown.deadline.since(now);
        let mut known = BTreeMap::new();
        own.iter()
            .map(|(name, own_time)| {
                longest_path(&order, &own, name, &mut known);
                let next = |name: &&str| known.get(name).and_then(|path: &StopPath<'_>| path.next);
                let path = std::iter::successors(Some(*name), next);
                let share = fair_share(left, path.filter_map(|stage| own.get(stage).copied()).collect());
                ((*name).to_owned(), now + share.min(*own_time).max(MIN_STOP_TIME))
            })
            .collect()
    }
}
