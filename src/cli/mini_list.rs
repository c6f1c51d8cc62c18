//! `procrun list --mini-list`: one line for each value instead of a table, as PM2 prints it.

use std::fmt::Write as _;

use super::process_table::{size, uptime};
use crate::{control::snapshot::InstanceSummary, shown::printable};

/// The list.
pub(super) fn shown(instances: &[InstanceSummary]) -> String {
    let mut text = String::new();
    for instance in instances {
        writeln!(text, "+--- {}", printable(&instance.name)).expect("writing to a String cannot fail");
        let mut line = |name: &str, value: &str| {
            writeln!(text, "{name} : {}", printable(value)).expect("writing to a String cannot fail");
        };
        line("namespace", &instance.namespace);
        line("pid", &instance.pid.map_or_else(String::new, |pid| pid.to_string()));
        line("pm2 id", &instance.id.to_string());
        line("status", instance.status.word());
        line("mode", &instance.mode);
        line("restarted", &instance.restarts.to_string());
        line("uptime", &instance.uptime.map_or_else(|| "0".to_owned(), uptime));
        line("memory usage", &instance.memory.map_or_else(String::new, size));
        text.push('\n');
    }
    text
}
