//! Workers with too much memory: above their own limit, or while the memory of the container is short.
//!
//! A worker above its limit (`max_memory_restart`) is replaced by a reload, or restarted if it cannot overlap with a
//! successor. If an application exceeds its limit soon after each start, the restarts are delayed by a backoff, so that
//! it serves meanwhile, unless its memory keeps growing. It never becomes `errored`, as under PM2.
//!
//! When the memory of the container is short (`oom_guard`), the largest worker ends, and starts again when it is gone:
//! one at a time, and memory is sampled again before the next one. The supervisor samples memory and repeats the input
//! while the memory is exceeded; a restart in progress is not repeated.

use std::{collections::BTreeSet, time::Duration};

use super::{
    effect::Effect,
    ending::FollowUp,
    events::{EventData, Notice},
    ids::{InstanceId, Run},
    instance::{AfterStop, Instance, Status},
    memory::{MemoryAction, MemoryExcess, MemoryShortage},
    reason::{ExitReason, ReloadAbortReason, StopKind},
    root::{Machine, Phase},
    subject::Generation,
    time::Time,
};
use crate::spec::MemoryLimit;

/// A worker restarts also during the backoff if it exceeds its limit by this part of the limit: a quarter.
const GROWTH_PART: u64 = 4;

/// Minimum interval of the report that no restart would help.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl Machine {
    /// The online runs that have a memory limit.
    pub fn memory_limited(&self) -> impl Iterator<Item = (Run, MemoryLimit)> {
        let online = self.instances.values().filter(|it| it.is_current() && it.is_online());
        online.filter_map(|instance| Some((instance.run()?, instance.spec.max_memory?)))
    }

    /// Whether the OOM guard is stopping a worker: until it is gone no other one is stopped.
    pub fn is_oom_guard_stopping(&self) -> bool {
        self.oom_guard.stopping.is_some_and(|run| self.has_run(run))
    }

    fn has_run(&self, run: Run) -> bool {
        self.instances.get(&run.instance).and_then(Instance::run) == Some(run)
    }

    /// A run exceeds its memory limit.
    pub(super) fn memory_exceeded(
        &mut self,
        now: Time,
        run: Run,
        used: u64,
        limit: u64,
        out: &mut Vec<Effect>,
    ) {
        let id = run.instance;
        if self.phase != Phase::Running || !self.has_run(run) {
            return;
        }
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let app = instance.spec.name.clone();
        let Some(started) = instance.started_at() else { return };
        // A reload decides about a successor, and a predecessor ends anyway.
        if !instance.is_current() || !instance.is_online() || self.reloads.is_active(&app) {
            return;
        }
        let excess = MemoryExcess::OverLimit { used, limit };
        let subject = instance.subject();
        let backoff = &mut instance.history.record.memory_backoff;
        let elapsed = now.since(backoff.last_restart.max(started));
        let wait = backoff.min_interval(elapsed).saturating_sub(elapsed);
        let report =
            |action| out.push(Notice::of(subject, EventData::MemoryExceeded { used, limit, action }).into());
        if wait.is_zero() {
            backoff.count(now);
            let staying = self.staying(&app);
            let overlaps = self.planned(&app).is_some_and(|spec| spec.can_overlap());
            if overlaps && self.can_roll(&staying) {
                report(MemoryAction::Replace);
                let number = BTreeSet::from([self.instances[&id].number]);
                self.reload_numbers(now, &app, &number, ExitReason::Memory(excess), Vec::new(), out);
            } else {
                report(MemoryAction::Restart);
                self.restart_for_memory(now, id, excess, Duration::ZERO, out);
            }
        } else if used.saturating_sub(limit) >= limit / GROWTH_PART {
            let times = backoff.count(now);
            report(MemoryAction::RestartLater { times, wait });
            self.restart_for_memory(now, id, excess, wait, out);
        } else if backoff.reported_run != run.number {
            backoff.reported_run = run.number;
            let times = backoff.in_a_row;
            report(MemoryAction::Postpone { times, wait });
        }
    }

    /// The memory of the container is short. `sizes` has the memory of all process trees in bytes, the largest first.
    pub(super) fn memory_short(
        &mut self,
        now: Time,
        shortage: MemoryShortage,
        sizes: &[(Run, u64)],
        out: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Running || self.is_oom_guard_stopping() {
            return;
        }
        let MemoryShortage { used, threshold, limit } = shortage;
        let workers: u64 = sizes.iter().map(|(_, size)| size).sum();
        let largest = sizes.iter().find(|(run, _)| self.has_run(*run));
        let Some(&(run, size)) = largest.filter(|_| used.saturating_sub(workers) < threshold) else {
            if self.oom_guard.reported_at.is_none_or(|at| now.since(at) >= REPORT_INTERVAL) {
                self.oom_guard.reported_at = Some(now);
                let data = EventData::MemoryElsewhere { used, limit, instances: workers };
                out.push(Notice::of_runtime(data).into());
            }
            return;
        };
        let id = run.instance;
        let instance = &self.instances[&id];
        let (app, generation) = (instance.spec.name.clone(), instance.generation);
        let excess = MemoryExcess::ContainerShort { size, used, limit };
        let kind = StopKind::Memory(excess);
        // There is no memory for a rolling reload: its abort may be enough.
        let is_rolling = self.reloads.is_rolling(&app);
        self.abort_reload(now, &app, ReloadAbortReason::MemoryShort, kind, None, out);
        if is_rolling || generation != Generation::Current {
            return;
        }
        let instance = &self.instances[&id];
        if instance.is_online() {
            let Some(started) = instance.started_at() else { return };
            let subject = instance.subject();
            // The delay comes before its start, not before its end: the kernel would kill meanwhile.
            let backoff = &mut self.oom_guard.backoff;
            let wait =
                backoff.min_interval(now.since(backoff.last_restart)).saturating_sub(now.since(started));
            let times = backoff.count(now);
            self.oom_guard.stopping = Some(run);
            self.oom_guard.reported_at = None;
            let data = EventData::OomGuardStop { size, used, limit, instances: workers, times, wait };
            out.push(Notice::of(subject, data).into());
            self.restart_for_memory(now, id, excess, wait, out);
        } else if instance.status() == Status::Stopping && instance.is_being_removed() {
            // It may be draining: it must end now.
            self.stop_instance(now, id, kind, AfterStop::Remove, out);
        }
    }

    /// Stops an instance, and starts it this time after its end.
    fn restart_for_memory(
        &mut self,
        now: Time,
        id: InstanceId,
        excess: MemoryExcess,
        wait: Duration,
        out: &mut Vec<Effect>,
    ) {
        self.stop_instance(
            now,
            id,
            StopKind::Memory(excess),
            AfterStop::Follow(FollowUp::Restart(wait)),
            out,
        );
    }
}
