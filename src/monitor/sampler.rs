//! One scan of `/proc` for all clients that request figures.
//!
//! A process of a worker costs about 6 µs, and another process an eighth of that: its `stat` is read at every
//! eighth scan. One descriptor stays open for each process of a worker, up to [`MAX_OPEN`]. Dropping the
//! sampler closes them.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    hash::Hash,
    time::{Duration, Instant},
};

use super::{
    ticks::{self, Member, Previous},
    usage::{Host, Sample, Usage},
};
use crate::sys::{
    cpus,
    proc::{self, Reader},
    proc_stat::{self, Stat},
    process_memory,
    reap::Pid,
    tree::{Process, Trees},
    units,
};

/// The maximum number of `stat` files that stay open between two scans.
const MAX_OPEN: usize = 2048;
/// Two scans within this time give the same CPU figures: a clock tick is 10 ms.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// A process that belongs to no worker is read again after this number of scans.
const OTHER_PROCESSES_INTERVAL: u32 = 8;

/// The state of a process between two scans.
#[derive(Debug)]
struct KnownProcess {
    stat: Stat,
    /// Whether it belonged to a worker.
    member: bool,
    file: Option<File>,
    /// The number of the last scan that found it.
    scan: u32,
}

/// Measures process trees. `K` names one of them.
#[derive(Debug)]
pub struct Sampler<K> {
    known: HashMap<Pid, KnownProcess>,
    /// The values of the last CPU figures.
    before: HashMap<Pid, Previous>,
    last: Option<Last<K>>,
    scan: u32,
    host: Host,
    reader: Reader,
    own_pid: Pid,
}

/// The last scan with CPU figures.
#[derive(Debug)]
struct Last<K> {
    at: Instant,
    /// In ticks since the machine started.
    ticks: u64,
    cpu: HashMap<K, (Option<Pid>, f32)>,
    own: f32,
}

impl<K: Copy + Eq + Hash> Default for Sampler<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Eq + Hash> Sampler<K> {
    /// A sampler without a scan: its first CPU figures are averages since each process started.
    pub fn new() -> Self {
        Self {
            known: HashMap::new(),
            before: HashMap::new(),
            last: None,
            scan: 0,
            host: Host::default(),
            reader: Reader::new(),
            own_pid: Pid::try_from(std::process::id()).unwrap_or(Pid::MAX),
        }
    }

    /// Finds the members of these trees and measures those of `keys`, in their order. For those that `detailed`
    /// selects, it also measures PSS and open files, which are expensive.
    pub fn sample(
        &mut self,
        now: Instant,
        trees: &mut Trees<K>,
        keys: &[K],
        detailed: impl Fn(&K) -> bool,
    ) -> Sample<K> {
        let since_boot = units::ticks_since_boot();
        let all = self.scan();
        let indexes: HashMap<K, usize> = keys.iter().enumerate().map(|(at, key)| (*key, at)).collect();
        let owners = trees.update(&all);
        let roots: Vec<(K, Option<Pid>)> = keys.iter().map(|key| (*key, trees.leader(*key))).collect();
        let mut members = Vec::new();
        let mut in_detail: Vec<(usize, Pid)> = Vec::new();
        let mut usages = vec![Usage::default(); keys.len()];
        let mut own = Usage::default();
        let page = units::page_size();
        for (Process { pid, .. }, owner) in all.iter().zip(&owners) {
            let Some(known) = self.known.get_mut(pid) else { continue };
            known.member = owner.is_some() || *pid == self.own_pid;
            if !known.member {
                known.file = None;
            }
            let owner = owner.and_then(|key| indexes.get(&key).copied());
            let usage = match owner {
                Some(owner) => {
                    members.push(Member { pid: *pid, owner, stat: known.stat });
                    &mut usages[owner]
                }
                None if *pid == self.own_pid => &mut own,
                None => continue,
            };
            usage.processes += 1;
            usage.threads += known.stat.threads;
            usage.rss += known.stat.pages * page;
            if let Some(owner) = owner.filter(|owner| detailed(&keys[*owner])) {
                let first = usage.processes == 1;
                add(&mut usage.open_files, open_files(*pid), first);
                in_detail.push((owner, *pid));
            }
        }
        let pids: Vec<Pid> = in_detail.iter().map(|(_, pid)| *pid).collect();
        let mut summed = HashSet::new();
        for ((owner, _), pss) in in_detail.iter().zip(process_memory::pss(&pids)) {
            add(&mut usages[*owner].pss, pss, summed.insert(*owner));
        }
        self.cpu(now, since_boot, &roots, &members, &mut usages, &mut own);
        self.host.refresh();
        let workers = keys.iter().copied().zip(usages).collect();
        Sample { workers, own, host: self.host.figures() }
    }

    /// Reads all processes.
    fn scan(&mut self) -> Vec<Process> {
        self.scan = self.scan.wrapping_add(1);
        let mut all = Vec::with_capacity(self.known.len() + 16);
        let mut open = self.known.values().filter(|known| known.file.is_some()).count();
        // Without `/proc` no process is known.
        for pid in proc::pids() {
            if let Some(stat) = self.stat(pid, &mut open) {
                all.push(Process { pid, stat });
            }
        }
        let scan = self.scan;
        self.known.retain(|_, known| known.scan == scan);
        all
    }

