//! The preflight: checks what applications need before anything starts.
//!
//! The program, the working directory, the account, the limits and the time zone are looked up, and the sockets
//! are opened, each application on a helper thread: a file system may not answer. The supervisor goes on
//! meanwhile, so a request that needs a preflight is computed a second time with its results. If the
//! applications are no longer the same then, their preflight is repeated.

use std::{
    collections::HashMap,
    ffi::OsStr,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::{sync::oneshot, time::Instant};

use super::{
    clock,
    environment::{Environment, lookup_context, port_in, variable},
    failed_start::{self, not_allowed, not_found},
    helper_threads::HelperThreads,
    identity::credentials,
    job_queues::{Job, Purpose},
    launch::limits,
    listen_sockets::{ListenSockets, OpenSockets, Socket},
};
use crate::{
    config::{EX_CONFIG, Source, UNANSWERED_HINT, Unanswered},
    machine::{FailureKind, SpawnFailure},
    program,
    spec::{AppSpec, ExecMode, ExitCode, Probe, ProbeTarget},
    sys::{accounts::Credentials, clock::after, zone},
};

/// How long the preflight of all applications of a request may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A preflight that has not returned this time after a thread has begun it counts as one that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// The hint for a shortage.
const SHORTAGE_HINT: &str = "the kernel or a device lacked something at that moment; try again";
/// The hint for a lack of threads.
const BUSY_HINT: &str = "other apps hang in their checks; try again, or stop these apps";

/// An application that is to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) spec: Arc<AppSpec>,
    /// A Node script becomes a cluster.
    pub(super) may_cluster: bool,
    /// The time zone of its schedule travels by its name only and has to be found.
    pub(super) needs_zone: bool,
}

impl Candidate {
    /// An application as it is, with all that belongs to it.
    pub(super) fn complete(spec: Arc<AppSpec>) -> Self {
        Self { spec, may_cluster: false, needs_zone: false }
    }

    /// An application that a client has sent.
    pub(super) fn added(spec: AppSpec) -> Self {
        Self { spec: Arc::new(spec), may_cluster: false, needs_zone: true }
    }
}

/// The result of a check that has passed.
#[derive(Debug)]
pub(super) struct PreflightFindings {
    exec_mode: ExecMode,
    zone: Option<TimeZone>,
    sockets: Vec<Arc<Socket>>,
}

/// The result for one application.
#[derive(Debug)]
enum Outcome {
    Found(PreflightFindings),
    Failed(SpawnFailure),
    /// A helper thread has not returned in time.
    TimedOut,
    /// No helper thread was free in time.
    NotBegun,
}

/// The results of a preflight.
#[derive(Debug)]
pub(super) struct Results(Vec<(Candidate, Outcome)>);

impl Results {
    /// Whether they are the results of these candidates.
    pub(super) fn are_of(&self, candidates: &[Candidate]) -> bool {
        self.0.iter().map(|(candidate, _)| candidate).eq(candidates)
    }

    /// Why applications cannot run, a line each, and the exit code of the first. A shortage is no reason, because it
    /// is not the fault of the application.
    pub(super) fn refusals(&self) -> Option<(Vec<String>, ExitCode)> {
        let refused = self.0.iter().filter_map(|(candidate, outcome)| match outcome {
            Outcome::Failed(failure) if failure.kind != FailureKind::Shortage => {
                Some((format!("app `{}`: {}", candidate.spec.name, failure.message), failure.code))
            }
            Outcome::Failed(_) | Outcome::Found(_) | Outcome::TimedOut | Outcome::NotBegun => None,
        });
        let refused: Vec<(String, ExitCode)> = refused.collect();
        let code = refused.first()?.1;
        Some((refused.into_iter().map(|(line, _)| line).collect(), code))
    }

