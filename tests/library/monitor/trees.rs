//! Real trees: busy ones, idle ones, such that come and go.

#![expect(clippy::cast_precision_loss, reason = "a few thousand ticks")]

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use procrun::{
    monitor::{Sampler, TreeMemory, Usage},
    sys::tree::{Root, RunMark, Trees},
};

use crate::support::{now, procfs, wait_until, wait_until_within};

/// A shell in its own session; its tree is ended when it is dropped.
struct Worker(Child);

#[expect(clippy::disallowed_methods, reason = "a test starts a process of its own, and waits for it")]
fn start(script: &str) -> Worker {
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let worker = Worker(command.spawn().unwrap());
    let pid = worker.pid();
    wait_until("the session", || procfs::process(pid).is_some_and(|process| process.session == pid));
    worker
}

impl Worker {
    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    fn root(&self) -> Root {
        Root::of_leader(self.pid())
    }

    fn tree(&self) -> Vec<i32> {
        let pid = self.pid();
        procfs::all()
            .into_iter()
            .filter(|process| process.session == pid)
            .map(|process| process.pid)
            .collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for pid in self.tree() {
            let _ = procrun::sys::process::signal(pid, 9);
        }
        let _ = self.0.wait();
    }
}

/// User and system time in ticks: its own, and what its ended children used.
fn ticks(pid: i32) -> [u64; 2] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let sum = |at: usize| fields[at].parse::<u64>().unwrap() + fields[at + 1].parse::<u64>().unwrap();
    [sum(11), sum(13)]
}

const LONG: Duration = Duration::from_secs(120);

fn trees(roots: &[(u32, Root)]) -> Trees<u32> {
    let mut trees = Trees::new();
    for (key, root) in roots {
        trees.insert(*key, root.clone());
    }
    trees
}

fn sample(sampler: &mut Sampler<u32>, roots: &[(u32, Root)]) -> Vec<Usage> {
    sample_at(now(), sampler, roots)
}

fn sample_at(at: Instant, sampler: &mut Sampler<u32>, roots: &[(u32, Root)]) -> Vec<Usage> {
    let keys: Vec<u32> = roots.iter().map(|(key, _)| *key).collect();
    let sample = sampler.sample(at, &mut trees(roots), &keys, |_| true);
    assert!(sample.workers.iter().map(|(key, _)| *key).eq(keys));
    sample.workers.into_iter().map(|(_, usage)| usage).collect()
}

/// The ticks of processes around a sample: read before it and after it, with the times of these readings.
type Around = [(u64, Instant); 2];

/// Takes a sample between two readings of `used`.
fn sample_around(
    sampler: &mut Sampler<u32>,
    roots: &[(u32, Root)],
    used: impl Fn() -> u64,
) -> (Vec<Usage>, Around) {
    let before_it = (used(), now());
    let usages = sample(sampler, roots);
    // The clock comes first: more ticks may pass after it, never fewer.
    let at = now();
    (usages, [before_it, (used(), at)])
}

/// Compares a CPU figure with the readings around the two samples that it is made from. However long the machine
/// pauses between two of them, the figure is within these bounds. `unsure` are ticks that may be in one of the
/// two only.
#[track_caller]
fn agrees(usage: Usage, from: Around, to: Around, unsure: u64) {
    let fewest = to[0].0.saturating_sub(from[1].0 + unsure);
    let least = fewest as f32 / to[1].1.duration_since(from[0].1).as_secs_f32();
    let most = (to[1].0 + unsure - from[0].0) as f32 / to[0].1.duration_since(from[1].1).as_secs_f32();
    let cpu = usage.cpu.unwrap();
    // A tick is a percent of a second, and procrun rounds the ticks of each process.
    assert!((least - 3.0..=most + 3.0).contains(&cpu), "{cpu}, but it is from {least} to {most}");
}

#[test]
fn a_busy_worker_shows_what_it_uses() {
    let worker = start("while :; do :; done");
    let roots = [(0, worker.root())];
    let mut sampler = Sampler::new();
    wait_until_within("its first half second", LONG, || ticks(worker.pid())[0] >= 50);
    let used = || ticks(worker.pid())[0];
    let (usages, from) = sample_around(&mut sampler, &roots, used);
    let first = usages[0];
    assert!(first.cpu.unwrap() > 1.0, "since its start: {first:?}");
    assert_eq!((first.processes, first.threads), (1, 1));
    assert!(first.rss > 100_000 && first.pss.unwrap() <= first.rss && first.open_files.unwrap() >= 3);
    wait_until_within("another second of CPU", LONG, || used() >= from[1].0 + 100);
    let (usages, to) = sample_around(&mut sampler, &roots, used);
    agrees(usages[0], from, to, 0);
    let again = sample_at(to[0].1, &mut sampler, &roots)[0];
    assert_eq!(again.cpu, usages[0].cpu, "too soon for another figure");
}

