//! Changes of watched files: an application restarts or reloads.

use std::collections::BTreeSet;

use super::{
    backoff,
    change_throttle::{ChangeBackoff, INITIAL_DELAY, RESTART_LOOP_WINDOW},
    effect::Effect,
    events::{EventData, Notice},
    ids::{InstanceId, Timer, TimerKind},
    instance::{AfterStop, Instance},
    job::Job,
    reason::{ExitReason, StopReason},
    root::{Machine, Phase},
    time::Time,
};

impl Machine {
    /// Files of an application have changed; `path` is one of them.
    pub(super) fn files_changed(&mut self, now: Time, app: &str, path: String, out: &mut Vec<Effect>) {
        let watches = self.planned(app).is_some_and(|planned| planned.watch.is_some());
        if self.phase != Phase::Running || !watches || self.to_run_anew(app).is_empty() {
            return;
        }
        let started = self.staying(app).iter().filter_map(|id| self.instances[id].started_at()).max();
        let pace = self.changes.apps.entry(app.to_owned()).or_default();
        if pace.waiting.is_some() {
            return;
        }
        let since = started.map_or(pace.last_restart, |started| started.max(pace.last_restart));
        pace.in_a_row = if now.since(since) < RESTART_LOOP_WINDOW { pace.in_a_row + 1 } else { 1 };
        let (wait, times) = (backoff::delay_after(pace.in_a_row - 1, INITIAL_DELAY), pace.in_a_row);
        if wait.is_zero() {
            self.answer_change(now, app, path, out);
            return;
        }
        pace.waiting = Some((now + wait, path.clone()));
        self.changes.timers += 1;
        let timer = Timer { instance: InstanceId::ROOT, kind: TimerKind::State, epoch: self.changes.timers };
        out.push(Effect::ArmTimer(timer, now + wait));
        out.push(Notice::of_app(app, EventData::ChangesThrottled { path, times, wait }).into());
    }

    /// The wait of some application may be over.
    pub(super) fn changes_due(&mut self, now: Time, out: &mut Vec<Effect>) {
        let is_due = |pace: &mut ChangeBackoff| pace.waiting.take_if(|(due, _)| *due <= now);
        let due: Vec<(String, String)> = self
            .changes
            .apps
            .iter_mut()
            .filter_map(|(app, pace)| is_due(pace).map(|(_, path)| (app.clone(), path)))
            .collect();
        for (app, path) in due {
            let watches = self.planned(&app).is_some_and(|planned| planned.watch.is_some());
            if self.phase == Phase::Running && watches {
                self.answer_change(now, &app, path, out);
            }
        }
    }

    /// Lets an application run anew: without a gap if it can.
    fn answer_change(&mut self, now: Time, app: &str, path: String, out: &mut Vec<Effect>) {
        let anew = self.to_run_anew(app);
        if anew.is_empty() {
            return;
        }
        if let Some(pace) = self.changes.apps.get_mut(app) {
            pace.last_restart = now;
        }
        let numbers: BTreeSet<u32> = anew.iter().map(|id| self.instances[id].number).collect();
        let overlaps = self.planned(app).is_some_and(|spec| spec.can_overlap());
        let rolling = overlaps && self.can_roll(&self.staying(app));
        let reason = ExitReason::FilesChanged(path.clone());
        out.push(Notice::of_app(app, EventData::FilesChanged { path, rolling }).into());
        if self.reloads.is_active(app) {
            self.queue(app, Job::Reload { numbers, reason, tickets: Vec::new() }, out);
        } else if rolling {
            self.reload_numbers(now, app, &numbers, reason, Vec::new(), out);
        } else {
            for id in anew {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.reason = Some(reason.clone());
                }
                self.end(now, id, StopReason::FilesChanged, AfterStop::Restart, out);
            }
        }
    }

    /// The instances that run, or have ended by themselves. An instance that was stopped, or was never
    /// started, is not one of them.
    pub(super) fn to_run_anew(&self, app: &str) -> Vec<InstanceId> {
        let mut staying = self.staying(app);
        staying.retain(|id| self.instances.get(id).is_some_and(Instance::is_wanted));
        staying
    }
}
