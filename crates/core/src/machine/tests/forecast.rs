//! A change of the plan does what its forecast predicts.

use proptest::prelude::*;

use super::{random::random_plan, *};
use crate::machine::{AppUpdate, Forecast, RestartScope};

/// The instances of each application by number: those that start, and those that leave the list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Touched {
    begun: BTreeSet<(String, u32)>,
    gone: BTreeSet<(String, u32)>,
}

impl Touched {
    fn forecast(forecasts: &[Forecast]) -> Self {
        let mut touched = Self::default();
        for forecast in forecasts {
            let app = forecast.new.as_ref().or(forecast.old.as_ref()).expect("an application");
            let of_app = |numbers: &BTreeSet<u32>| -> Vec<_> {
                numbers.iter().map(|number| (app.name.clone(), *number)).collect()
            };
            for begun in [&forecast.replaced, &forecast.started, &forecast.rerun_later] {
                touched.begun.extend(of_app(begun));
            }
            touched.gone.extend(of_app(&forecast.removed));
        }
        touched
    }
}

impl World {
    fn places(&self) -> BTreeSet<(String, u32)> {
        self.machine.instances().map(|view| (view.spec.name.clone(), view.number)).collect()
    }

    /// Lets every process do what is requested: a stopping one ends, a starting one becomes ready, and a task
    /// completes. Returns the slots in which a run has started.
    fn complete_all(&mut self) -> BTreeSet<(String, u32)> {
        let (mut begun, mut seen) = (BTreeSet::new(), self.spawned.len());
        for _ in 0..80 {
            for run in self.alive.clone() {
                let Some(view) = self.machine.instance(run.instance) else { continue };
                let (status, is_task) = (view.status, view.spec.order.oneshot);
                if status == Status::Stopping || is_task {
                    self.exit(run, OK, false);
                } else {
                    for source in
                        [ReadinessSource::Listening, ReadinessSource::Message, ReadinessSource::Probe]
                    {
                        self.feed(Input::Ready(run, source));
                    }
                    self.feed(Input::Drained(run));
                }
            }
            for (_, run) in &self.spawned[seen..] {
                if let Some(view) = self.machine.instance(run.instance) {
                    begun.insert((view.spec.name.clone(), view.number));
                }
            }
            seen = self.spawned.len();
            self.pass(MS(50));
        }
        begun
    }
}

/// A number of instances for the application, or none.
fn updates_of(world: &World, plan: &Plan, is_selected: bool) -> Vec<AppUpdate> {
    let of = |app: &Arc<AppSpec>| {
        let all = world.machine.instances().filter(|view| view.spec.name == app.name);
        AppUpdate {
            app: app.clone(),
            selected: all.map(|view| view.id).filter(|_| is_selected).collect(),
            sets_count: false,
            reruns_tasks: true,
            initial_state: crate::machine::InitialState::Started,
        }
    };
    plan.apps.iter().map(of).collect()
}

/// Without probes, which would end runs, and without an end of the container.
fn without_probes(mut plan: Plan) -> Plan {
    for app in &mut plan.apps {
        let app = Arc::make_mut(app);
        app.health = HealthSpec::default();
        app.schedule = None;
        app.restart.on_errored = OnErrored::Continue;
        app.restart.ends_on_success = false;
        app.order.depends_on.clear();
    }
    plan.runtime.auto_exit = false;
    plan
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_applied_as_forecast(
        first in prop::collection::vec((0u8..4, 1u32..4, any::<bool>()), 1..4),
        second in prop::collection::vec((0u8..4, 1u32..4, any::<bool>()), 1..4),
        stopped in prop::collection::vec(0u32..6, 0..3),
        is_stopped: bool,
        how in 0u8..8,
    ) {
        let mut world = World::new(without_probes(random_plan(&first)));
        if is_stopped {
            world.complete_all();
        }
        let ids: Vec<InstanceId> = stopped.into_iter().map(InstanceId).filter(|id| world.exists(id.0)).collect();
        if !ids.is_empty() {
            world.request(Operation::Act(Action::Stop, ids));
            world.complete_all();
        }
        let plan = without_probes(random_plan(&second));
        let before = world.places();
        let (operation, forecasts) = if how < 4 {
            (Operation::Apply { plan: plan.clone(), cpus: 2 }, world.machine.forecast(&plan, 2))
        } else {
            let scope = [RestartScope::Changed, RestartScope::Reload, RestartScope::Restart][usize::from(how % 3)];
            let apps = updates_of(&world, &plan, how % 2 == 0);
            let forecasts = world.machine.forecast_change(&apps, 2, scope);
            (Operation::UpdateApps { apps, cpus: 2, scope }, forecasts)
        };
        let forecast = Touched::forecast(&forecasts);
        let begin = world.spawned.len();
        let ticket = world.request(operation);
        let at_once: Vec<Run> = world.spawned[begin..].iter().map(|(_, run)| *run).collect();
        let mut begun: BTreeSet<_> = at_once
            .iter()
            .filter_map(|run| world.machine.instance(run.instance))
            .map(|view| (view.spec.name.clone(), view.number))
            .collect();
        begun.extend(world.complete_all());
        let after = world.places();
        let gone = before.difference(&after).cloned().collect();
        prop_assert_eq!(&forecast, &Touched { begun, gone }, "{:#?}", forecasts);
        prop_assert!(world.is_done(ticket), "{:?}", world.answer(ticket));
        let again = world.machine.forecast(&world.machine.plan().clone(), 2);
        prop_assert!(again.iter().all(Forecast::is_empty), "{:#?}", again);
    }
}