    /// The applications without a result, and why. They may be able to run: a start will show it. But they must
    /// not replace what runs.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = Unanswered> {
        self.0.iter().filter_map(|(Candidate { spec, .. }, outcome)| {
            let (what, hint) = match outcome {
                Outcome::Found(_) => return None,
                Outcome::Failed(failure) if failure.kind != FailureKind::Shortage => return None,
                Outcome::Failed(failure) => {
                    (failure.message.lines().next().unwrap_or_default().to_owned(), SHORTAGE_HINT)
                }
                Outcome::TimedOut => {
                    let (script, cwd) = (&spec.exec.script, spec.exec.cwd.display());
                    (format!("looking up its script `{script}` in {cwd} timed out"), UNANSWERED_HINT)
                }
                Outcome::NotBegun => {
                    let seconds = TIMEOUT.as_secs();
                    (format!("its preflight has not begun within {seconds} s"), BUSY_HINT)
                }
            };
            Some(Unanswered { app: spec.name.clone(), what, hint })
        })
    }

    /// The warnings about applications without a result when procrun starts.
    pub(super) fn notices(&self) -> Vec<String> {
        self.unanswered().map(|Unanswered { app, what, .. }| format!("app `{app}`: {what}")).collect()
    }

    /// The applications as they can run, with their sockets opened.
    pub(super) fn into_apps(self, listen_sockets: &mut ListenSockets) -> Vec<AppSpec> {
        let complete = |(Candidate { spec, .. }, outcome): (Candidate, Outcome)| {
            let mut spec = Arc::unwrap_or_clone(spec);
            if let Outcome::Found(PreflightFindings { exec_mode, zone, sockets }) = outcome {
                spec.exec_mode = exec_mode;
                if let (Some(schedule), Some(zone)) = (&mut spec.schedule, zone) {
                    schedule.zone = Some(zone);
                }
                if spec.autostart {
                    listen_sockets.keep(&spec, sockets);
                }
            }
            spec
        };
        self.0.into_iter().map(complete).collect()
    }
}

/// The error for applications without a result.
pub(super) fn without_result(unanswered: impl Iterator<Item = Unanswered>) -> Option<String> {
    let unanswered: Vec<Unanswered> = unanswered.collect();
    let hint = unanswered.first()?.hint;
    let lines: Vec<String> =
        unanswered.into_iter().map(|Unanswered { app, what, .. }| format!("app `{app}`: {what}")).collect();
    Some(format!("{}\n  hint: {hint}", lines.join("\n")))
}

/// The results of a preflight that has begun.
pub(super) type PendingResults = Pin<Box<dyn Future<Output = Results> + Send>>;

/// The pending answer of a helper thread.
struct Pending {
    answer: oneshot::Receiver<Result<PreflightFindings, SpawnFailure>>,
    check: Weak<Begun>,
    /// Once it is dropped, a check that has not begun never does.
    _wanted: Arc<()>,
}

impl Pending {
    async fn outcome(mut self, helpers: &HelperThreads, until: Instant) -> Outcome {
        match helpers.receive(&mut self.answer, until).await {
            Some(Ok(found)) => Outcome::Found(found),
            Some(Err(failure)) => Outcome::Failed(failure),
            None if self.check.upgrade().is_some_and(|begun| begun.get().is_none()) => Outcome::NotBegun,
            None => Outcome::TimedOut,
        }
    }
}

/// When a thread has begun a check. It lives as long as the check waits or is under way.
type Begun = OnceLock<Instant>;

/// All preflights under way.
#[derive(Debug, Default)]
pub(super) struct Preflight {
    /// The first check of each application that waits or is under way, by name.
    under_way: HashMap<String, Weak<Begun>>,
}

impl Preflight {
    /// Starts the preflight of `candidates`. `open` has the sockets that are already open. While an earlier preflight of
    /// an app hangs, the new one has no result and uses no thread.
    pub(super) fn begin(
        &mut self,
        candidates: Vec<Candidate>,
        source: &Source,
        open: &OpenSockets,
        helpers: &HelperThreads,
    ) -> PendingResults {
        let now = clock::now();
        self.under_way.retain(|_, check| check.strong_count() > 0);
        let begin = |candidate: Candidate| {
            let pending = self.submit(&candidate, source, open, helpers, now);
            (candidate, pending)
        };
        let begun: Vec<_> = candidates.into_iter().map(begin).collect();
        let (helpers, until) = (helpers.clone(), after(now.into(), TIMEOUT).into());
        Box::pin(async move {
            let mut results = Vec::with_capacity(begun.len());
            for (candidate, pending) in begun {
                let outcome = match pending {
                    Ok(pending) => pending.outcome(&helpers, until).await,
                    Err(outcome) => outcome,
                };
                results.push((candidate, outcome));
            }
            Results(results)
        })
    }

