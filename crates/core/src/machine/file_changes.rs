//! Changes of watched files: the application restarts or reloads.

use std::collections::BTreeSet;

use super::{
    backoff,
    change_backoff::{ChangeBackoff, INITIAL_DELAY, RESTART_LOOP_WINDOW},
    effect::Effect,
    events::{EventData, Notice},
    ids::{InstanceId, Timer, TimerKind},
    instance::{AfterStop, Instance},
    job::Job,
    reason::{ExitReason, StopKind},
    root::{Machine, Phase},
    time::Time,
};

impl Machine {
    /// Files of an application have changed; `path` is one of them.
    pub(super) fn files_changed(&mut self, now: Time, app: &str, path: String, out: &mut Vec<Effect>) {
        let watches = self.planned(app).is_some_and(|planned| planned.watch.is_some());
        if self.phase != Phase::Running || !watches || self.restartable(app).is_empty() {
            return;
        }
        let started = self.staying(app).iter().filter_map(|id| self.instances[id].started_at()).max();
        let backoff = self.watch_changes.apps.entry(app.to_owned()).or_default();
        if backoff.delayed.is_some() {
            return;
        }
        let since = started.map_or(backoff.last_restart, |started| started.max(backoff.last_restart));
        backoff.in_a_row = if now.since(since) < RESTART_LOOP_WINDOW { backoff.in_a_row + 1 } else { 1 };
        let (wait, times) = (backoff::delay_after(backoff.in_a_row - 1, INITIAL_DELAY), backoff.in_a_row);
        if wait.is_zero() {
            self.restart_for_change(now, app, path, out);
            return;
        }
        backoff.delayed = Some((now + wait, path.clone()));
        self.watch_changes.timers += 1;
        let timer =
            Timer { instance: InstanceId::ROOT, kind: TimerKind::State, epoch: self.watch_changes.timers };
        out.push(Effect::ArmTimer(timer, now + wait));
        out.push(Notice::of_app(app, EventData::ChangesThrottled { path, times, wait }).into());
    }

    /// The delay of an application may be over.
    pub(super) fn delayed_changes_due(&mut self, now: Time, out: &mut Vec<Effect>) {
        let is_due = |backoff: &mut ChangeBackoff| backoff.delayed.take_if(|(due, _)| *due <= now);
        let due: Vec<(String, String)> = self
            .watch_changes
            .apps
            .iter_mut()
            .filter_map(|(app, backoff)| is_due(backoff).map(|(_, path)| (app.clone(), path)))
            .collect();
        for (app, path) in due {
            let watches = self.planned(&app).is_some_and(|planned| planned.watch.is_some());
            if self.phase == Phase::Running && watches {
                self.restart_for_change(now, &app, path, out);
            }
        }
    }

    /// Restarts an application, without downtime if possible.
    fn restart_for_change(&mut self, now: Time, app: &str, path: String, out: &mut Vec<Effect>) {
        let restarting = self.restartable(app);
        if restarting.is_empty() {
            return;
        }
        if let Some(backoff) = self.watch_changes.apps.get_mut(app) {
            backoff.last_restart = now;
        }
        let numbers: BTreeSet<u32> = restarting.iter().map(|id| self.instances[id].number).collect();
        let overlaps = self.planned(app).is_some_and(|spec| spec.can_overlap());
        let rolling = overlaps && self.can_roll(&self.staying(app));
        let reason = ExitReason::FilesChanged(path.clone());
        out.push(Notice::of_app(app, EventData::FilesChanged { path, rolling }).into());
        if self.reloads.is_active(app) {
            self.enqueue(app, Job::Reload { numbers, reason, tickets: Vec::new() }, out);
        } else if rolling {
            self.reload_numbers(now, app, &numbers, reason, Vec::new(), out);
        } else {
            for id in restarting {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.reason = Some(reason.clone());
                }
                self.stop_instance(now, id, StopKind::FilesChanged, AfterStop::Restart, out);
            }
        }
    }

    /// The instances that run, or have ended by themselves: not those that were stopped or never started.
    pub(super) fn restartable(&self, app: &str) -> Vec<InstanceId> {
        let mut staying = self.staying(app);
        staying.retain(|id| self.instances.get(id).is_some_and(Instance::should_run));
        staying
    }
}
