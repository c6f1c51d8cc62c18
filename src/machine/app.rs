//! One application as a whole: what the file says of it, and how many instances it has.
//!
//! How an instance is replaced while it serves is in `reload`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Time,
    event::{Effect, InstanceId},
    instance::{Instance, Stop, Then, Verdict},
    notice::{Notice, StopCause, Why},
    reload::{Goal, Job},
    root::Machine,
};
use crate::spec::{AppSpec, Instances, Plan, diff::same_but_instances};

impl Machine {
    /// The applications are to be those of the new plan.
    pub(super) fn apply(&mut self, now: Time, plan: Plan, cpus: u32, out: &mut Vec<Effect>) {
        let old = std::mem::replace(&mut self.plan, plan);
        let of = |plan: &Plan, name: &str| plan.apps.iter().find(|app| app.name == name).cloned();
        for gone in old.apps.iter().filter(|app| of(&self.plan, &app.name).is_none()).collect::<Vec<_>>() {
            self.remove_app(now, &gone.name, out);
        }
        for file in self.plan.apps.clone() {
            match of(&old, &file.name) {
                None => {
                    let count = file.instances.resolve(cpus);
                    self.converge(now, count, &file, true, out);
                }
                Some(was) => self.reads(now, &was, file, cpus, out),
            }
        }
    }

    /// An application reads like this in the file now.
    fn reads(&mut self, now: Time, was: &Arc<AppSpec>, file: Arc<AppSpec>, cpus: u32, out: &mut Vec<Effect>) {
        let name = file.name.clone();
        // Until that is so.
        self.set_plan(was.clone());
        if self.reloads.is_active(&name) {
            let (reached, queued) = self.reloads.goals(&name);
            let reached = reached.unwrap_or_else(|| was.clone());
            if *queued.as_ref().unwrap_or(&reached) != file {
                self.unqueue(&name, |job| matches!(job, Job::Read { .. }));
                if reached != file {
                    self.queue(&name, Job::Read { file, cpus }, out);
                }
            } else if *was != file {
                out.push(Effect::Say(Notice::UnderWay { app: name }));
            }
            return;
        }
        self.becomes(now, file, cpus, out);
    }

    /// Lets an application that is not being reloaded be what the file says.
    pub(super) fn becomes(&mut self, now: Time, file: Arc<AppSpec>, cpus: u32, out: &mut Vec<Effect>) {
        let name = file.name.clone();
        let Some(was) = self.planned(&name) else { return };
        if was.instances != file.instances {
            // The file says another number: that is the last word.
            self.scaled.remove(&name);
        }
        let (spec, count) = self.as_scaled(&file, cpus);
        let staying = self.staying(&name);
        let is_same = staying.iter().all(|id| same_but_instances(&self.instances[id].spec, &spec));
        if is_same {
            let is_new = was != file;
            self.set_plan(file);
            if is_new {
                self.converge(now, count, &spec, false, out);
            }
        } else if spec.can_overlap() && self.can_roll(&staying) {
            let kept = staying.iter().take(count as usize).map(|id| &self.instances[id]);
            let wanted = kept.filter(|instance| instance.is_alive() || spec.autostart);
            let numbers: Vec<u32> = wanted.map(|instance| instance.number).collect();
            self.reload(now, Goal { file, spec, count: Some(count) }, numbers, Vec::new(), out);
        } else {
            self.set_plan(file);
            self.converge(now, count, &spec, true, out);
        }
    }

    /// Makes the instances of one application so many of this spec. Those with the lowest numbers
    /// stay; with `restart` they run anew.
    pub(super) fn converge(
        &mut self,
        now: Time,
        count: u32,
        spec: &Arc<AppSpec>,
        restart: bool,
        out: &mut Vec<Effect>,
    ) {
        for id in self.staying(&spec.name).iter().take(count as usize) {
            self.with_instance(*id, now, out, |instance, step| {
                let again = restart && (instance.is_alive() || spec.autostart);
                let stop = stop(instance, StopCause::Changed, Then::Restart);
                if !instance.is_alive() {
                    // What it waits for now counts.
                    instance.spec = spec.clone();
                }
                let verdict = if again { instance.stop(step, stop) } else { Verdict::Nothing };
                instance.spec = spec.clone();
                verdict
            });
        }
        self.resize(now, count, spec, out);
    }

