//! The order of starts: who waits for others starts as soon as they are what it depends on.
//!
//! After each step it is looked at all that wait, and only at those. What is waited for either leads to
//! something by itself or is an obstacle, which is said; so nobody waits for what never comes without
//! anybody knowing it.

use super::{
    effect::Effect,
    ids::InstanceId,
    instance::{Instance, Obstacle, StartDependencies, StepOutcome},
    root::{Machine, Phase},
    time::Time,
};
use crate::spec::{Dependency, OnErrored};

/// How a dependency stands.
enum DependencyState {
    /// It is what is waited for.
    Holds,
    /// It may become that by itself.
    Comes,
    /// It does not.
    Fails(Obstacle),
}

impl Machine {
    /// Starts all that wait and whose turn has come.
    pub(super) fn turns(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return;
        }
        let mut is_news = !self.waiting.is_empty();
        while std::mem::take(&mut is_news) {
            for id in self.waiting.clone() {
                if self.phase != Phase::Running {
                    return;
                }
                let Some(turn) = self.instances.get(&id).and_then(Instance::turn) else {
                    self.waiting.remove(&id);
                    continue;
                };
                let wakes = turn.wakes;
                if wakes != StartDependencies::Started {
                    self.wake(now, id, wakes, out);
                    is_news = true;
                }
                is_news |= self.look_at_turn(now, id, out);
            }
        }
    }

    /// Starts whom this one depends on.
    fn wake(&mut self, now: Time, id: InstanceId, wakes: StartDependencies, out: &mut Vec<Effect>) {
        let depends_on = self.instances[&id].spec.order.depends_on.clone();
        self.with_instance(id, now, out, |instance, _| {
            instance.has_woken();
            StepOutcome::Nothing
        });
        for Dependency { app, condition } in depends_on {
            for other in self.staying(&app) {
                if !self.instances[&other].fulfils(condition) {
                    self.with_instance(other, now, out, |instance, step| {
                        instance.wake(step, wakes);
                        StepOutcome::Nothing
                    });
                }
            }
        }
    }

    /// Whether that changes anything for others.
    fn look_at_turn(&mut self, now: Time, id: InstanceId, out: &mut Vec<Effect>) -> bool {
        let spec = self.instances[&id].spec.clone();
        let mut comes = false;
        let mut obstacle = None;
        for dependency in &spec.order.depends_on {
            match self.standing(dependency) {
                DependencyState::Holds => {}
                DependencyState::Comes => comes = true,
                DependencyState::Fails(what) => {
                    obstacle.get_or_insert(what);
                }
            }
        }
        let was_blocked = self.instances[&id].obstacle().is_some();
        if let Some(obstacle) = obstacle {
            let is_failure = obstacle.is_failure;
            self.with_instance(id, now, out, |instance, step| {
                instance.is_in_the_way(step, obstacle);
                StepOutcome::Nothing
            });
            if !was_blocked
                && is_failure
                && let Some(instance) = self.instances.get_mut(&id)
            {
                // Who ends before its turn has come has not done what it is there for.
                self.failures += 1;
                instance.history.failure.get_or_insert((self.failures, 1));
                if instance.spec.restart.on_errored == OnErrored::Exit {
                    let code = self.first_failure();
                    self.end_because_of(now, id, code, out);
                }
            }
            return !was_blocked;
        }
        if comes {
            let what = self.awaited(id).join(", ");
            self.with_instance(id, now, out, |instance, step| {
                instance.waits_for(step, || what);
                StepOutcome::Nothing
            });
            return was_blocked;
        }
        self.with_instance(id, now, out, |instance, step| {
            instance.turn_has_come(step);
            StepOutcome::Nothing
        });
        true
    }

    fn standing(&self, Dependency { app, condition }: &Dependency) -> DependencyState {
        let instances = self.staying(app);
        if instances.is_empty() {
            let what = format!("there is no {app}");
            return DependencyState::Fails(Obstacle { what, is_failure: false });
        }
        let mut standing = DependencyState::Holds;
        for id in instances {
            let instance = &self.instances[&id];
            if instance.fulfils(*condition) {
                continue;
            }
            if !instance.is_alive() {
                return DependencyState::Fails(instance.as_obstacle());
            }
            standing = DependencyState::Comes;
        }
        standing
    }

    /// What an instance still waits for: `db (ready)`; nothing if it does not wait.
    pub(super) fn awaited(&self, id: InstanceId) -> Vec<String> {
        let Some(instance) = self.instances.get(&id).filter(|instance| instance.turn().is_some()) else {
            return Vec::new();
        };
        let open = |dependency: &&Dependency| !matches!(self.standing(dependency), DependencyState::Holds);
        instance.spec.order.depends_on.iter().filter(open).map(ToString::to_string).collect()
    }
}
