//! A request → an answer: the path, access, and the part that answers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap},
};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    accept::preferred,
    access::{Access, check_host},
    answer::{Answer, JSON},
    apps,
    body::Body,
    commands, dashboard,
    events::Events,
    history::History,
    link::Connector,
    logs,
    metrics::{self, CpuTimes, FORMATS, Own},
    openapi, pm2,
    probes::{self, Detail, Probe},
    problem::Problem,
    queries::{Pace, Queries, Shared, SharedByTarget, Turns, Urgency},
    query::Query,
    route::{Route, route},
};
use crate::{
    control::{
        self,
        snapshot::{InstanceDetails, Overview},
    },
    http::{InProgress, server::Handler},
    machine::StatusReport,
    monitor::Cgroup,
};

/// The age from which the status is requested again although nothing has changed: that the supervisor answers is
/// a part of it.
const STATUS_VALID: Duration = Duration::from_secs(1);
/// The status costs little, and is requested often while everything restarts.
const STATUS_PACE: Pace = Pace { least: Duration::from_millis(10), times: 4 };
/// Figures cost time for each process.
const DATA_PACE: Pace = Pace { least: Duration::from_millis(20), times: 4 };
/// Clients that follow events. Those of some targets have a connection to the supervisor each.
const MAX_EVENT_CLIENTS: usize = 256;
/// Clients that follow log lines, each with a connection to the supervisor.
const MAX_LOG_CLIENTS: usize = 64;
/// Commands in progress.
const MAX_COMMANDS: usize = 32;

/// Everything that answers requests.
#[derive(Debug)]
pub(super) struct Site {
    access: Access,
    connector: Connector,
    status_queries: Queries,
    status: Shared<StatusReport>,
    data_queries: Queries,
    overview: Shared<Overview>,
    details: SharedByTarget<Vec<InstanceDetails>>,
    cpu_times: Mutex<CpuTimes>,
    metrics_queries: Queries,
    /// The text of each format.
    metrics: [Shared<Bytes>; 2],
    log_queries: Queries,
    cgroup: Mutex<Option<Cgroup>>,
    events: Events,
    history: History,
    event_clients: Arc<Semaphore>,
    log_clients: Arc<Semaphore>,
    commands: Arc<Semaphore>,
}

impl Site {
    pub(super) fn new(access: Access, connector: Connector) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let (of_status, of_data) = (Turns::new(STATUS_PACE), Turns::new(DATA_PACE));
        let queries = |turns: &Arc<Turns>, urgency| Queries::new(connector.clone(), turns.clone(), urgency);
        Self {
            access,
            status_queries: queries(&of_status, Urgency::Urgent),
            status: Shared::new(),
            data_queries: queries(&of_data, Urgency::Ordinary),
            overview: Shared::new(),
            details: SharedByTarget::new(),
            cpu_times: Mutex::default(),
            metrics_queries: queries(&of_data, Urgency::Urgent),
            metrics: [Shared::new(), Shared::new()],
            log_queries: queries(&of_data, Urgency::Ordinary),
            cgroup: Mutex::new(None),
            events: Events::default(),
            history: History::default(),
            event_clients: places(MAX_EVENT_CLIENTS),
            log_clients: places(MAX_LOG_CLIENTS),
            commands: places(MAX_COMMANDS),
            connector,
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Answer, Problem> {
        check_host(request.version(), request.headers())?;
        let route = match route(request.method(), request.uri().path())? {
            Route::Index if prefers_page(request.headers()) => Route::Dashboard(&dashboard::PAGE),
            route => route,
        };
        self.access.check(route.need(), request.headers())?;
        let query = request.uri().query();
        if !matches!(route, Route::Probe(_) | Route::Logs | Route::Events) {
            Query::read(query, &[])?;
        }
        match route {
            Route::Probe(probe) => self.probe(probe, query, request.headers()).await,
            Route::Metrics => self.metrics(request.headers()).await,
            Route::Index => self.index(request.headers()).await,
            Route::Dashboard(file) => Ok(dashboard::answer(file)),
            Route::OpenApi => Ok(Answer::new(StatusCode::OK, JSON, Body::complete(openapi::TEXT))),
            Route::Overview => Ok(Answer::json(&*self.overview().await?)),
            Route::Instances => Ok(Answer::json(&self.overview().await?.instances)),
            Route::Apps => {
                let (overview, status) = (self.overview().await?, self.status().await?);
                Ok(Answer::json(&apps::rows(&overview.instances, &status)))
            }
            Route::Status => {
                let status = self.status().await?;
                Ok(Answer::json(&*status))
            }
            Route::Instance(target) => {
                let details = self.details(Some(target)).await?;
                let details: Vec<_> = details.iter().map(InstanceDetails::as_json).collect();
                Ok(Answer::json(&details))
            }
            Route::Logs => {
                let place = place(&self.log_clients, "too many clients follow log lines")?;
                logs::follow(&self.log_queries, query, place).await
            }
            Route::Events => {
                let place = place(&self.event_clients, "too many clients follow events")?;
                self.events.follow(&self.connector, &self.data_queries, query, request.headers(), place).await
            }
            Route::History => {
                let history = self.history.read(&self.connector);
                Ok(Answer::new(StatusCode::OK, JSON, Body::complete(history)))
            }
            Route::Command(command) => {
                let place = place(&self.commands, "too many commands are in progress")?;
                commands::carry_out(command, request, &self.connector, place).await
            }
        }
    }

    async fn probe(&self, probe: Probe, query: Option<&str>, headers: &HeaderMap) -> Result<Answer, Problem> {
        let report = self.status().await?;
        let mut words = query.unwrap_or_default().split('&');
        let verbose = words.any(|word| word == "verbose" || word.starts_with("verbose="));
        let detail = Detail { verbose, complaints: self.access.may_read(headers) };
        Ok(probes::answer(probe, &report, detail))
    }

    async fn metrics(&self, headers: &HeaderMap) -> Result<Answer, Problem> {
        let offered = FORMATS.map(|(_, offered, _)| offered);
        let Some(at) = preferred(accept(headers), &offered) else {
            return Err(Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "metrics have only the formats of Prometheus",
            )
            .hint("send `Accept: text/plain` or `Accept: application/openmetrics-text`"));
        };
        let (format, _, media_type) = FORMATS[at];
        let ask = async || match self.metrics_queries.ask(&control::Request::Metrics).await? {
            control::Answer::Metrics(mut figures) => {
                self.cpu_times.lock().unwrap_or_else(PoisonError::into_inner).count(&mut figures.instances);
                let processes: Vec<Option<i32>> = figures.instances.iter().map(|it| it.brief.pid).collect();
                let own = Own::read(&self.cgroup, &processes);
                Ok(metrics::write(Arc::new(*figures), own, format).into())
            }
            other => Err(unexpected(&other)),
        };
        let text = self.metrics[at].get(&self.connector, Duration::ZERO, ask).await?;
        Ok(Answer::new(StatusCode::OK, media_type, Body::complete((*text).clone())))
    }

