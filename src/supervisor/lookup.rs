//! A look-up of files on a helper thread, one at a time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;

use super::helper_threads::HelperThreads;

/// At most one look-up at a time. While one hangs, the next ones fail at once: a client that requests every second
/// occupies no further thread.
#[derive(Debug, Default)]
pub(super) struct SingleLookup {
    is_under_way: Arc<AtomicBool>,
}

impl SingleLookup {
    /// As [`HelperThreads::request`]; `None` if an earlier look-up has not returned or there is no thread.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        helpers: &HelperThreads,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<oneshot::Receiver<T>> {
        if self.is_under_way.swap(true, Ordering::AcqRel) {
            return None;
        }
        let under_way = UnderWay(Arc::clone(&self.is_under_way));
        let answer = helpers.request(move || {
            let result = work();
            drop(under_way);
            result
        });
        answer.ok()
    }
}

/// Ends with the look-up, even if that panics or never begins.
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

    #[tokio::test]
    async fn behind_a_lookup_that_hangs_no_other_one_begins_until_it_returns() {
        let (helpers, lookup) = (HelperThreads::default(), SingleLookup::default());
        let (release, hang) = mpsc::channel::<()>();
        let hung = lookup.begin(&helpers, move || hang.recv().is_ok()).unwrap();
        assert!(lookup.begin(&helpers, || ()).is_none());
        drop(release);
        assert_eq!(hung.await, Ok(false));
        let next = lookup.begin(&helpers, || 1).expect("the last one has returned");
        assert_eq!(next.await, Ok(1));
    }
}
