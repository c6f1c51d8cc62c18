//! What one look at 100 idle workers costs: `cargo bench --bench monitor`.
//!
//! Prints the CPU time of this process for a look, which at one look a second is the share of one core,
//! beside what sysinfo needs to read the same processes.

use std::{
    io::{self, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use procrun::{
    monitor::{Room, Sampler, Trees},
    sys::tree::Root,
};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

const WORKERS: u32 = 100;
const LOOKS: u32 = 500;

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has it").into()
}

/// The CPU time of one of many looks.
fn cost(mut look: impl FnMut()) -> Duration {
    // What the first one sets up is not what is measured.
    look();
    let begin = cpu();
    (0..LOOKS).for_each(|_| look());
    cpu().saturating_sub(begin) / LOOKS
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark starts its workers, ends them and reads the clock"
)]
fn main() -> io::Result<()> {
    let start = |_| Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn();
    let mut workers: Vec<Child> = (0..WORKERS).map(start).collect::<io::Result<_>>()?;
    let root =
        |worker: &Child| Root { leader: i32::try_from(worker.id()).ok(), marker: Some("A=B".to_owned()) };
    let roots: Vec<(u32, Root)> = workers.iter().map(|worker| (worker.id(), root(worker))).collect();
    let mut sampler = Sampler::new();
    let ours = cost(|| drop(sampler.sample(Instant::now(), &roots, |_| false)));
    let detailed = cost(|| drop(sampler.sample(Instant::now(), &roots, |_| true)));
    let keys: Vec<u32> = workers.iter().map(Child::id).collect();
    let root_of = |key| roots.iter().find(|(other, _)| *other == key).map(|(_, root)| root.clone());
    let mut trees = Trees::new();
    trees.keep(&keys, root_of);
    trees.search();
    let limited = cost(|| keys.iter().for_each(|key| _ = trees.rss(*key)));
    let mut unknown = Trees::new();
    let search = cost(|| {
        unknown.keep(&[], root_of);
        unknown.keep(&keys[..1], root_of);
        unknown.search();
    });
    let rest = cost(|| drop(trees.search()));
    let room = Room::find();
    let around = cost(|| {
        room.tightest(|limit| limit / 100 * 95);
        room.oom_kills();
    });
    let mut system = System::new().map_err(io::Error::other)?;
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    let theirs = cost(|| {
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    });
    for worker in &mut workers {
        worker.kill()?;
        worker.wait()?;
    }
    let mut out = io::stdout();
    let strangers = std::fs::read_dir("/proc")?
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    writeln!(out, "{WORKERS} idle workers and {} strangers", strangers.count())?;
    for (what, time) in [
        ("a look", ours),
        ("a look with PSS and open files", detailed),
        ("memory of those with a limit", limited),
        ("a search for new processes, all unknown", search),
        ("a search for new processes, no new one", rest),
        ("what the container has left", around),
        ("sysinfo, for comparison", theirs),
    ] {
        let share = 100.0 * time.as_secs_f64();
        writeln!(out, "{what}: {time:?} of CPU, {share:.3}% of one core at one look a second")?;
    }
    Ok(())
}
