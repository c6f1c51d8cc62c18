//! The process list as a table, with PM2's columns.

use super::{
    connect::Supervisor,
    table::{Align, Cell, Column, Look, table},
};
use crate::{
    control::snapshot::{InstanceSummary, Status},
    spec::{ByteSize, HumanDuration},
};

/// Other columns leave before a name is cut to less.
const NAME: usize = 16;

/// In PM2's order.
const COLUMNS: [Column; 14] = [
    Column { heading: "id", align: Align::Right, leaves: 0, least: 0, wanted: 0 },
    Column { heading: "name", align: Align::Left, leaves: 0, least: 4, wanted: NAME },
    Column { heading: "namespace", align: Align::Left, leaves: 4, least: 0, wanted: 0 },
    Column { heading: "version", align: Align::Left, leaves: 3, least: 0, wanted: 0 },
    Column { heading: "mode", align: Align::Left, leaves: 5, least: 0, wanted: 0 },
    Column { heading: "pid", align: Align::Right, leaves: 8, least: 0, wanted: 0 },
    Column { heading: "uptime", align: Align::Right, leaves: 9, least: 0, wanted: 0 },
    Column { heading: "↺", align: Align::Right, leaves: 10, least: 0, wanted: 0 },
    Column { heading: "status", align: Align::Left, leaves: 0, least: 7, wanted: 15 },
    Column { heading: "cpu", align: Align::Right, leaves: 7, least: 0, wanted: 0 },
    Column { heading: "memory", align: Align::Right, leaves: 11, least: 0, wanted: 0 },
    Column { heading: "user", align: Align::Left, leaves: 1, least: 0, wanted: 0 },
    Column { heading: "watching", align: Align::Left, leaves: 2, least: 0, wanted: 0 },
    Column { heading: "last exit", align: Align::Left, leaves: 6, least: 0, wanted: 0 },
];

/// Names the user of each process. Only the client looks up the name of the supervisor's user.
pub(super) fn with_users(instances: &mut [InstanceSummary], supervisor: &Supervisor) {
    let user = supervisor.user();
    for instance in instances {
        instance.user = instance.user.take().or_else(|| user.clone());
    }
}

/// The table.
pub(super) fn shown(instances: &[InstanceSummary], look: Look) -> String {
    let rows: Vec<Vec<Cell>> = instances.iter().map(row).collect();
    table(&COLUMNS, &rows, look)
}

fn row(of: &InstanceSummary) -> Vec<Cell> {
    let or_dash = |text: Option<String>| Cell::new(text.unwrap_or_else(|| "-".to_owned()));
    vec![
        Cell::coloured(of.id.to_string(), "1"),
        Cell::new(&of.name),
        Cell::new(&of.namespace),
        or_dash(of.version.clone()),
        Cell::new(&of.mode),
        or_dash(of.pid.map(|pid| pid.to_string())),
        or_dash(of.uptime.map(uptime)),
        Cell::new(of.restarts.to_string()),
        Cell::coloured(of.state(), colour(of)),
        or_dash(of.cpu.map(|cpu| format!("{cpu:.1}%"))),
        or_dash(of.memory.map(size)),
        or_dash(of.user.clone()),
        Cell::new(if of.watching { "enabled" } else { "disabled" }),
        or_dash(of.last_exit.clone()),
    ]
}

pub(super) fn colour(of: &InstanceSummary) -> &'static str {
    match of.status {
        Status::Online if of.flaw().is_some() => "33",
        Status::Online => "32",
        Status::WaitingForDependencies | Status::Launching | Status::Stopping | Status::BackingOff => "33",
        Status::Stopped | Status::Errored => "31",
    }
}

/// A time as PM2 shows it.
pub(super) fn uptime(millis: u64) -> String {
    HumanDuration::from_millis(millis).pm2()
}

/// Bytes as PM2 shows them.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).pm2()
}
