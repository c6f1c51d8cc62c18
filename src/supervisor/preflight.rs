//! The preflight: what applications need is checked before anything is touched.
//!
//! The program, the working directory, the account, the limits and the time zone are looked up, and the sockets
//! are opened, each application on a helper thread: a file system may not answer. The supervisor goes on
//! meanwhile, so a request that needs a preflight is computed a second time with its results. If the
//! applications are no longer the same then, their preflight is repeated.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::{sync::oneshot, time::Instant};

use super::{
    actor::{Supervisor, now},
    deferred::Continuation,
    failed_start,
    helper_threads::{HelperThreads, Job, Purpose},
    launch,
    listen_sockets::{ListenSockets, OpenSockets, Socket},
};
use crate::{
    config::{Source, UNANSWERED_HINT},
    machine::{FailureKind, SpawnFailure},
    program,
    spec::{AppSpec, ExecMode, ExitCode},
    sys::{clock::after, zone},
};

/// How long the preflight of all applications of a request may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// After this time a preflight that has not returned counts as one that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(1);

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

/// What was found for an application.
#[derive(Debug)]
pub(super) struct Found {
    exec_mode: ExecMode,
    zone: Option<TimeZone>,
    sockets: Vec<Arc<Socket>>,
}

/// The result for one application; `None`: there is none in time.
type Outcome = Option<Result<Found, SpawnFailure>>;

/// The results of a preflight.
#[derive(Debug)]
pub(super) struct Results(Vec<(Candidate, Outcome)>);

impl Results {
    /// Whether they are about these.
    pub(super) fn are_of(&self, candidates: &[Candidate]) -> bool {
        self.0.iter().map(|(candidate, _)| candidate).eq(candidates)
    }

    /// What makes it impossible to run the applications, a line each, and the exit code of the first. A
    /// shortage says nothing of the application: its start will tell.
    pub(super) fn refusals(&self) -> Option<(Vec<String>, ExitCode)> {
        let refused = self.0.iter().filter_map(|(candidate, outcome)| {
            let failure = outcome.as_ref()?.as_ref().err()?;
            let is_refused = failure.kind != FailureKind::Shortage;
            is_refused.then(|| (format!("app `{}`: {}", candidate.spec.name, failure.message), failure.code))
        });
        let refused: Vec<(String, ExitCode)> = refused.collect();
        let code = refused.first()?.1;
        Some((refused.into_iter().map(|(line, _)| line).collect(), code))
    }

