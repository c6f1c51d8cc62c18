//! The process trees as commands show them.

use std::collections::{HashMap, HashSet};

use super::workers::Workers;
use crate::{
    control::trees::{InstanceTree, ProcessInfo, ProcessTrees},
    machine::{InstanceId, InstanceView, Machine},
    sys::{
        proc_stat::Stat,
        tree::{self, Member, Witness},
        units,
    },
};

/// A tree is shown up to this many processes: an answer has a bound, a fork bomb has none.
const MAX_SHOWN: usize = 1000;

/// The trees of these instances, or of all; with all also the processes that belong to none.
pub(super) fn of(workers: &mut Workers, machine: &Machine, ids: Option<&[InstanceId]>) -> ProcessTrees {
    workers.current_trees(machine).refresh();
    let mut views: Vec<InstanceView<'_>> = machine.instances().collect();
    views.sort_by_key(|view| (view.pm_id, view.id));
    let requested: Option<HashSet<u32>> =
        ids.map(|ids| views.iter().filter(|view| ids.contains(&view.id)).map(|view| view.pm_id).collect());
    let instances = views
        .iter()
        .filter(|view| requested.as_ref().is_none_or(|requested| requested.contains(&view.pm_id)))
        .map(|view| InstanceTree {
            id: view.pm_id,
            name: view.spec.name.clone(),
            status: view.status,
            treekill: view.spec.stop.treekill,
            processes: of_instance(workers, view.id),
        })
        .collect();
    let unowned = if ids.is_none() { workers.strays() } else { Vec::new() };
    let unowned = unowned.into_iter().take(MAX_SHOWN).filter_map(|stray| {
        let stat = tree::stat_of(stray)?;
        Some(info(stray.pid, &stat, None, units::ticks_since_boot()))
    });
    ProcessTrees { instances, unowned: unowned.collect() }
}

/// The tree of one instance as it was last read, parents before their children.
pub(super) fn of_instance(workers: &Workers, id: InstanceId) -> Vec<ProcessInfo> {
    let now = units::ticks_since_boot();
    let members = in_order(workers.members(id).copied().collect());
    members.iter().take(MAX_SHOWN).map(|it| info(it.pid, &it.stat, Some(it.witness), now)).collect()
}

/// The main process first, each parent before its children, those of one parent by their start.
fn in_order(mut members: Vec<Member>) -> Vec<Member> {
    members.sort_unstable_by_key(|it| (it.witness != Witness::Main, it.stat.start, it.pid));
    let pids: HashSet<i32> = members.iter().map(|it| it.pid).collect();
    let mut below: HashMap<Option<i32>, Vec<Member>> = HashMap::new();
    for it in members.into_iter().rev() {
        let parent = Some(it.stat.parent).filter(|parent| pids.contains(parent));
        below.entry(parent).or_default().push(it);
    }
    let mut ordered = Vec::with_capacity(pids.len());
    let mut next = below.remove(&None).unwrap_or_default();
    while let Some(it) = next.pop() {
        next.extend(below.remove(&Some(it.pid)).unwrap_or_default());
        ordered.push(it);
    }
    ordered
}

/// The command's name: its whole line is in its own memory, which it can keep locked for any time. The
/// client reads that.
fn info(pid: i32, stat: &Stat, witness: Option<Witness>, now: u64) -> ProcessInfo {
    ProcessInfo {
        pid,
        parent: stat.parent,
        start_ticks: stat.start,
        uptime: now.saturating_sub(stat.start) * 1000 / units::ticks_a_second(),
        memory: stat.pages * units::page_size(),
        zombie: stat.is_zombie,
        command: tree::name(pid).unwrap_or_default(),
        belongs_by: witness,
    }
}
