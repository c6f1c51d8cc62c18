//! Samples the memory of workers with a limit, and what the container has left.
//!
//! There is no timer while neither a running worker nor the container has a limit. A sample reports an exceeded
//! limit; the machine decides what to do. OOM kills are detected here, too.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::{clock, workers::Workers};
use crate::{
    machine::{Ending, Input, Machine, MemoryShortage, Run},
    monitor::{Charge, ContainerMemory, TreeMemory, machine_memory},
    spec::{ByteSize, ExitCode, MemoryLimit, OomGuard, Plan, Share, Signal},
};

/// Samples of workers begin at multiples of this, so that workers share them.
const SAMPLE_SLOT: Duration = Duration::from_millis(250);
/// The maximum number of slots between two samples of a worker: a second.
const MAX_SLOTS: u64 = 4;
/// The highest expected growth in bytes a second; faster growth is seen later.
const MAX_FILL_RATE: u64 = 256 << 20;
/// The highest expected growth of a worker, as a multiple of its growth since the last sample.
const MAX_GROWTH_FACTOR: u64 = 4;
/// The shortest and the longest interval between two samples of the container.
const CONTAINER_SAMPLE_INTERVALS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// The time of the next sample after the guard has acted.
const SAMPLE_DELAY_AFTER_ACTION: Duration = Duration::from_millis(250);
/// An earlier OOM kill does not explain an exit.
const OOM_KILL_WINDOW: Duration = Duration::from_secs(3);
/// The exit code of a shell whose command was ended by SIGKILL.
const KILLED: ExitCode = 128 + 9;

/// The sampler.
pub(super) struct Memory {
    began: Instant,
    /// Some application has a limit.
    has_limits: bool,
    guard: Option<Share>,
    room: Option<ContainerMemory>,
    /// The total of which a share is computed, and the slot in which it was read.
    whole: Option<(u64, Option<u64>)>,
    trees: TreeMemory<Run>,
    /// The runs of these trees.
    runs: Vec<Run>,
    samples: HashMap<Run, SampleState>,
    /// The slot of the last search for new processes.
    searched: u64,
    /// The time of the next sample of the container.
    container_at: Option<Instant>,
    next: Option<Instant>,
    kills: Kills,
}

/// The samples of one worker.
#[derive(Debug, Clone, Copy, Default)]
struct SampleState {
    /// The slot of the next sample.
    slot: u64,
    /// The slot of the last sample, and the bytes that were used.
    last: Option<(u64, u64)>,
    /// How much its processes share, in bytes, and the slot in which that was read.
    shared: u64,
    read: u64,
}

/// The OOM kills of the kernel.
#[derive(Debug, Default)]
struct Kills {
    /// The last value of the counter. `None`: there is no counter.
    seen: Option<u64>,
    /// OOM kills that explain no exit so far, and when the last of them was counted.
    open: u64,
    at: Option<Instant>,
}

