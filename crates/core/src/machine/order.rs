//! The order of starts: an instance starts as soon as its dependencies are satisfied.
//!
//! After each step the waiting instances are checked, and only those. A dependency that is not satisfied either
//! progresses by itself or is an obstacle, which is reported. So no instance waits silently for something that cannot
//! happen.

use super::{
    effect::Effect,
    ids::InstanceId,
    instance::{Instance, Obstacle, StartDependencies, StepOutcome},
    root::{Machine, Phase},
    time::Time,
};
use crate::spec::{Dependency, OnErrored};

/// The state of a dependency.
enum DependencyState {
    /// The dependency's condition is met.
    Satisfied,
    /// The dependency's condition may be met by itself.
    Pending,
    /// The dependency's condition is not met without an action from outside.
    Blocked(Obstacle),
}

impl Machine {
    /// Starts the waiting instances whose dependencies are satisfied.
    pub(super) fn start_satisfied(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return;
        }
        let mut has_changed = !self.waiting_instances.is_empty();
        while std::mem::take(&mut has_changed) {
            for id in self.waiting_instances.clone() {
                if self.phase != Phase::Running {
                    return;
                }
                let Some(wait) = self.instances.get(&id).and_then(Instance::dependency_wait) else {
                    self.waiting_instances.remove(&id);
                    continue;
                };
                let starts = wait.starts;
                if starts != StartDependencies::Started {
                    self.start_dependencies(now, id, starts, out);
                    has_changed = true;
                }
                has_changed |= self.check_dependencies(now, id, out);
            }
        }
    }

    /// Starts the dependencies of an instance.
    fn start_dependencies(
        &mut self,
        now: Time,
        id: InstanceId,
        starts: StartDependencies,
        out: &mut Vec<Effect>,
    ) {
        let depends_on = self.instances[&id].spec.order.depends_on.clone();
        self.with_instance(id, now, out, |instance, _| {
            instance.dependencies_started();
            StepOutcome::Nothing
        });
        for Dependency { app, condition } in depends_on {
            for other in self.staying(&app) {
                if !self.instances[&other].satisfies(condition) {
                    self.with_instance(other, now, out, |instance, step| {
                        instance.start_as_dependency(step, starts);
                        StepOutcome::Nothing
                    });
                }
            }
        }
    }

    /// Checks the dependencies of a waiting instance. True: others that wait must be checked again.
    fn check_dependencies(&mut self, now: Time, id: InstanceId, out: &mut Vec<Effect>) -> bool {
        let spec = self.instances[&id].spec.clone();
        let mut is_pending = false;
        let mut obstacle = None;
        for dependency in &spec.order.depends_on {
            match self.dependency_state(dependency) {
                DependencyState::Satisfied => {}
                DependencyState::Pending => is_pending = true,
                DependencyState::Blocked(blocked) => {
                    obstacle.get_or_insert(blocked);
                }
            }
        }
        let was_blocked = self.instances[&id].obstacle().is_some();
        if let Some(obstacle) = obstacle {
            let is_failure = obstacle.is_failure;
            self.with_instance(id, now, out, |instance, step| {
                instance.block(step, obstacle);
                StepOutcome::Nothing
            });
            if !was_blocked
                && is_failure
                && let Some(instance) = self.instances.get_mut(&id)
            {
                // A blocked instance has failed, because it never did its work.
                self.failure_count += 1;
                instance.history.failure.get_or_insert((self.failure_count, 1));
                if instance.spec.restart.on_errored == OnErrored::Exit {
                    let code = self.first_failure();
                    self.shut_down_because_of(now, id, code, out);
                }
            }
            return !was_blocked;
        }
        if is_pending {
            let dependencies = self.awaited(id).join(", ");
            self.with_instance(id, now, out, |instance, step| {
                instance.report_wait(step, || dependencies);
                StepOutcome::Nothing
            });
            return was_blocked;
        }
        self.with_instance(id, now, out, |instance, step| {
            instance.dependencies_satisfied(step);
            StepOutcome::Nothing
        });
        true
    }

    fn dependency_state(&self, Dependency { app, condition }: &Dependency) -> DependencyState {
        let instances = self.staying(app);
        if instances.is_empty() {
            let message = format!("there is no {app}");
            return DependencyState::Blocked(Obstacle { message, is_failure: false });
        }
        let mut dependency_state = DependencyState::Satisfied;
        for id in instances {
            let instance = &self.instances[&id];
            if instance.satisfies(*condition) {
                continue;
            }
            if !instance.is_alive() {
                return DependencyState::Blocked(instance.as_obstacle());
            }
            dependency_state = DependencyState::Pending;
        }
        dependency_state
    }

    /// The dependencies that an instance waits for: `db (ready)`; empty if it does not wait.
    pub(super) fn awaited(&self, id: InstanceId) -> Vec<String> {
        let Some(instance) = self.instances.get(&id).filter(|instance| instance.dependency_wait().is_some())
        else {
            return Vec::new();
        };
        let open = |dependency: &&Dependency| {
            !matches!(self.dependency_state(dependency), DependencyState::Satisfied)
        };
        instance.spec.order.depends_on.iter().filter(open).map(ToString::to_string).collect()
    }
}
