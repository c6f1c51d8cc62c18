//! Whether everything is ready, and whether everything has started: what an orchestrator probes.
//!
//! One set of rules answers `procrun healthcheck` and the probes of the HTTP server.

use serde::{Deserialize, Serialize};

use super::{ids::InstanceId, instance::Status, root::Machine, subject::Generation, views::InstanceView};
use crate::spec::Quorum;

/// The number of instances of an application that a report describes one by one.
const MAX_PROBLEMS: usize = 20;

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatusProbe {
    /// Each application has enough instances that can serve.
    Ready,
    /// The same, and each task has completed.
    Startup,
}

/// The answers to all probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// procrun was asked to stop: nothing is ready any more.
    pub is_stopping: bool,
    /// Parts of the supervisor that do not work at present, as text.
    pub failing: Vec<String>,
    /// The number of instances that are online.
    pub online: u32,
    /// The status was requested for these instances, so each of them must run.
    pub must_run: bool,
    /// Whether each application is ready.
    pub ready: Vec<AppReport>,
    /// Whether each application has started.
    pub startup: Vec<AppReport>,
}

/// The answer for one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppReport {
    /// The application's name.
    pub app: String,
    /// Enough instances are ready.
    pub passes: bool,
    /// The number of instances that are ready.
    pub ready: u32,
    /// The number that must be.
    pub required: u32,
    /// The number of instances that count: those that a command has stopped do not.
    pub instances: u32,
    /// The first instances that are not ready.
    pub problems: Vec<InstanceProblem>,
}

/// Why an instance is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProblem {
    /// `api (0) is online, not ready`.
    pub state: String,
    /// The output of its probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<String>,
}

impl StatusReport {
    /// Why the supervisor itself is not ready, whatever its applications do.
    pub fn obstacle(&self) -> Option<String> {
        if self.is_stopping {
            Some("procrun is stopping: no app is ready".to_owned())
        } else if !self.failing.is_empty() {
            Some(format!("the supervisor is impaired: {}", self.failing.join(", ")))
        } else if self.online == 0 && !self.must_run {
            Some("no process is online".to_owned())
        } else {
            None
        }
    }

    /// Whether everything is ready.
    pub fn is_ready(&self) -> bool {
        self.obstacle().is_none() && self.ready.iter().all(|app| app.passes)
    }

    /// Whether everything has started: tasks have completed, and the applications are ready.
    pub fn has_started(&self) -> bool {
        // A container that has only tasks has started when they have completed.
        let is_idle = self.online == 0 && !self.startup.is_empty();
        (is_idle || self.obstacle().is_none())
            && !self.is_stopping
            && self.failing.is_empty()
            && self.startup.iter().all(|app| app.passes)
    }
}

/// What the rules need to know of an instance.
#[derive(Debug, Clone)]
struct Facts<'a> {
    app: &'a str,
    quorum: Option<Quorum>,
    pm_id: u32,
    status: Status,
    /// The instance is online and cannot serve.
    flaw: Option<&'static str>,
    complaint: Option<String>,
    /// Whether its task is done; `None`: it is no task.
    completed: Option<bool>,
    failed: bool,
}

/// What an instance contributes to its application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ready,
    NotReady,
    /// The instance does not count.
    Ignored,
}

impl Facts<'_> {
    fn verdict(&self, probe: StatusProbe, must_run: bool) -> Verdict {
        let is_ready = match (self.status, self.completed, probe) {
            (Status::Online, Some(_), StatusProbe::Ready) | (Status::Online, None, _) => self.flaw.is_none(),
            (Status::Stopped, Some(true), _) => true,
            (Status::Stopped, _, _) if !must_run && !self.failed => return Verdict::Ignored,
            (Status::Online, Some(_), StatusProbe::Startup)
            | (
                Status::Stopped
                | Status::WaitingForDependencies
                | Status::Launching
                | Status::Stopping
                | Status::BackingOff
                | Status::Errored,
                _,
                _,
            ) => false,
        };
        if is_ready { Verdict::Ready } else { Verdict::NotReady }
    }

    fn problem(&self) -> InstanceProblem {
        let is_running = self.flaw.is_some() || self.status == Status::Launching;
        InstanceProblem {
            state: format!("{} ({}) is {}", self.app, self.pm_id, self.status.with_flaw(self.flaw)),
            complaint: self.complaint.clone().filter(|_| is_running),
        }
    }
}