    fn submit(
        &mut self,
        candidate: &Candidate,
        source: &Source,
        open: &OpenSockets,
        helpers: &HelperThreads,
        now: Instant,
    ) -> Result<Pending, Outcome> {
        let name = &candidate.spec.name;
        let begun = self.under_way.get(name).and_then(Weak::upgrade).and_then(|begun| begun.get().copied());
        if begun.is_some_and(|since| since + HANGS_AFTER <= now) {
            return Err(Outcome::TimedOut);
        }
        let begun = Arc::new(Begun::new());
        let check = Arc::downgrade(&begun);
        let (candidate, source, open) = (candidate.clone(), source.clone(), open.clone());
        let (threads, (sender, answer)) = (helpers.clone(), oneshot::channel());
        let app = name.clone();
        let work = move || {
            begun.get_or_init(clock::now);
            let result = find(&candidate, &source, &open, &threads);
            drop(begun);
            // The sockets of a result that comes too late are closed here.
            drop(sender.send(result));
        };
        let wanted = Arc::new(());
        let is_wanted = Arc::downgrade(&wanted);
        let job = Job::new(Purpose::Check, work).for_app(&app).unless(move || is_wanted.strong_count() == 0);
        helpers.submit(job).map_err(|_| Outcome::NotBegun)?;
        self.under_way.entry(app).or_insert_with(|| check.clone());
        Ok(Pending { answer, check, _wanted: wanted })
    }
}

/// Looks up what an application needs and opens its sockets.
fn find(
    candidate: &Candidate,
    source: &Source,
    open: &OpenSockets,
    helpers: &HelperThreads,
) -> Result<PreflightFindings, SpawnFailure> {
    let Candidate { spec, may_cluster, needs_zone } = candidate;
    let environment = source.environment();
    let becomes_cluster =
        *may_cluster && program::clusters_by_default(&spec.exec, &lookup_context(spec, environment));
    let exec_mode = if becomes_cluster { ExecMode::Cluster } else { spec.exec_mode };
    let zone = if *needs_zone { find_zone(spec, environment)? } else { None };
    let credentials = check_start(spec, exec_mode, environment)?;
    let owner = credentials.map(|credentials| (credentials.uid, credentials.gid));
    let sockets = if spec.autostart { open.open(spec, owner, helpers)? } else { Vec::new() };
    Ok(PreflightFindings { exec_mode, zone, sockets })
}

/// Checks that the program, the working directory and the user of an application exist, and that it may have its
/// limits. Returns the user.
fn check_start(
    spec: &AppSpec,
    mode: ExecMode,
    inherited: &Environment,
) -> Result<Option<Credentials>, SpawnFailure> {
    let credentials = credentials(spec)?;
    program::resolve(&spec.exec, mode, &lookup_context(spec, inherited)).map_err(not_found)?;
    find_port(spec, inherited)?;
    limits(spec).check().map_err(|refusal| not_allowed(&refusal))?;
    Ok(credentials)
}

/// Checks that a probe of the app's own port has a port.
fn find_port(spec: &AppSpec, inherited: &Environment) -> Result<(), SpawnFailure> {
    let health = [("health", &spec.health.liveness), ("readiness", &spec.health.readiness)];
    let needs_port =
        |probe: &Probe| matches!(&probe.target, ProbeTarget::Http { at, .. } if at.port.is_none());
    let Some((key, _)) = health.into_iter().find(|(_, probe)| probe.as_deref().is_some_and(needs_port))
    else {
        return Ok(());
    };
    if !spec.env.unread_files.is_empty() {
        // It may be in one of them.
        return Ok(());
    }
    port_in(variable(spec, inherited, "PORT").as_deref()).map(drop).map_err(|why| SpawnFailure {
        code: EX_CONFIG,
        message: format!(
            "`{key}` asks for a path at the app's own port, but {why}\n  hint: set `port`, or write the whole URL"
        ),
        kind: FailureKind::Permanent,
    })
}

/// The time zone of the schedule of an application. Reads files, so it may never end.
pub(super) fn find_zone(spec: &AppSpec, environment: &Environment) -> Result<Option<TimeZone>, SpawnFailure> {
    let Some(schedule) = &spec.schedule else { return Ok(None) };
    let found = if let Some(name) = &schedule.zone_name {
        zone::named(name)
    } else {
        // An application of the ecosystem file has the zone with which that was read.
        let own = environment.get(OsStr::new("TZ")).and_then(|tz| tz.to_str());
        let tz = spec.env.vars.get("TZ").map(String::as_str).filter(|_| spec.env.caller.is_some());
        zone::find_local(tz.or(own)).map(Some)
    };
    let name = schedule.zone_name.as_deref().unwrap_or("local");
    match found {
        Ok(Some(zone)) => Ok(Some(zone)),
        Ok(None) => Err(failed_start::wrong(format!("there is no time zone `{name}`"))),
        Err(error) => Err(failed_start::refused(&format!("read the time zone `{name}`"), &error)),
    }
}