    /// Adds or removes instances until there are so many. Those with the lowest numbers stay as
    /// they are; new ones are of this spec.
    pub(super) fn resize(&mut self, now: Time, count: u32, spec: &Arc<AppSpec>, out: &mut Vec<Effect>) {
        let staying = self.staying(&spec.name);
        for id in staying.iter().skip(count as usize) {
            self.end(now, *id, StopCause::Removed, Then::Remove, out);
        }
        let kept = &staying[..staying.len().min(count as usize)];
        let mut numbers: BTreeSet<u32> = kept.iter().map(|id| self.instances[id].number).collect();
        for number in 0.. {
            if numbers.len() >= count as usize {
                break;
            }
            if numbers.insert(number) {
                self.fill(now, number, spec, out);
            }
        }
    }

    /// Gives a place that nobody stays in to a new instance, or back to the one that leaves it.
    fn fill(&mut self, now: Time, number: u32, spec: &Arc<AppSpec>, out: &mut Vec<Effect>) {
        if let Some(leaving) = self.settled(&spec.name, number) {
            // What it has begun to finish it may finish.
            self.with_instance(leaving, now, out, |instance, step| {
                instance.spec = spec.clone();
                instance.revive(step);
                Verdict::Nothing
            });
            return;
        }
        let id = self.add(number, spec.clone(), now);
        self.with_instance(id, now, out, |instance, step| {
            if instance.spec.autostart {
                instance.start(step);
            }
            Verdict::Nothing
        });
    }

    /// An application is no longer in the file.
    fn remove_app(&mut self, now: Time, name: &str, out: &mut Vec<Effect>) {
        self.unqueue(name, |_| true);
        self.give_up(now, name, Why::Removed, StopCause::GivenUp, out);
        self.scaled.remove(name);
        for id in self.staying(name) {
            self.end(now, id, StopCause::Removed, Then::Remove, out);
        }
    }

    /// Asks one instance to end.
    pub(super) fn end(
        &mut self,
        now: Time,
        id: InstanceId,
        cause: StopCause,
        then: Then,
        out: &mut Vec<Effect>,
    ) {
        self.with_instance(id, now, out, |instance, step| {
            let stop = stop(instance, cause, then);
            instance.stop(step, stop)
        });
    }

    /// An application as the file says it, with as many instances as it was scaled to.
    pub(super) fn as_scaled(&self, file: &Arc<AppSpec>, cpus: u32) -> (Arc<AppSpec>, u32) {
        match self.scaled.get(&file.name) {
            None => (file.clone(), file.instances.resolve(cpus)),
            Some(&count) => {
                let spec = AppSpec { instances: Instances::Count(count), ..AppSpec::clone(file) };
                (Arc::new(spec), count)
            }
        }
    }

    /// What the plan says of an application.
    pub(super) fn planned(&self, name: &str) -> Option<Arc<AppSpec>> {
        self.plan.apps.iter().find(|app| app.name == name).cloned()
    }

    /// The plan says this of an application that it knows.
    pub(super) fn set_plan(&mut self, file: Arc<AppSpec>) {
        if let Some(app) = self.plan.apps.iter_mut().find(|app| app.name == file.name) {
            *app = file;
        }
    }

    /// The instances of an application that are to stay in the list, by number.
    pub(super) fn staying(&self, name: &str) -> Vec<InstanceId> {
        let of_app = |instance: &&Instance| instance.is_staying() && instance.spec.name == name;
        let mut staying: Vec<&Instance> = self.instances.values().filter(of_app).collect();
        staying.sort_unstable_by_key(|instance| instance.number);
        staying.into_iter().map(|instance| instance.id).collect()
    }

    /// The instance that has a place in the list, also when it is about to leave it.
    pub(super) fn settled(&self, name: &str, number: u32) -> Option<InstanceId> {
        let is_it = |instance: &&Instance| {
            instance.is_settled() && instance.number == number && instance.spec.name == name
        };
        self.instances.values().find(is_it).map(|instance| instance.id)
    }

    /// Whether there is something that serves and must not stop before its successor does.
    pub(super) fn can_roll(&self, staying: &[InstanceId]) -> bool {
        let instances = || staying.iter().map(|id| &self.instances[id]);
        instances().all(|instance| instance.spec.can_overlap()) && instances().any(Instance::is_online)
    }
}

fn stop(instance: &Instance, cause: StopCause, then: Then) -> Stop {
    Stop { signal: instance.spec.stop_signal(), cause, then }
}
