//! A look-up of files for a client, on a helper thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::helper_threads::HelperThreads;

/// At most one look-up at a time. While one does not return, the next ones fail at once: a client with a
/// request every second neither makes the supervisor wait again nor takes another thread.
#[derive(Debug, Default)]
pub(super) struct SingleLookup {
    is_under_way: Arc<AtomicBool>,
}

impl SingleLookup {
    /// As [`HelperThreads::wait_for`], and `None` at once if an earlier look-up has not returned.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        helpers: &HelperThreads,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_under_way.swap(true, Ordering::AcqRel) {
            return None;
        }
        let under_way = UnderWay(Arc::clone(&self.is_under_way));
        helpers.wait_for(move || {
            let _under_way = under_way;
            work()
        })
    }
}

/// Ends with the look-up, also if that panics or never begins.
struct UnderWay(Arc<AtomicBool>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn behind_a_lookup_that_hangs_no_other_one_begins_until_it_returns() {
        let (helpers, lookup) = (HelperThreads::default(), SingleLookup::default());
        let (release, hang) = mpsc::channel::<()>();
        assert_eq!(lookup.wait_for(&helpers, move || hang.recv().is_ok()), None);
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        assert_eq!(lookup.wait_for(&helpers, move || begins.store(true, Ordering::Release)), None);
        drop(release);
        while lookup.wait_for(&helpers, || 1) != Some(1) {
            std::thread::yield_now();
        }
        assert!(!begun.load(Ordering::Acquire), "it was not queued");
    }
}
