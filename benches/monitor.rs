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
    monitor::{ContainerMemory, Sampler, TreeMemory},
    sys::tree::{Root, RunMark, Trees},
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
    let keys: Vec<u32> = workers.iter().map(Child::id).collect();
    let mut trees = Trees::new();
    for key in &keys {
        let leader = i32::try_from(*key).map_err(io::Error::other)?;
        trees.insert(*key, Root::marked(leader, RunMark::of_run("A", 0, u64::from(*key))));
    }
    let mut sampler = Sampler::new();
    let ours = cost(|| drop(sampler.sample(Instant::now(), &mut trees, &keys, |_| false)));
    let detailed = cost(|| drop(sampler.sample(Instant::now(), &mut trees, &keys, |_| true)));
    let mut memory = TreeMemory::new();
    memory.keep(&keys);
    memory.search(&mut trees);
    let limited = cost(|| keys.iter().for_each(|key| _ = memory.rss(*key)));
    let search = cost(|| drop(memory.search(&mut trees)));
    let rest = cost(|| _ = memory.is_search_due());
    let room = ContainerMemory::find();
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
        ("finding all members of all trees", search),
        ("asking whether there is a new process", rest),
        ("what the container has left", around),
        ("sysinfo, for comparison", theirs),
    ] {
        let share = 100.0 * time.as_secs_f64();
        writeln!(out, "{what}: {time:?} of CPU, {share:.3}% of one core at one look a second")?;
    }
    Ok(())
}