    fn stat(&mut self, pid: Pid, open: &mut usize) -> Option<Stat> {
        let Self { known, scan, reader, .. } = self;
        if let Some(known) = known.get_mut(&pid) {
            let skipped =
                !known.member && scan.wrapping_add(pid.unsigned_abs()) % OTHER_PROCESSES_INTERVAL != 0;
            // A file that was opened for an earlier process of this id reports that the process is gone.
            let stat = match &known.file {
                _ if skipped => Some(known.stat),
                Some(file) => reader.read_again(file).ok().and_then(proc_stat::parse),
                None => None,
            };
            if let Some(stat) = stat {
                known.stat = stat;
                known.scan = *scan;
                return Some(stat);
            }
            *open -= usize::from(known.file.take().is_some());
        }
        let file = reader.open(format_args!("/proc/{pid}/stat")).ok()?;
        let stat = proc_stat::parse(reader.read_again(&file).ok()?)?;
        let file = (*open < MAX_OPEN).then_some(file);
        *open += usize::from(file.is_some());
        match known.get_mut(&pid).filter(|known| known.stat.start == stat.start) {
            Some(known) => {
                known.stat = stat;
                known.file = file;
                known.scan = *scan;
            }
            None => {
                known.insert(pid, KnownProcess { stat, member: false, file, scan: *scan });
            }
        }
        Some(stat)
    }

    /// Computes the CPU figures, and stores the values for the next ones.
    fn cpu(
        &mut self,
        now: Instant,
        since_boot: u64,
        roots: &[(K, Option<Pid>)],
        members: &[Member],
        usages: &mut [Usage],
        own: &mut Usage,
    ) {
        let own_stat = self.known.get(&self.own_pid).map(|known| known.stat);
        let last = self.last.as_ref();
        let since_last = last.map(|last| now.saturating_duration_since(last.at));
        let max_percent = 100.0 * cpus::online() as f32;
        let percent = |ticks: u64, time: f64| {
            let time = time.max(1.0 / units::ticks_a_second() as f64);
            let percent = 100.0 * ticks as f64 / units::ticks_a_second() as f64 / time;
            (percent as f32).min(max_percent)
        };
        let age = |start: u64| since_boot.saturating_sub(start) as f64 / units::ticks_a_second() as f64;
        let ticks = ticks::used_ticks(roots.len(), members, &self.before, last.map_or(0, |last| last.ticks));
        let mut whole = vec![0; roots.len()];
        let mut start = vec![None; roots.len()];
        for Member { pid, owner, stat } in members {
            whole[*owner] += stat.own + stat.children;
            if roots[*owner].1 == Some(*pid) {
                start[*owner] = Some(stat.start);
            }
        }
        for (at, (key, leader)) in roots.iter().enumerate() {
            if usages[at].processes == 0 {
                continue;
            }
            usages[at].cpu_time = Some(time_of(whole[at]));
            // Another main process is another run of the worker, without earlier values.
            let before = last
                .and_then(|last| last.cpu.get(key))
                .filter(|(before, _)| leader.is_none() || before == leader);
            usages[at].cpu = Some(match (before, since_last) {
                (Some((_, cpu)), Some(since)) if since < MIN_INTERVAL => *cpu,
                (Some(_), Some(since)) => percent(ticks[at], since.as_secs_f64()),
                // Without a main process the time is unknown: it counts as 0.
                _ => percent(whole[at], start[at].map_or(f64::INFINITY, age)),
            });
        }
        let before = self.before.get(&self.own_pid).copied();
        own.cpu = own_stat.map(|me| match (last, since_last) {
            (Some(last), Some(since)) if since < MIN_INTERVAL => last.own,
            (Some(_), Some(since)) => {
                percent(me.own.saturating_sub(before.map_or(0, |it| it.own)), since.as_secs_f64())
            }
            _ => percent(me.own, age(me.start)),
        });
        if since_last.is_some_and(|since| since < MIN_INTERVAL) {
            return;
        }
        let cpu = roots.iter().zip(&*usages);
        let cpu = cpu.filter_map(|((key, leader), usage)| Some((*key, (*leader, usage.cpu?)))).collect();
        self.last = Some(Last { at: now, ticks: since_boot, cpu, own: own.cpu.unwrap_or(0.0) });
        self.before = members.iter().map(|member| (member.pid, member.stat.into())).collect();
        self.before.extend(own_stat.map(|me| (self.own_pid, me.into())));
    }
}

/// The time of a number of clock ticks.
fn time_of(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(1000) / units::ticks_a_second().max(1))
}

/// Adds to a sum that is unknown when one of its parts is.
fn add(sum: &mut Option<u64>, part: Option<u64>, first: bool) {
    let before = if first { Some(0) } else { *sum };
    *sum = before.zip(part).map(|(sum, part)| sum + part);
}

/// The number of open descriptors of a process. `None`: it belongs to another user.
fn open_files(pid: Pid) -> Option<u64> {
    let path = format!("/proc/{pid}/fd");
    // Since Linux 6.2, one system call returns the number.
    match fs::metadata(&path).map(|found| found.len()) {
        Ok(0) => fs::read_dir(&path).ok().map(|entries| entries.count() as u64),
        Ok(count) => Some(count),
        Err(_) => None,
    }
}
