//! The state of the machine for the supervisor.

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

/// The state of one instance.
#[derive(Debug, Clone)]
pub struct InstanceView<'a> {
    /// The instance's id.
    pub id: InstanceId,
    /// PM2's `pm_id`; during a reload two instances have the same.
    pub pm_id: u32,
    /// The instance's part in a reload.
    pub generation: Generation,
    /// The instance's number in its application, from 0.
    pub number: u32,
    /// The number of instances of its application, without successors and predecessors of a reload.
    pub siblings: u32,
    /// The instance's spec.
    pub spec: &'a Arc<AppSpec>,
    /// The kind of its last program; `None`: it has executed none yet.
    pub kind: Option<ProgramKind>,
    /// The instance's status.
    pub status: Status,
    /// What its present run has shown of its readiness.
    pub readiness: Readiness,
    /// Whether it can serve, as far as its probes and reports show.
    pub ready: bool,
    /// Whether it passes `[apps.health]`; `None` without that probe.
    pub healthy: Option<bool>,
    /// The instance's last failure to listen or to pass a probe, if it has not succeeded since.
    pub last_failure: Option<String>,
    /// The instance's own status text (`STATUS=`).
    pub status_text: Option<&'a str>,
    /// Restarts since it was reset (PM2's `restart_time`).
    pub restarts: u32,
    /// Unstable runs in a row (PM2's `unstable_restarts`).
    pub unstable_runs: u32,
    /// When it was added to the list or was reset; a successor in a reload takes it over.
    pub created_at: Time,
    /// When its process was started, if it has one.
    pub started_at: Option<Time>,
    /// Whether it has failed for good.
    pub failed: bool,
    /// Whether its task has completed; `None`: it is no task (`oneshot`).
    pub completed: Option<bool>,
    /// Whether it has become errored, also if it was stopped since.
    pub has_errored: bool,
    /// The instance's last runs, the oldest first.
    pub past_runs: &'a [PastRun],
}

impl InstanceView<'_> {
    /// The subject of its events.
    pub fn subject(&self) -> Subject {
        Subject { id: self.id, pm_id: self.pm_id, generation: self.generation, spec: self.spec.clone() }
    }
}

impl Machine {
    /// The current plan. An application that is being reloaded has its old spec in it, and the number of instances is
    /// that of the file, not of a `scale`.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan after every reload and queued job has completed. A change of the plan must begin with this one, or it
    /// would revert those.
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

    /// Whether an instance can serve; `None`: it does not report its readiness by more than its existence.
    pub fn known_readiness(&self, view: &InstanceView<'_>) -> Option<bool> {
        let health = &view.spec.health;
        let can_tell = health.gate().is_some() || health.notify;
        // An instance of unknown readiness is not ready either during a shutdown.
        (can_tell || view.last_failure.is_some() || self.is_stopping()).then_some(view.ready)
    }

    /// Whether a change of files restarts an application: it has `watch`, and an instance that runs or has ended by
    /// itself. Instances that a command has stopped do not count.
    pub fn is_watching(&self, app: &AppSpec) -> bool {
        app.watch.is_some() && !self.restartable(&app.name).is_empty()
    }

    /// Whether a command has scaled an application.
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

    /// Whether an exit of this run would be a failure of which it has not reported the reason.
    pub fn is_unexplained(&self, run: Run) -> bool {
        let instance = self.instances.get(&run.instance);
        instance.is_some_and(|instance| instance.run() == Some(run) && instance.is_unexplained())
    }

    /// The spec of an instance.
    pub fn spec(&self, id: InstanceId) -> Option<&AppSpec> {
        self.instances.get(&id).map(|instance| &*instance.spec)
    }

    /// Whether an application has a process, or starts one by itself.
    pub fn is_app_alive(&self, name: &str) -> bool {
        self.instances.values().any(|instance| instance.spec.name == name && instance.is_alive())
    }

    /// Whether an instance with such a spec has a process, or starts one by itself.
    pub fn is_any_alive(&self, has_spec: impl Fn(&AppSpec) -> bool) -> bool {
        self.instances.values().any(|instance| instance.is_alive() && has_spec(&instance.spec))
    }

    /// The dependencies that an instance waits for, such as `db (ready)`; empty if it does not wait.
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
