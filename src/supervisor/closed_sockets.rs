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