#[test]
fn a_tree_is_the_sum_of_its_processes() {
    let busy = start("sh -c 'while :; do :; done' & sh -c '(while :; do :; done) & wait' & wait");
    let idle = start("exec sleep 1000");
    let roots = [(7, idle.root()), (8, busy.root())];
    wait_until("four processes", || busy.tree().len() == 4);
    let mut sampler = Sampler::new();
    let used = || busy.tree().into_iter().map(|pid| ticks(pid)[0]).sum::<u64>();
    let (_, from) = sample_around(&mut sampler, &roots, used);
    wait_until_within("two seconds of CPU", LONG, || used() >= from[1].0 + 200);
    let (usages, to) = sample_around(&mut sampler, &roots, used);
    agrees(usages[1], from, to, 0);
    assert_eq!((usages[0].processes, usages[1].processes), (1, 4));
    assert!(usages[0].cpu.unwrap() < 2.0, "{:?}", usages[0]);
    assert!(usages[1].rss > 3 * usages[0].rss / 2, "{usages:?}");
    assert!(usages[1].pss.unwrap() < usages[1].rss, "they share the shell: {usages:?}");
}

#[test]
fn children_that_come_and_go_are_counted_once() {
    let worker = start("while :; do (i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done); done");
    let roots = [(0, worker.root())];
    let mut sampler = Sampler::new();
    let used = || ticks(worker.pid()).iter().sum::<u64>();
    wait_until_within("the first child to be over", LONG, || ticks(worker.pid())[1] > 0);
    let (_, mut from) = sample_around(&mut sampler, &roots, used);
    for _ in 0..3 {
        wait_until_within("a second of CPU", LONG, || used() >= from[1].0 + 100);
        let (usages, to) = sample_around(&mut sampler, &roots, used);
        // A child that is running is in one of the two figures only: half a second of one at most.
        agrees(usages[0], from, to, 50);
        from = to;
    }
}

#[test]
fn an_inherited_mark_finds_an_orphan_that_has_left_its_session() {
    // Orphans are children of this process from now on, as they are procrun's.
    procrun::sys::process::become_subreaper().unwrap();
    let token = u64::from(std::process::id()) << 34;
    let mark = |number| RunMark::of_run("PROCRUN_TEST_RUN", token, number);
    let sleeps = |seconds: u32| {
        move || {
            let line = format!("sleep\0{seconds}\0");
            let children = procfs::children(i32::try_from(std::process::id()).unwrap());
            children.into_iter().map(|child| child.pid).find(|pid| {
                fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == line.as_bytes())
            })
        }
    };
    let worker = start(&format!("env {} setsid -f sleep 1001; exec sleep 1000", mark(1).entry));
    let limited =
        start(&format!("prlimit --locks={}: env -i setsid -f sleep 1002; exec sleep 1000", mark(2).limit));
    let by_entry = || sleeps(1001)();
    let by_limit = || sleeps(1002)();
    wait_until("both in sessions of their own", || by_entry().is_some() && by_limit().is_some());
    let orphans = [by_entry().unwrap(), by_limit().unwrap()];
    let root = |number| Root { leader: None, session: None, ..Root::marked(0, mark(number)) };
    let roots = [(1, root(1)), (2, root(2)), (3, root(3))];
    let mut sampler = Sampler::new();
    let found: Vec<u32> = sample(&mut sampler, &roots).iter().map(|usage| usage.processes).collect();
    for orphan in orphans {
        let _ = procrun::sys::process::signal(orphan, 9);
    }
    assert_eq!(found, [1, 1, 0]);
    for orphan in orphans {
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(orphan), None).unwrap();
    }
    drop((worker, limited));
    wait_until("nothing to be left", || sample(&mut sampler, &roots).iter().all(|it| it.processes == 0));
}

/// Has 300 threads, one of which starts a program; then it makes a file.
const THREADS: &str = "
import subprocess, sys, threading
threading.stack_size(65536)
end = threading.Event()
threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(299)]
threads.append(threading.Thread(target=lambda: (subprocess.Popen(['sleep', '1000']), open(sys.argv[1], 'w'), end.wait()), daemon=True))
for thread in threads: thread.start()
end.wait()
";

#[test]
fn the_child_of_one_of_many_threads_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (ready, script) = (dir.path().join("ready"), dir.path().join("threads.py"));
    fs::write(&script, THREADS).unwrap();
    let many = start(&format!("exec python3 {} {}", script.display(), ready.display()));
    let few = start("sleep 1000 & wait");
    wait_until("their children", || ready.exists() && [&many, &few].iter().all(|it| it.tree().len() == 2));
    let mut trees = trees(&[(0, many.root()), (1, few.root())]);
    for (key, threads) in [(0, 301), (1, 1)] {
        trees.refresh_some(&[key]);
        let mut found: Vec<u32> = trees.members(key).map(|member| member.stat.threads).collect();
        found.sort_unstable();
        assert_eq!(found, [1, threads]);
    }
}