    /// The names of the applications without a result, and why.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter(|(_, outcome)| outcome.is_none()).map(|(Candidate { spec, .. }, _)| {
            let (script, cwd) = (&spec.exec.script, spec.exec.cwd.display());
            (spec.name.as_str(), format!("looking up its script `{script}` in {cwd} timed out"))
        })
    }

    /// What is said of the applications without a result when procrun starts.
    pub(super) fn notices(&self) -> Vec<String> {
        self.unanswered().map(|(app, why)| format!("app `{app}`: {why}")).collect()
    }

    /// The applications as they can run, with their sockets opened.
    pub(super) fn into_apps(self, listen_sockets: &mut ListenSockets) -> Vec<AppSpec> {
        let complete = |(Candidate { spec, .. }, outcome): (Candidate, Outcome)| {
            let mut spec = Arc::unwrap_or_clone(spec);
            if let Some(Ok(Found { exec_mode, zone, sockets })) = outcome {
                spec.exec_mode = exec_mode;
                if let (Some(schedule), Some(zone)) = (&mut spec.schedule, zone) {
                    schedule.zone = zone;
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
pub(super) fn timed_out<'a>(unanswered: impl Iterator<Item = (&'a str, String)>) -> Option<String> {
    let lines: Vec<String> = unanswered.map(|(app, why)| format!("app `{app}`: {why}")).collect();
    if lines.is_empty() { None } else { Some(format!("{}\n  hint: {UNANSWERED_HINT}", lines.join("\n"))) }
}

/// All preflights under way.
#[derive(Debug, Default)]
pub(super) struct Preflight {
    /// The last one of each application, by name: since when, and whether its thread has returned.
    under_way: HashMap<String, (Instant, Weak<()>)>,
}

impl Preflight {
    /// Begins to check these. An application whose last preflight hangs has no result, and takes no other
    /// thread.
    pub(super) fn begin(
        &mut self,
        candidates: Vec<Candidate>,
        source: &Source,
        listen_sockets: &ListenSockets,
        helpers: &HelperThreads,
    ) -> impl Future<Output = Results> + Send + 'static + use<> {
        let now = now();
        self.under_way.retain(|_, (_, guard)| guard.strong_count() > 0);
        let begin = |candidate: Candidate| {
            let answer = self.submit(&candidate, source, listen_sockets.open(), helpers, now);
            (candidate, answer)
        };
        let begun: Vec<_> = candidates.into_iter().map(begin).collect();
        let (helpers, until) = (helpers.clone(), after(now.into(), TIMEOUT).into());
        async move {
            let mut results = Vec::with_capacity(begun.len());
            for (candidate, answer) in begun {
                let outcome = match answer {
                    Some(mut answer) => helpers.receive(&mut answer, until).await,
                    None => None,
                };
                results.push((candidate, outcome));
            }
            Results(results)
        }
    }

    fn submit(
        &mut self,
        candidate: &Candidate,
        source: &Source,
        open: &OpenSockets,
        helpers: &HelperThreads,
        now: Instant,
    ) -> Option<oneshot::Receiver<Result<Found, SpawnFailure>>> {
        let name = &candidate.spec.name;
        if self.under_way.get(name).is_some_and(|(since, _)| *since + HANGS_AFTER <= now) {
            return None;
        }
        let guard = Arc::new(());
        let since = (now, Arc::downgrade(&guard));
        let (candidate, source, open) = (candidate.clone(), source.clone(), open.clone());
        let (threads, (sender, receiver)) = (helpers.clone(), oneshot::channel());
        let app = name.clone();
        let work = move || {
            let result = check(&candidate, &source, &open, &threads);
            drop(guard);
            // The sockets of a result that comes too late are closed here.
            drop(sender.send(result));
        };
        helpers.submit(Job::new(Purpose::Check, work).of_app(&app)).ok()?;
        self.under_way.entry(app).or_insert(since);
        Some(receiver)
    }
}

/// Looks up what an application needs and opens its sockets.
fn check(
    candidate: &Candidate,
    source: &Source,
    open: &OpenSockets,
    helpers: &HelperThreads,
) -> Result<Found, SpawnFailure> {
    let Candidate { spec, may_cluster, needs_zone } = candidate;
    let environment = source.environment();
    let becomes_cluster =
        *may_cluster && program::clusters_by_default(&spec.exec, &launch::around(spec, environment));
    let exec_mode = if becomes_cluster { ExecMode::Cluster } else { spec.exec_mode };
    let zone = if *needs_zone { find_zone(spec)? } else { None };
    let credentials = launch::preflight(spec, exec_mode, environment)?;
    let owner = credentials.map(|credentials| (credentials.uid, credentials.gid));
    let sockets = if spec.autostart { open.open(spec, owner, helpers)? } else { Vec::new() };
    Ok(Found { exec_mode, zone, sockets })
}

fn find_zone(spec: &AppSpec) -> Result<Option<TimeZone>, SpawnFailure> {
    let Some(schedule) = &spec.schedule else { return Ok(None) };
    let zone = match &schedule.zone_name {
        None => zone::local(spec.env.vars.get("TZ").map(String::as_str)),
        Some(name) => {
            zone::named(name).ok_or_else(|| failed_start::wrong(format!("there is no time zone `{name}`")))?
        }
    };
    Ok(Some(zone))
}

impl Supervisor<'_> {
    /// Checks these applications, then continues with the results.
    pub(super) fn check_first(
        &mut self,
        candidates: Vec<Candidate>,
        then: impl FnOnce(&mut Supervisor<'_>, Results) + Send + 'static,
    ) {
        let helpers = self.workers.helpers();
        let results = self.preflight.begin(candidates, self.source, &self.listen_sockets, helpers);
        self.deferred.add(async move {
            let results = results.await;
            Box::new(move |supervisor: &mut Supervisor<'_>| then(supervisor, results)) as Continuation
        });
    }
}