    async fn index(&self, headers: &HeaderMap) -> Result<Answer, Problem> {
        if preferred(accept(headers), &[JSON]).is_none() {
            let detail = "this path has only application/json and text/html";
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
        }
        let overview = self.overview().await?;
        let machine = overview.surroundings.as_ref().map(|it| it.machine.clone()).unwrap_or_default();
        let details = self.details(None).await?;
        Ok(Answer::json(&pm2::page(&details, &machine)))
    }

    async fn status(&self) -> Result<Arc<StatusReport>, Problem> {
        let ask = async || {
            let request = control::Request::Status { targets: Vec::new() };
            match self.status_queries.ask(&request).await? {
                control::Answer::Status(report) => Ok(report),
                other => Err(unexpected(&other)),
            }
        };
        self.status.get(&self.connector, STATUS_VALID, ask).await
    }

    async fn overview(&self) -> Result<Arc<Overview>, Problem> {
        let ask = async || match self.data_queries.ask(&control::Request::Monitor).await? {
            control::Answer::Overview(overview) => Ok(overview),
            other => Err(unexpected(&other)),
        };
        self.overview.get(&self.connector, Duration::ZERO, ask).await
    }

    /// All details of the instances of a target, or of all.
    async fn details(&self, target: Option<String>) -> Result<Arc<Vec<InstanceDetails>>, Problem> {
        // No target is empty.
        let shared = self.details.of(target.as_deref().unwrap_or_default());
        let targets = target.into_iter().collect();
        let ask = async || {
            let request = control::Request::Describe { targets };
            match self.data_queries.ask(&request).await.map_err(Problem::of_target)? {
                control::Answer::Details(details) => Ok(details),
                other => Err(unexpected(&other)),
            }
        };
        shared.get(&self.connector, Duration::ZERO, ask).await
    }
}

fn accept(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok())
}

/// Whether a client wants the dashboard rather than PM2's list. PM2's clients send no `Accept`, or `*/*`.
fn prefers_page(headers: &HeaderMap) -> bool {
    preferred(accept(headers), &[JSON, "text/html"]) == Some(1)
}

/// A place among a limited number of clients.
fn place(of: &Arc<Semaphore>, full: &str) -> Result<OwnedSemaphorePermit, Problem> {
    of.clone().try_acquire_owned().map_err(|_| Problem::busy(full))
}

fn unexpected(answer: &control::Answer) -> Problem {
    let kind = json!(answer);
    let kind = kind.as_object().and_then(|object| object.keys().next().cloned());
    let kind = kind.unwrap_or_else(|| "other".to_owned());
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("the supervisor has sent an answer of the kind `{kind}`"),
    )
}

impl Handler for Site {
    type Body = Body;

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let in_progress = request.extensions_mut().remove::<InProgress>();
        let is_head = request.method() == Method::HEAD;
        let mut response: Response<Body> = match self.respond(request).await {
            Ok(answer) => answer.into(),
            Err(problem) => Answer::from(problem).into(),
        };
        if is_head {
            // Of a stream nothing is known; it ends here.
            if let Some(length) = response.body().length() {
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            }
            response = response.map(Body::without_content);
        }
        response.map(|body| body.of_request(in_progress))
    }
}
