//! Look-ups of files with a time limit, because a file system may not respond.
//!
//! Each look-up runs on a helper thread. A call that does not return keeps its thread. Until it returns, the same
//! look-up is not started again: a look-up that repeats every minute blocks one thread at most.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{mount_points::MountPoints, signals};

/// The time limit of all look-ups of one caller, beyond [`MIN_WAIT`] each.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// The guaranteed time of each look-up: far more than a file system that responds needs.
const MIN_WAIT: Duration = Duration::from_millis(20);
/// The maximum number of pending look-ups of one mount.
const MAX_PENDING_OF_MOUNT: usize = 16;
/// The maximum number of pending look-ups of all mounts.
const MAX_PENDING: usize = 128;
/// The stack size of a thread in bytes. The files that it parses may be nested deeply.
const STACK_SIZE: usize = 8 << 20;

/// The paths of look-ups that have not returned.
static PENDING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

type Work = Box<dyn FnOnce() + Send>;

/// The look-ups of one caller, with a common time limit.
#[derive(Debug)]
pub struct Lookups {
    thread: Option<Sender<Work>>,
    time_left: Duration,
}

impl Default for Lookups {
    fn default() -> Self {
        Self { thread: None, time_left: MAX_WAIT }
    }
}

impl Lookups {
    /// Runs `work`, a look-up that is identified by `path`. `None`: the file system does not respond in time, or a
    /// look-up of the same path is still pending.
    pub fn run<T: Send + 'static>(
        &mut self,
        path: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let pending = PendingLookup::new(path)?;
        let (send, receive) = sync_channel(1);
        let mut work: Work = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            drop(pending);
            // The caller may have stopped waiting. A panic has been reported already.
            if let Ok(result) = result {
                let _ = send.send(result);
            }
        });
        let begin = now();
        let thread = self.thread.take().or_else(thread);
        match thread {
            Some(thread) => match thread.send(work) {
                Ok(()) => self.thread = Some(thread),
                Err(back) => {
                    work = back.0;
                    work();
                }
            },
            // Without a thread the look-up runs on the calling thread.
            None => work(),
        }
        let result = receive.recv_timeout(self.time_left.max(MIN_WAIT));
        // Late responses count too: many slow look-ups delay as much as one that never returns.
        let waited = now().saturating_duration_since(begin);
        self.time_left = self.time_left.saturating_sub(waited.saturating_sub(MIN_WAIT));
        if matches!(result, Err(RecvTimeoutError::Timeout)) {
            self.thread = None;
        }
        result.ok()
    }
}

/// Starts a thread that ends when its caller has dropped the sender.
fn thread() -> Option<Sender<Work>> {
    let (sender, receiver) = channel::<Work>();
    let look_up = move || {
        // Signals are handled by other threads.
        signals::block_all();
        for work in receiver {
            work();
        }
    };
    thread::Builder::new().name("lookup".into()).stack_size(STACK_SIZE).spawn(look_up).ok()?;
    Some(sender)
}

/// A look-up that has not returned.
struct PendingLookup(PathBuf);

impl PendingLookup {
    fn new(path: &Path) -> Option<Self> {
        // The mounts matter only when many look-ups are pending.
        let mounts = (lock().len() >= MAX_PENDING_OF_MOUNT).then(MountPoints::read);
        let mut all = lock();
        let may_begin = mounts.is_none_or(|mounts| has_room(&all, path, &mounts));
        let is_new = may_begin && all.insert(path.to_owned());
        is_new.then(|| Self(path.to_owned()))
    }
}

/// Whether another look-up may be started. Pending look-ups of one mount leave threads for other mounts.
fn has_room(all: &BTreeSet<PathBuf>, path: &Path, mounts: &MountPoints) -> bool {
    let mount = mounts.of(path);
    let of_mount = all.iter().filter(|other| mounts.of(other) == mount).count();
    of_mount < MAX_PENDING_OF_MOUNT && all.len() < MAX_PENDING
}

impl Drop for PendingLookup {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

fn lock() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "it bounds a wait in the kernel and no decision depends on it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_pending_lookup_delays_no_other_one_and_is_not_started_again() {
        let mut lookups = Lookups { time_left: Duration::from_millis(1), ..Lookups::default() };
        let (release, hang) = channel::<()>();
        let (hung, fine) = (Path::new("/a test/hung"), Path::new("/a test/fine"));
        assert_eq!(lookups.run(hung, move || hang.recv().is_ok()), None);
        let answer = |lookups: &mut Lookups, path| {
            lookups.time_left = Duration::from_secs(60);
            lookups.run(path, || 1)
        };
        assert_eq!(answer(&mut lookups, fine), Some(1));
        assert_eq!(answer(&mut lookups, hung), None, "the first one has not returned");
        drop(release);
        while lock().contains(hung) {
            thread::yield_now();
        }
        assert_eq!(answer(&mut lookups, hung), Some(1));
    }

    #[test]
    fn pending_lookups_of_a_mount_leave_threads_for_another_mount() {
        // `/proc` is a mount of its own, and `/a test` is on another one.
        let (hung, mounts) = (Path::new("/proc"), MountPoints::read());
        let hang = |count: usize| -> BTreeSet<PathBuf> {
            (0..count).map(|number| hung.join(number.to_string())).collect()
        };
        let (another, fine) = (hung.join("another"), Path::new("/a test/fine"));
        assert!(has_room(&hang(MAX_PENDING_OF_MOUNT - 1), &another, &mounts));
        assert!(!has_room(&hang(MAX_PENDING_OF_MOUNT), &another, &mounts));
        assert!(has_room(&hang(MAX_PENDING_OF_MOUNT), fine, &mounts));
        assert!(!has_room(&hang(MAX_PENDING), fine, &mounts), "the number of threads is limited");
    }

    #[test]
    fn a_late_lookup_reduces_the_time_of_the_others() {
        let (all, late) = (Duration::from_secs(60), Duration::from_millis(50));
        let mut lookups = Lookups { time_left: all, ..Lookups::default() };
        let path = Path::new("/a test/slow");
        let (_nothing, never) = channel::<()>();
        assert_eq!(lookups.run(path, move || never.recv_timeout(late).is_err()), Some(true));
        assert!(lookups.time_left + late <= all + MIN_WAIT, "{:?}", lookups.time_left);
        lookups.time_left = all;
        lookups.run(path, || ());
        assert!(lookups.time_left <= all, "a quick one takes nothing");
    }
}
