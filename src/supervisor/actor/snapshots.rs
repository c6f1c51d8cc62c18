//! The supervisor and its instances as clients get them, computed at each request.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    super::{
        clock::now,
        environment::{lookup_context, variable},
        job_queues::{Job, Purpose},
        launch, log_files, process_trees,
        usage::UsageReport,
        wall_clock::{ClockReading, millis},
    },
    Supervisor,
};
use crate::{
    config::{Source, UNANSWERED_HINT},
    control::{
        Answer, ClientId, RequestError,
        metrics::{InstanceFigures, Metrics},
        snapshot::{ExitInfo, InstanceDetails, InstanceSummary, Overview, Status, SupervisorSummary, masked},
    },
    machine::{Ending, Generation, InstanceId, InstanceView, PastRun},
    node::NodeSample,
    program,
    spec::{AppSpec, EnvSpec, ExecMode, Interpreter, PrincipalRef, ProgramKind},
};

/// How long a client waits until the programs of the apps have been looked up.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The supervisor, and with figures all instances in brief.
pub(super) fn overview(of: &Supervisor<'_>, report: Option<&UsageReport>) -> Overview {
    let clock = of.wall_clock.at(of.now());
    let supervisor = SupervisorSummary {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: Some(of.source.name().to_owned()),
        started_at: clock.began,
        stopping: of.machine.is_stopping(),
        failing: of.failing(),
        instances: settled(of).count(),
        cpu: report.and_then(|report| report.own.cpu).map(f64::from),
        memory: report.map(|report| report.own.rss),
    };
    let instances = match report {
        Some(report) => settled(of).map(|view| brief(of, &view, report, &clock)).collect(),
        None => Vec::new(),
    };
    Overview { supervisor, instances, surroundings: None }
}

/// The figures for metrics.
pub(super) fn metrics(of: &Supervisor<'_>, report: &UsageReport) -> Metrics {
    let Overview { supervisor, instances, .. } = overview(of, Some(report));
    let figures = settled(of).zip(instances).map(|(view, brief)| {
        let usage = of.workers.run_with_processes(view.id).and_then(|run| report.workers.get(&run));
        InstanceFigures {
            brief,
            unstable: view.unstable_runs.into(),
            cpu_time: usage.and_then(|usage| usage.cpu_time).map(millis),
            processes: usage.map(|usage| usage.processes),
            threads: usage.map(|usage| usage.threads),
        }
    });
    Metrics {
        instances: figures.collect(),
        status: of.machine.status_report(supervisor.failing.clone(), None),
        supervisor,
        tallies: of.clients.tallies(),
        log_lines: of.workers.logs().lines(),
        log_bytes: of.workers.logs().written(),
    }
}

/// All details of some instances, or of all. `programs` are the results of [`look_up_programs`].
pub(super) fn details(
    of: &Supervisor<'_>,
    report: &UsageReport,
    ids: Option<&[InstanceId]>,
    programs: &Programs,
) -> Vec<InstanceDetails> {
    let clock = of.wall_clock.at(of.now());
    let with_tree = |view: &InstanceView<'_>| match ids {
        Some(_) => process_trees::of_instance(&of.workers, view.id),
        None => Vec::new(),
    };
    let of_view = |view: InstanceView<'_>| {
        let program = ShownProgram::of(of, &view, programs);
        InstanceDetails { tree: with_tree(&view), ..detail(of, &view, program, report, &clock) }
    };
    chosen(of, ids).map(of_view).collect()
}

/// These instances of the process list, or all.
fn chosen<'a>(
    of: &'a Supervisor<'_>,
    ids: Option<&'a [InstanceId]>,
) -> impl Iterator<Item = InstanceView<'a>> {
    settled(of).filter(move |view| ids.is_none_or(|ids| ids.contains(&view.id)))
}

/// The variables of an instance by name. `None`: the answer comes later, because some are read from files.
pub(super) fn environment(of: &mut Supervisor<'_>, client: ClientId, id: InstanceId) -> Option<Answer> {
    let Some(view) = of.machine.instance(id) else { return Some(Answer::failed("it is gone")) };
    let (helpers, until) = (of.workers.helpers().clone(), now() + LOOKUP_TIMEOUT);
    let (look_up, (sender, mut found)) = (of.workers.environment(&view), oneshot::channel());
    // Once it is dropped, the client does not wait any more.
    let waits = Arc::new(());
    let has_waited = Arc::downgrade(&waits);
    let job = Job::new(Purpose::Environment, move || drop(sender.send(look_up())));
    let job = job.for_app(&view.spec.name).unless(move || has_waited.strong_count() == 0);
    if let Err(error) = helpers.submit(job) {
        return Some(Answer::failed(format!("cannot create a thread to read files: {error}")));
    }
    of.clients.answer_later(client, async move {
        let found = helpers.receive(&mut found, until).await;
        drop(waits);
        match found {
            Some(Ok(variables)) => Answer::Environment(
                variables
                    .iter()
                    .map(|(name, value)| {
                        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
                    })
                    .collect(),
            ),
            Some(Err(failure)) => Answer::failed(failure.message),
            None => Answer::Failed(
                RequestError::new("reading the files of its environment timed out").hint(UNANSWERED_HINT),
            ),
        }
    });
    None
}

