//! The path and method of a request → what is requested. It decides by the text alone.

use hyper::{Method, StatusCode, header};

use super::{
    access::Need,
    commands::Command,
    dashboard::{self, File},
    probes::Probe,
    problem::Problem,
    query::part,
};
use crate::control::Action;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// PM2's list as JSON, or the dashboard for a client that prefers HTML.
    Index,
    /// A file of the dashboard.
    Dashboard(&'static File),
    Probe(Probe),
    Metrics,
    /// The description of the API.
    OpenApi,
    /// The supervisor, its instances, the container and the machine.
    Overview,
    /// The applications.
    Apps,
    /// Whether everything is ready.
    Status,
    /// The instances in brief.
    Instances,
    /// All details of the instances of a target.
    Instance(String),
    Logs,
    Events,
    /// CPU and memory of the last hour.
    History,
    Command(Command),
}

impl Route {
    /// What a client must be allowed to do.
    pub(super) fn need(&self) -> Need {
        match self {
            Self::Probe(_) | Self::Metrics => Need::Probe,
            Self::Dashboard(_) => Need::Page,
            Self::Index
            | Self::OpenApi
            | Self::Overview
            | Self::Apps
            | Self::Status
            | Self::Instances
            | Self::Instance(_)
            | Self::Logs
            | Self::Events
            | Self::History => Need::Read,
            Self::Command(_) => Need::Change,
        }
    }
}

/// Finds what a request asks for.
pub(super) fn route(method: &Method, path: &str) -> Result<Route, Problem> {
    let route = match path.strip_prefix("/api/v1/") {
        Some(path) => of_api(path)?,
        None => match path {
            "/" => Route::Index,
            "/livez" => Route::Probe(Probe::Live),
            "/readyz" => Route::Probe(Probe::Ready),
            "/startupz" => Route::Probe(Probe::Startup),
            "/metrics" => Route::Metrics,
            _ => {
                let file = path.strip_prefix("/dashboard/").and_then(dashboard::file);
                Route::Dashboard(file.ok_or_else(Problem::not_found)?)
            }
        },
    };
    let (is_allowed, allowed) = match route {
        Route::Command(_) => (*method == Method::POST, "POST"),
        _ => (*method == Method::GET || *method == Method::HEAD, "GET, HEAD"),
    };
    if is_allowed { Ok(route) } else { Err(not_allowed(allowed)) }
}

fn of_api(path: &str) -> Result<Route, Problem> {
    let segments: Vec<&str> = path.split('/').collect();
    Ok(match segments[..] {
        ["openapi.json"] => Route::OpenApi,
        ["overview"] => Route::Overview,
        ["apps"] => Route::Apps,
        ["status"] => Route::Status,
        ["instances"] => Route::Instances,
        ["logs"] => Route::Logs,
        ["events"] => Route::Events,
        ["history"] => Route::History,
        ["apply"] => Route::Command(Command::Apply),
        ["apps", app, "scale"] if !app.is_empty() => Route::Command(Command::Scale(part(app)?)),
        ["instances", target] if !target.is_empty() => Route::Instance(part(target)?),
        ["instances", target, action] if !target.is_empty() => {
            let target = part(target)?;
            Route::Command(match action {
                "start" => Command::Act(Action::Start, target),
                "stop" => Command::Act(Action::Stop, target),
                "restart" => Command::Act(Action::Restart, target),
                "reload" => Command::Act(Action::Reload, target),
                "delete" => Command::Act(Action::Delete, target),
                "reset" => Command::Act(Action::Reset, target),
                "signal" => Command::Signal(target),
                "flush" => Command::Flush(target),
                _ => return Err(Problem::not_found()),
            })
        }
        _ => return Err(Problem::not_found()),
    })
}

fn not_allowed(allowed: &'static str) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path has only {allowed}"))
        .header(header::ALLOW, allowed)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{super::openapi, *};

    #[test]
    fn a_path_leads_to_what_it_names() {
        for (path, expected) in [
            ("/", Route::Index),
            ("/livez", Route::Probe(Probe::Live)),
            ("/readyz", Route::Probe(Probe::Ready)),
            ("/startupz", Route::Probe(Probe::Startup)),
            ("/metrics", Route::Metrics),
            ("/api/v1/overview", Route::Overview),
            ("/api/v1/instances/api", Route::Instance("api".to_owned())),
            ("/api/v1/instances/a%2Fb%20c", Route::Instance("a/b c".to_owned())),
        ] {
            assert_eq!(route(&Method::GET, path), Ok(expected.clone()));
            assert_eq!(route(&Method::HEAD, path), Ok(expected));
            let refused = route(&Method::POST, path).unwrap_err();
            assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
        }
        for path in [
            "",
            "/livez/",
            "/Livez",
            "//",
            "/..",
            "/api/v1",
            "/api/v1/",
            "/dashboard/",
            "/dashboard/mod.rs",
            "/dashboard/../route.rs",
            "/api/v1/instances/",
            "/api/v1/instances//stop",
            "/api/v1/instances/api/dance",
            "/api/v1/apps/api/scale/2",
        ] {
            assert_eq!(route(&Method::GET, path).unwrap_err().status, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(route(&Method::GET, "/api/v1/instances/%ff").unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_change_needs_post_and_the_right_to_change() {
        for (path, expected) in [
            ("/api/v1/instances/all/reload", Command::Act(Action::Reload, "all".to_owned())),
            ("/api/v1/instances/3/signal", Command::Signal("3".to_owned())),
            ("/api/v1/apps/api/scale", Command::Scale("api".to_owned())),
            ("/api/v1/apply", Command::Apply),
        ] {
            let route = route(&Method::POST, path).unwrap();
            assert_eq!(route.need(), Need::Change);
            assert_eq!(route, Route::Command(expected));
            assert_eq!(super::route(&Method::GET, path).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    /// A path of the description with values for its parameters.
    fn filled(path: &str) -> String {
        path.replace("{target}", "api").replace("{app}", "api")
    }

    #[test]
    fn the_description_has_exactly_the_paths_of_the_api() {
        let description: Value = serde_json::from_str(openapi::TEXT).unwrap();
        let paths = description["paths"].as_object().unwrap();
        for (path, methods) in paths {
            for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                let method: Method = method.to_uppercase().parse().unwrap();
                assert!(route(&method, &filled(path)).is_ok(), "{method} {path}");
            }
        }
        let described = |path: &str| paths.keys().any(|known| filled(known) == path);
        let actions = ["start", "stop", "restart", "reload", "delete", "reset", "signal", "flush"];
        let of_instances = actions.iter().map(|action| format!("/api/v1/instances/api/{action}"));
        let others = [
            "/",
            "/livez",
            "/readyz",
            "/startupz",
            "/metrics",
            "/api/v1/openapi.json",
            "/api/v1/overview",
            "/api/v1/apps",
            "/api/v1/status",
            "/api/v1/instances",
            "/api/v1/instances/api",
            "/api/v1/logs",
            "/api/v1/events",
            "/api/v1/history",
            "/api/v1/apply",
            "/api/v1/apps/api/scale",
        ];
        let all: Vec<String> = of_instances.chain(others.map(str::to_owned)).collect();
        let missing: Vec<&String> = all.iter().filter(|path| !described(path)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(paths.len(), all.len());
    }
}