impl Memory {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            has_limits: false,
            guard: None,
            room: None,
            whole: None,
            trees: TreeMemory::new(),
            runs: Vec::new(),
            samples: HashMap::new(),
            searched: 0,
            container_at: None,
            next: None,
            kills: Kills::default(),
        }
    }

    /// Applies the limits of this plan.
    pub(super) fn follow(&mut self, plan: &Plan) {
        let room = self.room.get_or_insert_with(ContainerMemory::find);
        self.kills.seen = self.kills.seen.or_else(|| room.oom_kills());
        let limit = room.limit();
        self.has_limits = plan.apps.iter().any(|app| app.max_memory.is_some());
        self.guard = match plan.runtime.oom_guard {
            OomGuard::At(share) if limit.is_some() => Some(share),
            OomGuard::At(_) | OomGuard::Off => None,
        };
        if let (Some(share), Some(limit)) = (self.guard, limit) {
            debug!(
                "the largest worker ends when the container has {share} of its {} of memory",
                ByteSize(limit)
            );
        }
        self.whole = None;
        self.begin();
    }

    /// A process has started or has become the settled one: there may be something to sample.
    pub(super) fn begin(&mut self) {
        let now = clock::now();
        if self.guard.is_some() {
            self.container_at = Some(self.container_at.map_or(now + CONTAINER_SAMPLE_INTERVALS[0], |at| {
                at.min(now + CONTAINER_SAMPLE_INTERVALS[0])
            }));
        }
        if self.has_limits || self.guard.is_some() {
            self.next = Some(self.next.map_or(now + CONTAINER_SAMPLE_INTERVALS[0], |at| {
                at.min(now + CONTAINER_SAMPLE_INTERVALS[0])
            }));
        }
    }

    /// The time of the next sample. `None`: there is nothing to sample.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Samples the workers that are due, and reports those that exceed their limit.
    pub(super) fn sample(&mut self, machine: &Machine, workers: &mut Workers) -> Vec<Input> {
        let now = clock::now();
        if self.next.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut inputs = Vec::new();
        let slot = self.slot(now);
        let next_slot = self.sample_workers(slot, machine, workers, &mut inputs);
        if self.container_at.is_some_and(|at| at <= now) {
            self.container_at = self.sample_container(now, machine, workers, &mut inputs);
        }
        let of_workers =
            next_slot.map(|slot| self.began + SAMPLE_SLOT * u32::try_from(slot).unwrap_or(u32::MAX));
        self.next = of_workers.into_iter().chain(self.container_at).min();
        inputs
    }

    /// The slot of a time.
    fn slot(&self, now: Instant) -> u64 {
        u64::try_from((now - self.began).as_millis() / SAMPLE_SLOT.as_millis()).unwrap_or(u64::MAX)
    }

    /// Samples the workers that are due. Returns the slot of the next one.
    fn sample_workers(
        &mut self,
        slot: u64,
        machine: &Machine,
        workers: &mut Workers,
        inputs: &mut Vec<Input>,
    ) -> Option<u64> {
        // By instance, as the machine has them.
        let limited: Vec<(Run, MemoryLimit)> = machine.memory_limited().collect();
        let runs: Vec<Run> = limited.iter().map(|(run, _)| *run).collect();
        let mut is_new = false;
        if runs != self.runs {
            is_new = self.trees.keep(&runs);
            self.samples.retain(|run, _| runs.binary_search(run).is_ok());
            self.runs = runs;
        }
        if limited.is_empty() {
            return None;
        }
        if is_new || slot >= self.searched + MAX_SLOTS {
            self.searched = slot;
            if self.trees.is_search_due() {
                for run in self.trees.search(workers.current_trees(machine)) {
                    self.samples.entry(run).or_default().slot = slot;
                }
            }
        }
        for (run, limit) in limited {
            let mut state = *self.samples.entry(run).or_default();
            if state.slot <= slot {
                if let Some(limit) = self.bytes(slot, limit) {
                    let used = self.used(slot, run, limit, &mut state);
                    if used > limit {
                        inputs.push(Input::MemoryExceeded { run, used, limit });
                    }
                    state.plan(slot, used, limit);
                } else {
                    state.slot = slot + MAX_SLOTS;
                }
                self.samples.insert(run, state);
            }
        }
        self.samples.values().map(|state| state.slot).min()
    }

    /// A limit in bytes.
    fn bytes(&mut self, slot: u64, limit: MemoryLimit) -> Option<u64> {
        match limit {
            MemoryLimit::Bytes(bytes) => Some(bytes),
            MemoryLimit::Share(share) => {
                if self.whole.is_none_or(|(read, _)| slot >= read + MAX_SLOTS) {
                    // A container's limit may change while it runs.
                    let own = self.room.as_ref().and_then(ContainerMemory::limit);
                    self.whole = Some((slot, own.into_iter().chain(machine_memory()).min()));
                }
                let (_, whole) = self.whole?;
                Some(share.of(whole?))
            }
        }
    }

    /// The memory of a run in bytes. PSS, where shared pages count once in total, is read only where it matters.
    fn used(&mut self, slot: u64, run: Run, limit: u64, state: &mut SampleState) -> u64 {
        let (sum, processes) = self.trees.rss(run);
        if sum <= limit || processes < 2 {
            return sum;
        }
        if sum.saturating_sub(state.shared) > limit || slot >= state.read + MAX_SLOTS {
            // A figure that is not available in time stays as it was.
            state.shared = self.trees.pss(run).map_or(state.shared, |pss| sum.saturating_sub(pss));
            state.read = slot;
        }
        sum.saturating_sub(state.shared)
    }

    /// Samples what the container has left. Returns the time of the next sample.
    fn sample_container(
        &mut self,
        now: Instant,
        machine: &Machine,
        workers: &mut Workers,
        inputs: &mut Vec<Input>,
    ) -> Option<Instant> {
        let (share, room) = (self.guard?, self.room.as_ref()?);
        self.kills.note(room.oom_kills(), now);
        let runs = workers.running();
        if runs.is_empty() {
            return None;
        }
        let Some(Charge { used, limit }) = room.tightest(|limit| share.of(limit)) else {
            return Some(now + CONTAINER_SAMPLE_INTERVALS[1]);
        };
        let threshold = share.of(limit);
        if used < threshold {
            let left = Duration::from_millis((threshold - used).saturating_mul(1000) / MAX_FILL_RATE);
            return Some(now + left.clamp(CONTAINER_SAMPLE_INTERVALS[0], CONTAINER_SAMPLE_INTERVALS[1]));
        }
        if machine.is_oom_guard_stopping() {
            return Some(now + SAMPLE_DELAY_AFTER_ACTION);
        }
        let mut trees = TreeMemory::new();
        trees.keep(&runs);
        trees.search(workers.current_trees(machine));
        let mut size = |run| trees.pss(run).unwrap_or_else(|| trees.rss(run).0);
        let mut sizes: Vec<(Run, u64)> = runs.iter().map(|run| (*run, size(*run))).collect();
        sizes.sort_unstable_by_key(|(run, size)| (std::cmp::Reverse(*size), *run));
        inputs.push(Input::MemoryShort { shortage: MemoryShortage { used, threshold, limit }, sizes });
        Some(now + SAMPLE_DELAY_AFTER_ACTION)
    }

    /// Changes exits that the kernel's OOM killer explains.
    pub(super) fn explain(&mut self, inputs: &mut [Input], workers: &Workers) {
        for event in inputs {
            let Input::Exited { run, ending, .. } = event else { continue };
            let exited = match ending {
                Ending::Signaled { signal: Signal::KILL, .. } if !workers.was_killed(*run) => None,
                Ending::Exited(KILLED) => Some(KILLED),
                _ => continue,
            };
            let Some(room) = &self.room else { continue };
            self.kills.note(room.oom_kills(), clock::now());
            if self.kills.take() {
                *ending = Ending::OutOfMemory { exited, limit: room.limit() };
            }
        }
    }
}