/// The instances of the process list, one in each slot, in the order of their ids. In a reload the generation that
/// is not current is not in the list.
pub(super) fn settled<'a>(of: &'a Supervisor<'_>) -> impl Iterator<Item = InstanceView<'a>> {
    let is_settled = |view: &InstanceView<'_>| view.generation == Generation::Current;
    let mut settled: Vec<_> = of.machine.instances().filter(is_settled).collect();
    settled.sort_by_key(|view| view.pm_id);
    settled.into_iter()
}

fn brief(
    of: &Supervisor<'_>,
    view: &InstanceView<'_>,
    report: &UsageReport,
    clock: &ClockReading,
) -> InstanceSummary {
    let pid = of.workers.pid(view.id);
    // The run of the sample may have ended since.
    let usage = of.workers.run_with_processes(view.id).and_then(|run| report.workers.get(&run));
    InstanceSummary {
        id: view.pm_id,
        name: view.spec.name.clone(),
        namespace: view.spec.namespace.clone(),
        number: view.number,
        mode: match view.spec.exec_mode {
            ExecMode::Fork => "fork",
            ExecMode::Cluster => "cluster",
        }
        .to_owned(),
        pid,
        status: view.status,
        ready: of.machine.known_readiness(view),
        healthy: view.healthy,
        problem: problem(view),
        started_at: view.started_at.map(|at| clock.wall(at)),
        uptime: view.started_at.map(|at| millis(clock.now.since(at))),
        restarts: view.restarts.into(),
        cpu: usage.and_then(|usage| usage.cpu).map(f64::from),
        memory: usage.map(|usage| usage.rss),
        version: of.workers.version(view.id).map(str::to_owned),
        user: user(view.spec),
        watching: of.machine.is_watching(view.spec),
        last_exit: view.past_runs.last().map(last_exit),
        node: node_sample(of, view),
    }
}

/// What the Node process of an instance has measured lately.
fn node_sample(of: &Supervisor<'_>, view: &InstanceView<'_>) -> Option<Box<NodeSample>> {
    let run = of.workers.run_with_processes(view.id).filter(|_| view.spec.node_metrics)?;
    of.node.sample(run).cloned().map(Box::new)
}

fn user(spec: &AppSpec) -> Option<String> {
    spec.identity.user.as_ref().map(|user| match user {
        PrincipalRef::Id(id) => id.to_string(),
        PrincipalRef::Name(name) => name.clone(),
    })
}

/// An exit in a word or two.
fn last_exit(past: &PastRun) -> String {
    match (&past.reason, &past.ending) {
        (None, Ending::Exited(code)) => format!("exit {code}"),
        (None, Ending::Signaled { signal, .. }) => signal.to_string(),
        (Some(_), _) | (None, Ending::OutOfMemory { .. } | Ending::SpawnFailed(_)) => {
            past.reason().to_owned()
        }
    }
}

/// The problem of an instance, beyond its status.
fn problem(view: &InstanceView<'_>) -> Option<String> {
    let of_last_exit = || {
        let is_down = matches!(view.status, Status::BackingOff | Status::Errored);
        view.past_runs.last().filter(|_| is_down)?.reason.as_ref().map(ToString::to_string)
    };
    view.last_failure.clone().or_else(of_last_exit)
}

/// The programs of instances that have not been started yet, from their files.
pub(super) type Programs = HashMap<InstanceId, ShownProgram>;

/// The program of an application, from its files.
pub(super) struct ShownProgram {
    kind: ProgramKind,
    /// The script as a file, if it is one: PM2's `pm_exec_path`.
    path: String,
}

impl ShownProgram {
    /// The result of its last start, of a look-up, or of the names in the configuration.
    fn of(of: &Supervisor<'_>, view: &InstanceView<'_>, programs: &Programs) -> Self {
        let script = || view.spec.exec.script.clone();
        let of_name = || program::kind_by_name(&view.spec.exec).unwrap_or_default();
        match programs.get(&view.id).filter(|_| !of.workers.has_started(view.id)) {
            Some(Self { kind, path }) => Self { kind: *kind, path: path.clone() },
            None => Self {
                kind: view.kind.unwrap_or_else(of_name),
                path: of
                    .workers
                    .script(view.id)
                    .map_or_else(script, |file| file.to_string_lossy().into_owned()),
            },
        }
    }

