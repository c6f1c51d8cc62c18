//! The forecast of a change of the plan.
//!
//! It calls the same functions of `app` that decide when the change is carried out.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    app::Decision,
    instance::Instance,
    job::ResolvedUpdate,
    operation::{AppUpdate, InitialState, RestartScope},
    root::Machine,
};
use crate::spec::{AppSpec, Plan};

/// What happens to one application. Instances are given by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The application's spec in the current plan; `None`: it is new.
    pub old: Option<Arc<AppSpec>>,
    /// The application's new spec; `None`: it is removed.
    pub new: Option<Arc<AppSpec>>,
    /// Instances whose processes are replaced.
    pub replaced: BTreeSet<u32>,
    /// Whether each of those serves until its successor is ready.
    pub rolling: bool,
    /// Instances without a process that start.
    pub started: BTreeSet<u32>,
    /// Instances that stop and leave the list.
    pub removed: BTreeSet<u32>,
    /// Tasks that run to their end, and then once more.
    pub rerun_later: BTreeSet<u32>,
    /// Whether the change waits for the end of a reload.
    pub waits: bool,
}

impl Forecast {
    fn new(old: Option<Arc<AppSpec>>, new: Option<Arc<AppSpec>>) -> Self {
        Self {
            old,
            new,
            replaced: BTreeSet::new(),
            rolling: false,
            started: BTreeSet::new(),
            removed: BTreeSet::new(),
            rerun_later: BTreeSet::new(),
            waits: false,
        }
    }

    /// Whether it affects no process.
    pub fn touches_nothing(&self) -> bool {
        self.replaced.is_empty()
            && self.started.is_empty()
            && self.removed.is_empty()
            && self.rerun_later.is_empty()
            && !self.waits
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.touches_nothing() && self.old == self.new
    }
}

impl Machine {
    /// The forecast of [`Operation::Apply`](super::Operation::Apply) with this plan: removals first, then in the order
    /// of the plan.
    pub fn forecast(&self, plan: &Plan, cpus: u32) -> Vec<Forecast> {
        let is_gone = |app: &&Arc<AppSpec>| plan.apps.iter().all(|other| other.name != app.name);
        let gone = self.plan.apps.iter().filter(is_gone).map(|app| {
            let removed = self.numbers(&self.staying(&app.name));
            Forecast { removed, ..Forecast::new(Some(app.clone()), None) }
        });
        let others = plan.apps.iter().map(|app| match self.planned(&app.name) {
            None => self.forecast_addition(app, app.instances.resolve(cpus), false),
            Some(was) => self.forecast_update(&was, &ResolvedUpdate::from_file(app.clone(), cpus)),
        });
        gone.chain(others).collect()
    }

    /// The forecast of [`Operation::UpdateApps`](super::Operation::UpdateApps).
    pub fn forecast_change(&self, update: &[AppUpdate], cpus: u32, scope: RestartScope) -> Vec<Forecast> {
        let of_update = |update: &AppUpdate| match self.planned(&update.app.name) {
            None => {
                let count = match update.initial_state {
                    InitialState::ScaledToZero => 0,
                    InitialState::Started | InitialState::Stopped => update.app.instances.resolve(cpus),
                };
                self.forecast_addition(&update.app, count, update.initial_state == InitialState::Stopped)
            }
            Some(was) => {
                self.forecast_update(&was, &self.resolve_update(update.clone(), cpus, scope, Vec::new()))
            }
        };
        update.iter().map(of_update).collect()
    }

    fn forecast_addition(&self, new: &Arc<AppSpec>, count: u32, is_stopped: bool) -> Forecast {
        let mut forecast = Forecast::new(None, Some(new.clone()));
        let staying = self.staying(&new.name);
        for instance in staying.iter().take(count as usize).map(|id| &self.instances[id]) {
            forecast.add_restart(instance);
        }
        self.forecast_count(&mut forecast, new, count, is_stopped);
        forecast
    }

    fn forecast_update(&self, was: &Arc<AppSpec>, update: &ResolvedUpdate) -> Forecast {
        let new = update.file.clone();
        let mut forecast = Forecast::new(Some(was.clone()), Some(new.clone()));
        if self.reloads.is_active(&new.name) {
            let (reached, queued) = self.reloads.goals(&new.name);
            let next = queued.or(reached).unwrap_or_else(|| was.clone());
            forecast.waits = next != new || update.has_requests();
            return forecast;
        }
        let Decision { spec, count, restarting, reruns, one_by_one, can_roll, .. } = self.decide(was, update);
        for id in self.staying(&new.name).iter().take(count as usize) {
            let instance = &self.instances[id];
            let is_started = update.scope == RestartScope::Changed
                && update.selected.contains(&instance.number)
                && !instance.is_alive();
            if restarting.contains(&instance.number) || is_started {
                forecast.add_restart(instance);
            }
        }
        forecast.rolling = one_by_one && can_roll;
        forecast.rerun_later = reruns.iter().map(|id| self.instances[id].number).collect();
        let is_resized = one_by_one || *was != new || update.sets_count || !restarting.is_empty();
        if is_resized {
            self.forecast_count(&mut forecast, &spec, count, false);
        }
        forecast
    }

    /// Adds the surplus and the missing instances.
    fn forecast_count(&self, forecast: &mut Forecast, spec: &Arc<AppSpec>, count: u32, is_stopped: bool) {
        let staying = self.staying(&spec.name);
        let (kept, surplus) = staying.split_at(staying.len().min(count as usize));
        forecast.removed = self.numbers(surplus);
        for number in self.missing(kept, count) {
            let is_being_removed = self.current(&spec.name, number).is_some_and(|id| !surplus.contains(&id));
            if is_being_removed || spec.autostart && !is_stopped {
                forecast.started.insert(number);
            }
        }
    }
}

impl Forecast {
    fn add_restart(&mut self, instance: &Instance) {
        let numbers = if instance.run().is_some() { &mut self.replaced } else { &mut self.started };
        numbers.insert(instance.number);
    }
}