impl SampleState {
    /// Plans the next sample after one with this use.
    fn plan(&mut self, slot: u64, used: u64, limit: u64) {
        // In a slot.
        let growth = match self.last {
            Some((at, before)) => {
                MAX_GROWTH_FACTOR * (used.saturating_sub(before) / slot.saturating_sub(at).max(1))
            }
            None => MAX_FILL_RATE / 1000 * u64::try_from(SAMPLE_SLOT.as_millis()).unwrap_or(u64::MAX),
        };
        let slots = limit.saturating_sub(used).checked_div(growth).unwrap_or(MAX_SLOTS);
        self.slot = slot + slots.clamp(1, MAX_SLOTS);
        self.last = Some((slot, used));
    }
}

impl Kills {
    /// The counter of OOM kills has this value now.
    fn note(&mut self, count: Option<u64>, now: Instant) {
        let Some(count) = count else { return };
        if self.at.is_some_and(|at| now - at > OOM_KILL_WINDOW) {
            self.open = 0;
        }
        // Less than before: it is another group, as after a checkpoint was restored.
        let new = self.seen.map_or(0, |seen| count.saturating_sub(seen));
        if new > 0 {
            self.open += new;
            self.at = Some(now);
        }
        self.seen = Some(count);
    }

    /// Whether one of them explains an exit.
    fn take(&mut self) -> bool {
        let explains = self.open > 0;
        self.open = self.open.saturating_sub(1);
        explains
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_SLOTS, SampleState};

    const MIB: u64 = 1 << 20;

    /// The slots of samples of a worker with this use in each slot.
    fn slots(limit: u64, used: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut state = SampleState::default();
        let mut slots = vec![0];
        while state.slot < 40 {
            let slot = state.slot;
            state.plan(slot, used(slot), limit);
            slots.push(state.slot);
        }
        slots
    }

    #[test]
    fn a_worker_that_grows_towards_its_limit_is_sampled_in_each_slot() {
        // 50 MiB/s, and 200 in slot 16.
        let slots = slots(200 * MIB, |slot| slot * 25 * MIB / 2);
        let beyond: Vec<u64> = slots.iter().copied().filter(|slot| (14..20).contains(slot)).collect();
        assert_eq!(beyond, [14, 15, 16, 17, 18, 19]);
        assert!(slots.iter().filter(|slot| **slot < 14).count() < 12, "and less often before: {slots:?}");
    }

    #[test]
    fn a_worker_that_does_not_grow_is_sampled_each_second() {
        let slots = slots(200 * MIB, |_| 199 * MIB);
        assert!(slots[1..].windows(2).all(|two| two[1] - two[0] == MAX_SLOTS), "{slots:?}");
    }

    #[test]
    fn every_worker_is_sampled_each_second() {
        let slots = slots(1 << 50, |slot| slot % 3 * MIB);
        assert!(slots.windows(2).all(|two| (1..=MAX_SLOTS).contains(&(two[1] - two[0]))), "{slots:?}");
    }
}