    /// The program that a start would find now.
    fn look_up(spec: &AppSpec, source: &Source) -> Self {
        let around = lookup_context(spec, source.environment());
        let found = program::resolve(&spec.exec, spec.exec_mode, &around).ok().map(|command| command.kind);
        let kind = found.or_else(|| program::kind_by_name(&spec.exec)).unwrap_or_default();
        let file = launch::script_file(&spec.exec);
        let path = file.map_or_else(|| spec.exec.script.clone(), |file| file.to_string_lossy().into_owned());
        Self { kind, path }
    }
}

/// Looks up the programs of those that have not been started yet, all at once. `None`: there is nothing to
/// look up, or the last look-up hangs.
pub(super) fn look_up_programs(
    of: &Supervisor<'_>,
    ids: Option<&[InstanceId]>,
) -> Option<oneshot::Receiver<Programs>> {
    let unknown = chosen(of, ids).filter(|view| !of.workers.has_started(view.id));
    let unknown: Vec<_> = unknown.map(|view| (view.id, Arc::clone(view.spec))).collect();
    if unknown.is_empty() {
        return None;
    }
    let source = of.source.clone();
    let look_up =
        move || unknown.into_iter().map(|(id, spec)| (id, ShownProgram::look_up(&spec, &source))).collect();
    of.program_lookup.begin(of.workers.helpers(), look_up)
}

fn detail(
    of: &Supervisor<'_>,
    view: &InstanceView<'_>,
    program: ShownProgram,
    report: &UsageReport,
    clock: &ClockReading,
) -> InstanceDetails {
    let run = of.workers.run_with_processes(view.id);
    let usage = run.and_then(|run| report.workers.get(&run));
    let spec = view.spec;
    let kind = program.kind;
    let sinks = log_files::sinks(view, None);
    let path = |path: Option<PathBuf>| path.map(|path| path.to_string_lossy().into_owned());
    InstanceDetails {
        brief: brief(of, view, report, clock),
        processes: usage.map(|usage| usage.processes),
        threads: usage.map(|usage| usage.threads),
        pss: usage.and_then(|usage| usage.pss),
        open_files: usage.and_then(|usage| usage.open_files),
        cgroup: run.and_then(|run| of.workers.cgroup(run)),
        instances: view.siblings,
        created_at: clock.wall(view.created_at),
        unstable_restarts: view.unstable_runs.into(),
        ready_signals: [
            (view.readiness.listening, "listening"),
            (view.readiness.message, "ready"),
            (view.readiness.probe, "probe"),
        ]
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, signal)| signal.to_owned())
        .collect(),
        status_text: view.status_text.map(str::to_owned),
        failed: view.failed,
        completed: view.completed,
        waiting_for: of.machine.waits_for(view.id),
        tree: Vec::new(),
        exits: view.past_runs.iter().map(|past| exit(past, clock)).collect(),
        exec_path: program.path,
        interpreter: match (&spec.exec.interpreter, kind) {
            (Interpreter::Program(program), _) => Some(program.clone()),
            (Interpreter::Auto | Interpreter::None, ProgramKind::Node) => Some("node".to_owned()),
            (Interpreter::Auto | Interpreter::None, ProgramKind::Bun) => Some("bun".to_owned()),
            (Interpreter::Auto | Interpreter::None | Interpreter::BuiltIn, _) => None,
        },
        stop_signal: spec.stop_signal(kind).to_string(),
        next_cron: of
            .schedules
            .next_of(&spec.name)
            .and_then(|next| u64::try_from(next.as_millisecond()).ok()),
        node_env: variable(spec, of.source.environment(), "NODE_ENV")
            .map(|value| value.to_string_lossy().into_owned()),
        out_file: path(sinks.out.map(|file| file.path)),
        error_file: path(sinks.error.map(|file| file.path)),
        log_file: path(sinks.combined.map(|file| file.path)),
        pid_file: path(log_files::pid_file(view, None).map(|file| file.path)),
        env: spec
            .env
            .of_instance(view.number)
            .map(|(name, value)| (name.clone(), masked(name, &value)))
            .collect(),
        app: Box::new(app_of(view)),
    }
}

/// The configuration of an instance: with its own arguments instead of placeholders, and without variables,
/// because they can be secrets.
fn app_of(view: &InstanceView<'_>) -> AppSpec {
    let spec = view.spec;
    let env = EnvSpec {
        inherit: spec.env.inherit.clone(),
        instance_var: spec.env.instance_var.clone(),
        increment_var: spec.env.increment_var.clone(),
        ..EnvSpec::default()
    };
    AppSpec { env, exec: spec.exec.of_instance(view.number), ..AppSpec::clone(spec) }
}

fn exit(past: &PastRun, clock: &ClockReading) -> ExitInfo {
    ExitInfo {
        at: clock.wall(past.at),
        reason: past.reason().to_owned(),
        code: past.ending.code(),
        text: past
            .reason
            .as_ref()
            .map_or_else(|| past.ending.to_string(), |reason| format!("{} ({reason})", past.ending)),
        uptime: millis(past.uptime),
    }
}