#[test]
fn a_worker_that_started_after_the_last_look_is_measured_from_its_start() {
    let mut sampler = Sampler::new();
    sampler.sample(now(), &mut trees(&[]), &[], |_: &u32| false);
    let worker = start("while :; do :; done");
    wait_until_within("half a second of CPU", LONG, || ticks(worker.pid())[0] >= 50);
    let mut at = |time, key| {
        let mut trees = trees(&[(key, worker.root())]);
        sampler.sample(time, &mut trees, &[key], |_| false).workers[0].1.cpu.unwrap()
    };
    // As if the last look was hours ago.
    let later = now() + Duration::from_secs(7200);
    let cpu = at(later, 0);
    assert!(cpu > 1.0, "{cpu}");
    // This one was never requested before, although it existed.
    let cpu = at(later + Duration::from_secs(7200), 1);
    assert!(cpu > 1.0, "{cpu}");
    let cpu = at(later + Duration::from_secs(14400), 1);
    assert!(cpu < 1.0, "{cpu}: next to nothing in these two hours");
}

#[test]
fn procrun_itself_and_the_machine_have_figures_too() {
    let mut sampler = Sampler::new();
    let sample = sampler.sample(now(), &mut trees(&[]), &[], |_: &u32| true);
    assert_eq!(sample.own.processes, 1);
    assert!(sample.own.rss > 1 << 20 && sample.own.threads >= 1, "{:?}", sample.own);
    assert!(sample.own.cpu.is_some_and(|cpu| cpu >= 0.0));
    let host = sample.host;
    assert!(host.cpus >= 1 && host.memory > host.available && host.available > 0, "{host:?}");
}

/// Has 64 MiB, and three children that share them; then it makes a file.
const SHARING: &str = "
import os, sys, time
memory = bytearray(os.urandom(1 << 20)) * 64
if all(os.fork() for _ in range(3)):
    open(sys.argv[1], 'w')
time.sleep(1000)
";

#[test]
fn what_a_tree_shares_counts_once_in_its_pss() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let script = dir.path().join("sharing.py");
    fs::write(&script, SHARING).unwrap();
    let worker = start(&format!("exec python3 {} {}", script.display(), ready.display()));
    let other = start("exec sleep 1000");
    wait_until("its children", || ready.exists() && worker.tree().len() == 4);
    let (mut trees, mut memory) = (trees(&[(0, worker.root()), (1, other.root())]), TreeMemory::new());
    assert!(memory.keep(&[0, 1]) && !memory.keep(&[0, 1]) && memory.is_search_due());
    let mut found = memory.search(&mut trees);
    found.sort_unstable();
    assert_eq!(found, [0, 1]);
    let ((sum, count), pss) = (memory.rss(0), memory.pss(0).unwrap());
    assert_eq!(count, 4);
    assert!(sum > 256 << 20, "each has all of it: {sum}");
    assert!((64 << 20..128 << 20).contains(&pss), "{pss} of {sum}");
    let expected = sample(&mut Sampler::new(), &[(0, worker.root())])[0].rss;
    assert!(sum.abs_diff(expected) < 8 << 20, "as the other one sees it: {sum} and {expected}");
    assert!(memory.rss(1).0 < 16 << 20);
}

#[test]
fn children_that_come_and_go_are_found_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (more, one) = (dir.path().join("more"), "sleep 1000");
    let script =
        format!("while [ ! -e {} ]; do sleep 0.05; done; {one} & setsid {one} & wait", more.display());
    let worker = start(&script);
    let (mut trees, mut memory) = (trees(&[(5, worker.root())]), TreeMemory::new());
    memory.keep(&[5]);
    memory.search(&mut trees);
    assert!(memory.rss(5).1 >= 1);
    fs::write(&more, "").unwrap();
    let sleeps = || {
        let mut all = procfs::children(worker.pid());
        all.retain(|it| {
            fs::read(format!("/proc/{}/cmdline", it.pid)).is_ok_and(|line| line == b"sleep\x001000\0")
        });
        all
    };
    wait_until("two of them", || sleeps().len() == 2);
    memory.search(&mut trees);
    assert_eq!(memory.rss(5).1, 3, "also the one in a session of its own");
    for it in sleeps() {
        let _ = procrun::sys::process::signal(it.pid, 9);
    }
    // Who has ended is there until its parent has looked.
    wait_until("they are gone", || {
        memory.search(&mut trees);
        memory.rss(5).1 <= 1
    });
    memory.keep(&[]);
    assert_eq!((memory.rss(5), memory.pss(5)), ((0, 0), None));
}