/// The reports of applications, in the order of their first instances.
fn reports(instances: &[Facts<'_>], probe: StatusProbe, must_run: bool) -> Vec<AppReport> {
    let mut apps: Vec<(AppReport, Option<Quorum>)> = Vec::new();
    for facts in instances {
        let verdict = facts.verdict(probe, must_run);
        if verdict == Verdict::Ignored {
            continue;
        }
        // The instances of an application stand together, except after it was scaled.
        let at = apps.iter().rposition(|(app, _)| app.app == facts.app).unwrap_or_else(|| {
            let app = facts.app.to_owned();
            let report =
                AppReport { app, passes: false, ready: 0, required: 0, instances: 0, problems: Vec::new() };
            apps.push((report, facts.quorum));
            apps.len() - 1
        });
        let report = &mut apps[at].0;
        report.instances += 1;
        if verdict == Verdict::Ready {
            report.ready += 1;
        } else if report.problems.len() < MAX_PROBLEMS {
            report.problems.push(facts.problem());
        }
    }
    let finish = |(report, quorum): (AppReport, Option<Quorum>)| {
        // Which instances must run was said by their names.
        let quorum = quorum.filter(|_| !must_run);
        let required = quorum.map_or(report.instances, |quorum| quorum.required(report.instances));
        AppReport { passes: report.ready >= required, required, ..report }
    };
    apps.into_iter().map(finish).collect()
}

impl Machine {
    /// The status of these instances, or of everything. `failing` are the parts of the supervisor that do not work.
    pub fn status_report(&self, failing: Vec<String>, only: Option<&[InstanceId]>) -> StatusReport {
        let is_meant = |view: &InstanceView<'_>| {
            view.generation == Generation::Current && only.is_none_or(|only| only.contains(&view.id))
        };
        let mut views: Vec<InstanceView<'_>> = self.instances().filter(is_meant).collect();
        views.sort_by_key(|view| view.pm_id);
        let facts: Vec<Facts<'_>> = views.iter().map(|view| self.facts(view)).collect();
        let online = facts.iter().filter(|facts| facts.status == Status::Online).count();
        let must_run = only.is_some();
        StatusReport {
            is_stopping: self.is_stopping(),
            failing,
            online: u32::try_from(online).unwrap_or(u32::MAX),
            must_run,
            ready: reports(&facts, StatusProbe::Ready, must_run),
            startup: reports(&facts, StatusProbe::Startup, must_run),
        }
    }

    fn facts<'a>(&self, view: &InstanceView<'a>) -> Facts<'a> {
        Facts {
            app: &view.spec.name,
            quorum: view.spec.ready_when,
            pm_id: view.pm_id,
            status: view.status,
            flaw: view.status.flaw(view.healthy, self.known_readiness(view)),
            complaint: view.last_failure.clone(),
            completed: view.completed,
            failed: view.failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(app: &str, pm_id: u32, status: Status) -> Facts<'_> {
        Facts {
            app,
            quorum: None,
            pm_id,
            status,
            flaw: None,
            complaint: None,
            completed: None,
            failed: false,
        }
    }

    fn report(instances: &[Facts<'_>], must_run: bool) -> StatusReport {
        let online = instances.iter().filter(|facts| facts.status == Status::Online).count();
        StatusReport {
            is_stopping: false,
            failing: Vec::new(),
            online: u32::try_from(online).unwrap(),
            must_run,
            ready: reports(instances, StatusProbe::Ready, must_run),
            startup: reports(instances, StatusProbe::Startup, must_run),
        }
    }

    fn of_statuses(quorum: Option<Quorum>, statuses: &[Status]) -> StatusReport {
        let instances: Vec<Facts<'_>> =
            (0..).zip(statuses).map(|(id, status)| Facts { quorum, ..facts("api", id, *status) }).collect();
        report(&instances, false)
    }

    #[test]
    fn without_a_quorum_each_instance_must_be_ready() {
        assert!(of_statuses(None, &[Status::Online, Status::Online]).is_ready());
        for status in [
            Status::WaitingForDependencies,
            Status::Launching,
            Status::Stopping,
            Status::BackingOff,
            Status::Errored,
        ] {
            let report = of_statuses(None, &[Status::Online, status]);
            assert!(!report.is_ready() && !report.has_started(), "{status:?}");
            assert_eq!(report.ready[0].problems[0].state, format!("api (1) is {}", status.word()));
        }
        let flawed = Facts {
            flaw: Some("not ready"),
            complaint: Some("HTTP 500".to_owned()),
            ..facts("api", 0, Status::Online)
        };
        let report = report(&[flawed], false);
        assert!(!report.is_ready());
        assert_eq!(
            report.ready[0].problems[0],
            InstanceProblem {
                state: "api (0) is online, not ready".to_owned(),
                complaint: Some("HTTP 500".to_owned())
            }
        );
    }

    #[test]
    fn with_a_quorum_the_others_may_fail() {
        let statuses = [Status::Online, Status::Errored, Status::Launching, Status::Online];
        for (quorum, is_ready) in [
            (Quorum::Of(2, 4), true),
            (Quorum::Count(2), true),
            (Quorum::Percent(50), true),
            (Quorum::Percent(51), false),
            (Quorum::Count(3), false),
        ] {
            assert_eq!(of_statuses(Some(quorum), &statuses).is_ready(), is_ready, "{quorum}");
        }
    }

    #[test]
    fn what_a_command_has_stopped_does_not_count() {
        let report = of_statuses(Some(Quorum::Percent(75)), &[Status::Online, Status::Stopped]);
        assert!(report.is_ready());
        assert_eq!((report.ready[0].required, report.ready[0].instances), (1, 1));
        let nothing = of_statuses(None, &[Status::Stopped]);
        assert_eq!(nothing.obstacle().as_deref(), Some("no process is online"));
        assert!(!nothing.is_ready() && !nothing.has_started());
        let failed = Facts { failed: true, ..facts("api", 0, Status::Stopped) };
        let online = facts("web", 1, Status::Online);
        assert!(!self::report(&[failed, online], false).is_ready(), "it has not stopped by a command");
        // A named instance must run, and so must each of the named ones.
        assert!(!self::report(&[facts("api", 0, Status::Stopped)], true).is_ready());
        let half = Facts { quorum: Some(Quorum::Count(1)), ..facts("api", 0, Status::Errored) };
        let other = Facts { quorum: Some(Quorum::Count(1)), ..facts("api", 1, Status::Online) };
        assert!(!self::report(&[half, other], true).is_ready());
    }

    #[test]
    fn a_task_counts_for_the_startup_until_it_has_completed() {
        let task = |status, completed| Facts { completed: Some(completed), ..facts("migrate", 0, status) };
        let api = facts("api", 1, Status::Online);
        let running = report(&[task(Status::Online, false), api.clone()], false);
        assert!(running.is_ready() && !running.has_started());
        let done = report(&[task(Status::Stopped, true), api.clone()], false);
        assert!(done.is_ready() && done.has_started());
        let waiting =
            report(&[task(Status::Stopped, true), facts("api", 1, Status::WaitingForDependencies)], false);
        assert!(!waiting.has_started(), "a dependency is not ready yet");
        let only_tasks = report(&[task(Status::Stopped, true)], false);
        assert!(only_tasks.has_started() && !only_tasks.is_ready());
        let failed = Facts { failed: true, ..task(Status::Stopped, false) };
        assert!(!report(&[failed, api], false).has_started());
    }

    #[test]
    fn nothing_is_ready_during_a_stop_or_with_an_impaired_supervisor() {
        let report = of_statuses(None, &[Status::Online]);
        let stopping = StatusReport { is_stopping: true, ..report.clone() };
        assert!(!stopping.is_ready() && !stopping.has_started());
        let impaired = StatusReport { failing: vec!["cannot receive signals".to_owned()], ..report };
        assert!(!impaired.is_ready() && !impaired.has_started());
        assert_eq!(
            impaired.obstacle().as_deref(),
            Some("the supervisor is impaired: cannot receive signals")
        );
    }

    #[test]
    fn a_report_describes_a_limited_number_of_instances() {
        let report = of_statuses(None, &[Status::Errored; 50]);
        assert_eq!((report.ready[0].instances, report.ready[0].problems.len()), (50, MAX_PROBLEMS));
    }
}
