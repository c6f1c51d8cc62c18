//! `/api/v1/apps`: the instances of each application in one row.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    control::snapshot::{InstanceSummary, Status},
    machine::StatusReport,
};

/// An application.
#[derive(Debug, Serialize)]
pub(super) struct App<'a> {
    name: &'a str,
    namespace: &'a str,
    mode: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    instances: u32,
    online: u32,
    /// Enough instances are ready.
    ready: bool,
    /// The number of instances that are ready, and that must be. Those that a command has stopped do not count.
    ready_instances: u32,
    required_instances: u32,
    /// The number of instances by status.
    statuses: BTreeMap<&'static str, u32>,
    restarts: u64,
    /// Percent of one core.
    cpu: Option<f64>,
    /// Bytes.
    memory: Option<u64>,
    ids: Vec<u32>,
}

/// The applications in the order of their first instances.
pub(super) fn rows<'a>(instances: &'a [InstanceSummary], report: &StatusReport) -> Vec<App<'a>> {
    let mut apps: Vec<App<'a>> = Vec::new();
    for brief in instances {
        let at = apps.iter().rposition(|app| app.name == brief.name).unwrap_or_else(|| {
            apps.push(new(brief, report));
            apps.len() - 1
        });
        let app = &mut apps[at];
        app.instances += 1;
        app.online += u32::from(brief.status == Status::Online);
        app.restarts += brief.restarts;
        *app.statuses.entry(brief.status.word()).or_default() += 1;
        app.cpu = sum(app.cpu, brief.cpu);
        app.memory = sum(app.memory, brief.memory);
        app.ids.push(brief.id);
    }
    apps
}

fn new<'a>(brief: &'a InstanceSummary, report: &StatusReport) -> App<'a> {
    let of_app = report.ready.iter().find(|app| app.app == brief.name);
    App {
        name: &brief.name,
        namespace: &brief.namespace,
        mode: &brief.mode,
        version: brief.version.as_deref(),
        instances: 0,
        online: 0,
        ready: !report.is_stopping && of_app.is_some_and(|app| app.passes),
        ready_instances: of_app.map_or(0, |app| app.ready),
        required_instances: of_app.map_or(0, |app| app.required),
        statuses: BTreeMap::new(),
        restarts: 0,
        cpu: None,
        memory: None,
        ids: Vec::new(),
    }
}

/// What is known of a sum.
fn sum<T: std::ops::Add<Output = T>>(sum: Option<T>, part: Option<T>) -> Option<T> {
    match (sum, part) {
        (Some(sum), Some(part)) => Some(sum + part),
        (sum, part) => sum.or(part),
    }
}
