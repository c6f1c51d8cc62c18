//! The files of closed sockets. Helper threads remove them, because a file system may not answer.

use std::{mem::ManuallyDrop, sync::Arc};

use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::Instant,
};

use super::{
    helper_threads::HelperThreads,
    job_queues::Purpose,
    listen_sockets::{self, Socket},
};
use crate::sys::sockets::SocketFile;

/// The files that are being removed.
#[derive(Debug, Default)]
pub(super) struct ClosedSockets(Vec<oneshot::Receiver<()>>);

impl ClosedSockets {
    /// Closes sockets that are not used any more, and has their files and these files removed.
    pub(super) fn close(
        &mut self,
        mut sockets: Vec<Arc<Socket>>,
        files: Vec<SocketFile>,
        helpers: &HelperThreads,
    ) {
        sockets.retain(|socket| socket.has_file());
        if sockets.is_empty() && files.is_empty() {
            return;
        }
        // Without a thread for it they stay: the next sockets replace them.
        let files = ManuallyDrop::new(files);
        let close = move || {
            listen_sockets::close(sockets);
            drop(ManuallyDrop::into_inner(files));
        };
        self.0.retain_mut(|removal| removal.try_recv() == Err(TryRecvError::Empty));
        self.0.extend(helpers.request_for(Purpose::File, close));
    }

    /// Waits until all files are removed, up to a time limit.
    pub(super) async fn finish(&mut self, helpers: &HelperThreads, until: Instant) {
        for mut removed in std::mem::take(&mut self.0) {
            helpers.receive(&mut removed, until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::{supervisor::job_queues::Job, sys::sockets};

    #[tokio::test]
    async fn without_a_thread_for_them_files_stay_and_nothing_is_waited_for() {
        let helpers = HelperThreads::default();
        let (release, hang) = mpsc::channel::<()>();
        let hanging = move || {
            let _ = hang.recv();
        };
        helpers.submit(Job::new(Purpose::File, hanging)).unwrap();
        // Until the queue is full.
        while helpers.submit(Job::new(Purpose::File, || ())).is_ok() {}
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (_socket, file) = sockets::unix(&path, sockets::FileMode::Exactly(0o600), 1, None).unwrap();
        let mut closed = ClosedSockets::default();
        closed.close(Vec::new(), vec![file], &helpers);
        assert!(closed.0.is_empty());
        drop(release);
        helpers.finish(Purpose::File, Instant::now() + Duration::from_secs(60)).await;
        assert!(path.exists(), "the next socket replaces it");
    }
}
