//! The process list as a table, with PM2's columns.

use super::{
    connect::Supervisor,
    table::{Align, Cell, Column, OutputStyle, table},
};
use crate::{
    control::snapshot::{InstanceSummary, Status},
    spec::{ByteSize, HumanDuration},
};

/// Other columns are left out before a name is cut to less.
const NAME_WIDTH: usize = 16;

/// In PM2's order.
const COLUMNS: [Column; 14] = [
    Column { heading: "id", align: Align::Right, drop_order: 0, min_width: 0, preferred_width: 0 },
    Column { heading: "name", align: Align::Left, drop_order: 0, min_width: 4, preferred_width: NAME_WIDTH },
    Column { heading: "namespace", align: Align::Left, drop_order: 4, min_width: 0, preferred_width: 0 },
    Column { heading: "version", align: Align::Left, drop_order: 3, min_width: 0, preferred_width: 0 },
    Column { heading: "mode", align: Align::Left, drop_order: 5, min_width: 0, preferred_width: 0 },
    Column { heading: "pid", align: Align::Right, drop_order: 8, min_width: 0, preferred_width: 0 },
    Column { heading: "uptime", align: Align::Right, drop_order: 9, min_width: 0, preferred_width: 0 },
    Column { heading: "↺", align: Align::Right, drop_order: 10, min_width: 0, preferred_width: 0 },
    Column { heading: "status", align: Align::Left, drop_order: 0, min_width: 7, preferred_width: 15 },
    Column { heading: "cpu", align: Align::Right, drop_order: 7, min_width: 0, preferred_width: 0 },
    Column { heading: "memory", align: Align::Right, drop_order: 11, min_width: 0, preferred_width: 0 },
    Column { heading: "user", align: Align::Left, drop_order: 1, min_width: 0, preferred_width: 0 },
    Column { heading: "watching", align: Align::Left, drop_order: 2, min_width: 0, preferred_width: 0 },
    Column { heading: "last exit", align: Align::Left, drop_order: 6, min_width: 0, preferred_width: 0 },
];

/// Adds the user of each process. Only the client looks up the name of the supervisor's user.
pub(super) fn with_users(instances: &mut [InstanceSummary], supervisor: &Supervisor) {
    let user = supervisor.user();
    for instance in instances {
        instance.user = instance.user.take().or_else(|| user.clone());
    }
}

/// The table of these instances.
pub(super) fn shown(instances: &[InstanceSummary], style: OutputStyle) -> String {
    let rows: Vec<Vec<Cell>> = instances.iter().map(row).collect();
    table(&COLUMNS, &rows, style)
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

/// A duration in milliseconds as PM2 shows it.
pub(super) fn uptime(millis: u64) -> String {
    HumanDuration::from_millis(millis).pm2()
}

/// Bytes as PM2 shows them.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).pm2()
}
