//! What others may know of the state of the machine.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    history::PastRun,
    ids::{InstanceId, Run},
    instance::{Instance, Status},
    readiness::Readiness,
    root::{Machine, Phase},
    subject::{Generation, Subject},
    time::Time,
};
use crate::spec::{AppSpec, Plan, ProgramKind};

/// What others may know of one instance.
#[derive(Debug, Clone)]
pub struct InstanceView<'a> {
    /// Its id.
    pub id: InstanceId,
    /// What people call it by; during a reload two may be called the same.
    pub pm_id: u32,
    /// Where it stands in a reload.
    pub generation: Generation,
    /// 0 for the first instance of its application.
    pub number: u32,
    /// How many instances its application has now, without those that come or leave in a reload.
    pub siblings: u32,
    /// What it runs.
    pub spec: &'a Arc<AppSpec>,
    /// What runs its last program; `None`: it has run none yet.
    pub kind: Option<ProgramKind>,
    /// PM2's word for its state.
    pub status: Status,
    /// Which signs its present run has given that it can do its work.
    pub readiness: Readiness,
    /// Whether it can do its work now, as far as it can tell.
    pub ready: bool,
    /// Whether it passes `[apps.health]`; `None` without one.
    pub healthy: Option<bool>,
    /// What it has failed last, if it has not succeeded since.
    pub last_failure: Option<String>,
    /// What it says of itself.
    pub status_text: Option<&'a str>,
    /// Restarts since it was reset (PM2's `restart_time`).
    pub restarts: u32,
    /// Unstable runs in a row (PM2's `unstable_restarts`).
    pub unstable_runs: u32,
    /// Since when it is in the list, or was reset; a successor in a reload inherits that.
    pub created_at: Time,
    /// Since when its process is there, if it is.
    pub started_at: Option<Time>,
    /// It has ended by itself for good, and not well.
    pub failed: bool,
    /// Whether its task is done; `None`: it is no task (`oneshot`).
    pub completed: Option<bool>,
    /// It has failed because it was given up (`errored`), also if it was stopped since.
    pub has_errored: bool,
    /// How its last few runs ended, the oldest first.
    pub past_runs: &'a [PastRun],
}

impl InstanceView<'_> {
    /// What people call it.
    pub fn subject(&self) -> Subject {
        Subject { id: self.id, pm_id: self.pm_id, generation: self.generation, spec: self.spec.clone() }
    }
}

impl Machine {
    /// The plan it works by. An application that is being reloaded stands in it as it was; how many
    /// instances it was scaled to does not stand in it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan as it is when every reload that is under way or waits has come to its end: what a
    /// change of the plan begins with, or it would take those back.
    pub fn pending_plan(&self) -> Plan {
        let mut plan = self.plan.clone();
        for app in &mut plan.apps {
            let (reached, queued) = self.reloads.goals(&app.name);
            if let Some(goal) = queued.or(reached) {
                *app = goal;
            }
        }
        plan
    }

    /// Whether an application would restart if its files changed: it has `watch`, and something of it runs or
    /// has ended by itself. What a command has stopped does not.
    pub fn is_watching(&self, app: &AppSpec) -> bool {
        app.watch.is_some() && !self.restartable(&app.name).is_empty()
    }

    /// Whether an application was scaled to another number of instances than its file says.
    pub fn is_scaled(&self, app: &str) -> bool {
        self.scaled.contains_key(app)
    }

    /// All instances, by id.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView<'_>> {
        let mut siblings: BTreeMap<&str, u32> = BTreeMap::new();
        for instance in self.instances.values().filter(|it| it.generation == Generation::Current) {
            *siblings.entry(&instance.spec.name).or_default() += 1;
        }
        self.instances.values().map(move |instance| {
            let siblings = siblings.get(&*instance.spec.name).copied().unwrap_or(0);
            self.view_of(instance, siblings)
        })
    }

    /// One instance.
    pub fn instance(&self, id: InstanceId) -> Option<InstanceView<'_>> {
        let instance = self.instances.get(&id)?;
        let is_sibling = |other: &&Instance| {
            other.generation == Generation::Current && other.spec.name == instance.spec.name
        };
        let siblings = self.instances.values().filter(is_sibling).count();
        Some(self.view_of(instance, u32::try_from(siblings).unwrap_or(u32::MAX)))
    }

    /// Whether a run that ends now fails by itself and has not reported why.
    pub fn is_unexplained(&self, run: Run) -> bool {
        let instance = self.instances.get(&run.instance);
        instance.is_some_and(|instance| instance.run() == Some(run) && instance.is_unexplained())
    }

    /// What one instance is made from.
    pub fn spec(&self, id: InstanceId) -> Option<&AppSpec> {
        self.instances.get(&id).map(|instance| &*instance.spec)
    }

    /// Whether an application has a process, or will have one by itself.
    pub fn is_app_alive(&self, name: &str) -> bool {
        self.instances.values().any(|instance| instance.spec.name == name && instance.is_alive())
    }

    /// Whether an application that reads like this has a process, or will have one by itself.
    pub fn is_any_alive(&self, is_meant: impl Fn(&AppSpec) -> bool) -> bool {
        self.instances.values().any(|instance| instance.is_alive() && is_meant(&instance.spec))
    }

    /// What an instance waits for at its start, such as `db (ready)`; nothing if it does not wait.
    pub fn waits_for(&self, id: InstanceId) -> Vec<String> {
        self.awaited(id)
    }

    /// Whether a shutdown was requested.
    pub fn is_stopping(&self) -> bool {
        match self.phase {
            Phase::NotBooted | Phase::Running => false,
            Phase::Closing { .. } | Phase::Stopping { .. } | Phase::Ended => true,
        }
    }

    /// The instances that have failed for good, the first one first: when all have ended by themselves,
    /// its code is procrun's.
    pub fn failures(&self) -> Vec<InstanceView<'_>> {
        let mut failed: Vec<_> =
            self.instances.values().filter_map(|it| Some((it.history.failure?, it.id))).collect();
        failed.sort_unstable();
        failed.into_iter().filter_map(|(_, id)| self.instance(id)).collect()
    }

    fn view_of<'a>(&self, instance: &'a Instance, siblings: u32) -> InstanceView<'a> {
        InstanceView {
            id: instance.id,
            pm_id: instance.pm_id,
            generation: instance.generation,
            number: instance.number,
            siblings,
            spec: &instance.spec,
            kind: instance.kind,
            status: instance.status(),
            readiness: instance.gate.shown,
            ready: instance.is_ready() && !self.is_stopping(),
            healthy: instance.spec.health.liveness.is_some().then(|| instance.is_healthy()),
            last_failure: instance.last_failure(),
            status_text: instance.status_text(),
            restarts: instance.history.record.restarts,
            unstable_runs: instance.history.unstable_runs,
            created_at: instance.history.record.created_at,
            started_at: instance.started_at(),
            failed: instance.history.failure.is_some(),
            completed: instance.spec.order.oneshot.then(|| instance.is_complete()),
            has_errored: instance.history.has_errored,
            past_runs: &instance.history.record.past_runs,
        }
    }
}
