//! `procrun list --mini-list`: a line for each thing instead of a table, as PM2 prints it.

use std::fmt::Write as _;

use super::process_table::{size, uptime};
use crate::{control::snapshot::InstanceSummary, shown::printable};

/// The list.
pub(super) fn shown(instances: &[InstanceSummary]) -> String {
    let mut text = String::new();
    for one in instances {
        writeln!(text, "+--- {}", printable(&one.name)).expect("a String takes everything");
        let mut line = |name: &str, value: &str| {
            writeln!(text, "{name} : {}", printable(value)).expect("a String takes everything");
        };
        line("namespace", &one.namespace);
        line("pid", &one.pid.map_or_else(String::new, |pid| pid.to_string()));
        line("pm2 id", &one.id.to_string());
        line("status", one.status.word());
        line("mode", &one.mode);
        line("restarted", &one.restarts.to_string());
        line("uptime", &one.uptime.map_or_else(|| "0".to_owned(), uptime));
        line("memory usage", &one.memory.map_or_else(String::new, size));
        text.push('\n');
    }
    text
}
