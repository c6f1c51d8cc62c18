//! Scheduled restarts (`cron_restart`).
//!
//! The supervisor reads the wall clock and knows the times of each schedule.

use std::collections::BTreeSet;

use super::{
    effect::Effect,
    events::{EventData, Notice},
    ids::InstanceId,
    instance::{AfterStop, Status},
    reason::{ExitReason, StopKind},
    root::{Machine, Phase},
    time::Time,
};

impl Machine {
    /// The schedule of an application is due: stopped instances start, running ones restart, without downtime if
    /// possible. Instances that are starting or stopping are left alone, so that no restart happens twice.
    pub(super) fn schedule_due(&mut self, now: Time, app: &str, out: &mut Vec<Effect>) {
        if self.phase != Phase::Running || self.reloads.is_active(app) {
            return;
        }
        let staying = self.staying(app);
        let (mut running, mut stopped): (Vec<InstanceId>, Vec<InstanceId>) = Default::default();
        for id in &staying {
            match self.instances[id].status() {
                Status::Online => running.push(*id),
                Status::Launching if self.instances[id].cannot_listen() => running.push(*id),
                Status::Stopped | Status::Errored => stopped.push(*id),
                Status::WaitingForDependencies
                | Status::Launching
                | Status::Stopping
                | Status::BackingOff => {}
            }
        }
        let Some(first) = running.first().or(stopped.first()) else { return };
        let pattern = self.instances[first].spec.schedule.as_ref().map(|it| it.pattern.as_str());
        let data = EventData::ScheduleDue { schedule: pattern.unwrap_or_default().to_owned() };
        out.push(Notice::of_app(app, data).into());
        let can_roll = self.can_roll(&staying) && self.planned(app).is_some_and(|spec| spec.can_overlap());
        let at_once = if can_roll { &[] } else { &running[..] };
        for id in stopped.iter().chain(at_once) {
            self.stop_instance(now, *id, StopKind::Schedule, AfterStop::Restart, out);
        }
        if can_roll {
            let numbers: BTreeSet<u32> = running.iter().map(|id| self.instances[id].number).collect();
            self.reload_numbers(now, app, &numbers, ExitReason::Schedule, Vec::new(), out);
        }
    }

    /// Whether a schedule will start something although nothing is alive.
    pub(super) fn has_schedule(&self) -> bool {
        self.instances.values().any(|instance| instance.spec.schedule.is_some())
    }
}
