//! Look-ups of files with a time limit: their file system may never answer.
//!
//! Each look-up is done by a thread beside the caller's. A call that does not return keeps its thread, and as
//! long as it does, the same look-up is not begun again: one that is repeated every minute costs one thread.

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

/// How long all look-ups of one caller may take, beyond [`MIN_WAIT`] each.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How long each of them may take in any case: far longer than a healthy file system takes.
const MIN_WAIT: Duration = Duration::from_millis(20);
/// The most look-ups of one mount that have not returned.
const MAX_HANGING_OF_MOUNT: usize = 16;
/// The most of all mounts.
const MAX_HANGING: usize = 128;
/// Files that are read there may be nested deeply.
const STACK: usize = 8 << 20;

/// What has not returned, by the path that was looked up.
static UNDER_WAY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

type Work = Box<dyn FnOnce() + Send>;

/// The look-ups of one caller. They have one time limit together.
#[derive(Debug)]
pub struct Lookups {
    thread: Option<Sender<Work>>,
    left: Duration,
}

impl Default for Lookups {
    fn default() -> Self {
        Self { thread: None, left: MAX_WAIT }
    }
}

impl Lookups {
    /// Looks something up at `path`, which names it. `None`: the file system does not answer in time, or has not
    /// answered an earlier look-up yet.
    pub fn run<T: Send + 'static>(
        &mut self,
        path: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let under_way = UnderWay::new(path)?;
        let (send, receive) = sync_channel(1);
        let mut work: Work = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            drop(under_way);
            // The caller may have gone on without it. A panic has been reported.
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
            // Better here than not at all.
            None => work(),
        }
        let result = receive.recv_timeout(self.left.max(MIN_WAIT));
        // Also of one that was answered late: many slow ones take as long as one that hangs.
        let waited = now().saturating_duration_since(begin);
        self.left = self.left.saturating_sub(waited.saturating_sub(MIN_WAIT));
        if matches!(result, Err(RecvTimeoutError::Timeout)) {
            self.thread = None;
        }
        result.ok()
    }
}

/// A thread that ends with its last look-up when its caller has gone.
fn thread() -> Option<Sender<Work>> {
    let (sender, receiver) = channel::<Work>();
    let look_up = move || {
        // They are for other threads.
        signals::block_all();
        for work in receiver {
            work();
        }
    };
    thread::Builder::new().name("lookup".into()).stack_size(STACK).spawn(look_up).ok()?;
    Some(sender)
}

/// A look-up that has not returned.
struct UnderWay(PathBuf);

impl UnderWay {
    fn new(path: &Path) -> Option<Self> {
        // Only then a look-up need know about mounts.
        let mounts = (lock().len() >= MAX_HANGING_OF_MOUNT).then(MountPoints::read);
        let mut all = lock();
        let may_begin = mounts.is_none_or(|mounts| has_room(&all, path, &mounts));
        let is_new = may_begin && all.insert(path.to_owned());
        is_new.then(|| Self(path.to_owned()))
    }
}

/// Whether a further look-up may hang: those of a mount that does not answer leave threads for other mounts.
fn has_room(all: &BTreeSet<PathBuf>, path: &Path, mounts: &MountPoints) -> bool {
    let mount = mounts.of(path);
    let of_mount = all.iter().filter(|other| mounts.of(other) == mount).count();
    of_mount < MAX_HANGING_OF_MOUNT && all.len() < MAX_HANGING
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

fn lock() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_lookup_that_hangs_costs_no_other_one_and_is_not_begun_again() {
        let mut lookups = Lookups { left: Duration::from_millis(1), ..Lookups::default() };
        let (release, hang) = channel::<()>();
        let (hung, fine) = (Path::new("/a test/hung"), Path::new("/a test/fine"));
        assert_eq!(lookups.run(hung, move || hang.recv().is_ok()), None);
        let answer = |lookups: &mut Lookups, path| {
            lookups.left = Duration::from_secs(60);
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
    fn lookups_of_a_mount_that_hang_leave_room_for_another_mount() {
        // The kernel has it everywhere, and `/a test` is on another mount.
        let (hung, mounts) = (Path::new("/proc"), MountPoints::read());
        let hang = |count: usize| -> BTreeSet<PathBuf> {
            (0..count).map(|number| hung.join(number.to_string())).collect()
        };
        let (another, fine) = (hung.join("another"), Path::new("/a test/fine"));
        assert!(has_room(&hang(MAX_HANGING_OF_MOUNT - 1), &another, &mounts));
        assert!(!has_room(&hang(MAX_HANGING_OF_MOUNT), &another, &mounts));
        assert!(has_room(&hang(MAX_HANGING_OF_MOUNT), fine, &mounts));
        assert!(!has_room(&hang(MAX_HANGING), fine, &mounts), "the number of threads has an end");
    }

    #[test]
    fn a_lookup_that_is_answered_late_takes_from_the_time_of_the_others() {
        let (all, late) = (Duration::from_secs(60), Duration::from_millis(50));
        let mut lookups = Lookups { left: all, ..Lookups::default() };
        let path = Path::new("/a test/slow");
        let (_nothing, never) = channel::<()>();
        assert_eq!(lookups.run(path, move || never.recv_timeout(late).is_err()), Some(true));
        assert!(lookups.left + late <= all + MIN_WAIT, "{:?}", lookups.left);
        lookups.left = all;
        lookups.run(path, || ());
        assert!(lookups.left <= all, "a quick one takes nothing");
    }
}
