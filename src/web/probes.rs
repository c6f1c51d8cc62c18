//! The texts of `/livez`, `/readyz` and `/startupz`, in the form of Kubernetes.

use std::fmt::Write as _;

use hyper::StatusCode;

use super::{
    answer::{Answer, TEXT},
    body::Body,
};
use crate::{
    machine::{AppReport, StatusReport},
    shown::printable,
};

/// A probe of an orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// The supervisor answers.
    Live,
    /// Everything can serve.
    Ready,
    /// Everything has started.
    Startup,
}

impl Probe {
    fn name(self) -> &'static str {
        match self {
            Self::Live => "livez",
            Self::Ready => "readyz",
            Self::Startup => "startupz",
        }
    }

    fn passes(self, report: &StatusReport) -> bool {
        match self {
            // The supervisor has answered. A restart of the container would help no app that is not ready.
            Self::Live => true,
            Self::Ready => report.is_ready(),
            Self::Startup => report.has_started(),
        }
    }

    fn apps(self, report: &StatusReport) -> &[AppReport] {
        match self {
            Self::Live => &[],
            Self::Ready => &report.ready,
            Self::Startup => &report.startup,
        }
    }
}

/// What the text contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detail {
    /// A line for each application, also if everything passes.
    pub(super) verbose: bool,
    /// The output of probes.
    pub(super) complaints: bool,
}

/// The answer to a probe.
pub(super) fn answer(probe: Probe, report: &StatusReport, detail: Detail) -> Answer {
    let passes = probe.passes(report);
    let status = if passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = if passes && !detail.verbose { "ok\n".to_owned() } else { text(probe, report, detail) };
    Answer::new(status, TEXT, Body::complete(text))
}

fn text(probe: Probe, report: &StatusReport, detail: Detail) -> String {
    let mut text = String::new();
    let obstacle = match probe {
        Probe::Live => None,
        Probe::Ready | Probe::Startup => report.obstacle(),
    };
    // Writing to a string cannot fail.
    let _ = match obstacle {
        Some(obstacle) if !probe.passes(report) => {
            writeln!(text, "[-]supervisor failed: {}", printable(&obstacle))
        }
        Some(_) | None => writeln!(text, "[+]supervisor ok"),
    };
    for app in probe.apps(report) {
        let (mark, result) = if app.passes { ('+', "ok") } else { ('-', "failed") };
        let _ = write!(
            text,
            "[{mark}]app {} {result}: {} of {} ready",
            printable(&app.app),
            app.ready,
            app.instances
        );
        if app.required < app.instances {
            let _ = write!(text, ", {} required", app.required);
        }
        for problem in &app.problems {
            let complaint = problem.complaint.as_ref().filter(|_| detail.complaints);
            let complaint = complaint.map_or_else(String::new, |it| format!(": {}", printable(it)));
            let _ = write!(text, "; {}{complaint}", printable(&problem.state));
        }
        text.push('\n');
    }
    let result = if probe.passes(report) { "passed" } else { "failed" };
    let _ = writeln!(text, "{} check {result}", probe.name());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::InstanceProblem;

    fn report() -> StatusReport {
        let app = AppReport {
            app: "api".to_owned(),
            passes: false,
            ready: 1,
            required: 2,
            instances: 4,
            problems: vec![InstanceProblem {
                state: "api (0) is online, not ready".to_owned(),
                complaint: Some("HTTP 500\u{1b}[31m".to_owned()),
            }],
        };
        StatusReport {
            is_stopping: false,
            failing: Vec::new(),
            online: 4,
            must_run: false,
            ready: vec![app.clone()],
            startup: vec![AppReport { passes: true, ready: 4, problems: Vec::new(), ..app }],
        }
    }

    #[test]
    fn a_failed_probe_names_what_is_not_ready() {
        let detail = Detail { verbose: false, complaints: true };
        assert_eq!(
            text(Probe::Ready, &report(), detail),
            "[+]supervisor ok\n\
             [-]app api failed: 1 of 4 ready, 2 required; api (0) is online, not ready: HTTP 500\\u{1b}[31m\n\
             readyz check failed\n"
        );
        let without = text(Probe::Ready, &report(), Detail { complaints: false, ..detail });
        assert!(!without.contains("HTTP 500"), "{without}");
        let stopping = StatusReport { is_stopping: true, ..report() };
        let text = text(Probe::Startup, &stopping, detail);
        assert!(text.starts_with("[-]supervisor failed: procrun is stopping"), "{text}");
    }

    #[test]
    fn the_supervisor_is_live_whatever_the_apps_do() {
        let report = StatusReport { is_stopping: true, ..report() };
        assert!(Probe::Live.passes(&report) && !Probe::Ready.passes(&report));
        let detail = Detail { verbose: true, complaints: true };
        assert_eq!(text(Probe::Live, &report, detail), "[+]supervisor ok\nlivez check passed\n");
        let started = text(Probe::Startup, &self::report(), detail);
        assert_eq!(
            started,
            "[+]supervisor ok\n[+]app api ok: 4 of 4 ready, 2 required\nstartupz check passed\n"
        );
    }
}
