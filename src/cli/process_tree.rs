//! Process trees as commands print them.

use std::{collections::HashMap, fmt::Write as _};

use super::process_table::{size, uptime};
use crate::{
    control::trees::{InstanceTree, ProcessInfo, ProcessTrees, Witness},
    shown::printable,
    sys::tree::{self, Identity},
};

/// The supervisor sends only the name of a process. The client reads its command line if it sees the same
/// process: the client may be in another PID namespace.
pub(super) fn read_command_line(of: &mut ProcessInfo) {
    let it = Identity { pid: of.pid, start: of.start_ticks };
    if let Some(line) = tree::command_line(it) {
        of.command = line;
    }
}

pub(super) fn shown(trees: &ProcessTrees) -> String {
    let mut text = String::new();
    for tree in &trees.instances {
        instance(&mut text, tree);
    }
    if !trees.unowned.is_empty() {
        text.push_str("adopted processes of no app\n");
        rows(&mut text, &trees.unowned);
    }
    if text.is_empty() {
        text.push_str("no processes\n");
    }
    text
}

fn instance(text: &mut String, tree: &InstanceTree) {
    let InstanceTree { id, name, status, treekill, processes } = tree;
    let memory = processes.iter().map(|it| it.memory).sum();
    let count = match processes.len() {
        0 => "no process".to_owned(),
        1 => format!("1 process, {}", size(memory)),
        count => format!("{count} processes, {}", size(memory)),
    };
    let treekill = if *treekill { "" } else { ", treekill off" };
    writeln!(text, "{} ({id}), {}, {count}{treekill}", printable(name), status.word())
        .expect("writing to a String cannot fail");
    rows(text, processes);
}

fn rows(text: &mut String, processes: &[ProcessInfo]) {
    if processes.is_empty() {
        return;
    }
    writeln!(text, "  {:>7}  {:>6}  {:>8}  {:11}  COMMAND", "PID", "UPTIME", "MEMORY", "FOUND BY")
        .expect("writing to a String cannot fail");
    for row in processes.iter().zip(depths(processes)) {
        writeln!(text, "  {}", line(row)).expect("writing to a String cannot fail");
    }
}

fn line((it, depth): (&ProcessInfo, usize)) -> String {
    let by = it.belongs_by.map_or("-", Witness::word);
    let command = if it.zombie { format!("{} (zombie)", it.command) } else { it.command.clone() };
    let indent = "  ".repeat(depth);
    let (up, memory) = (uptime(it.uptime), size(it.memory));
    format!("{:>7}  {up:>6}  {memory:>8}  {by:11}  {indent}{}", it.pid, printable(&command))
}

/// The depth of each process below the root of its branch.
fn depths(processes: &[ProcessInfo]) -> Vec<usize> {
    let mut depths: HashMap<i32, usize> = HashMap::new();
    let depth = |it: &ProcessInfo| {
        let depth = depths.get(&it.parent).map_or(0, |parent| parent + 1);
        depths.insert(it.pid, depth);
        depth
    };
    processes.iter().map(depth).collect()
}

/// The rows of `describe`.
pub(super) fn described(processes: &[ProcessInfo]) -> Vec<(String, String)> {
    let rows = processes.iter().zip(depths(processes));
    let row = |(it, depth): (&ProcessInfo, usize)| {
        let by = it.belongs_by.map_or("-", Witness::word);
        let indent = "  ".repeat(depth);
        (
            format!("{indent}{}", it.pid),
            format!("{}, {}, {by}: {}", uptime(it.uptime), size(it.memory), it.command),
        )
    };
    rows.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::snapshot::Status;

    fn process(pid: i32, parent: i32, command: &str, by: Option<Witness>) -> ProcessInfo {
        ProcessInfo {
            pid,
            parent,
            start_ticks: 1,
            uptime: 65_000,
            memory: 3 << 20,
            zombie: false,
            command: command.to_owned(),
            belongs_by: by,
        }
    }

    #[test]
    fn children_stand_below_their_parents() {
        let instance = InstanceTree {
            id: 0,
            name: "api".to_owned(),
            status: Status::Online,
            treekill: false,
            processes: vec![
                process(10, 1, "sh start.sh", Some(Witness::Main)),
                process(11, 10, "node\x1b app.js", Some(Witness::Parent)),
                process(12, 1, "nginx: master process", Some(Witness::Limit)),
            ],
        };
        let unowned = vec![process(99, 1, "sleep 5", None)];
        let expected = "\
api (0), online, 3 processes, 9.0mb, treekill off
      PID  UPTIME    MEMORY  FOUND BY     COMMAND
       10      1m     3.0mb  main         sh start.sh
       11      1m     3.0mb  parent         node\\u{1b} app.js
       12      1m     3.0mb  limit        nginx: master process
adopted processes of no app
      PID  UPTIME    MEMORY  FOUND BY     COMMAND
       99      1m     3.0mb  -            sleep 5
";
        assert_eq!(shown(&ProcessTrees { instances: vec![instance], unowned }), expected);
        assert_eq!(shown(&ProcessTrees { instances: Vec::new(), unowned: Vec::new() }), "no processes\n");
    }
}
