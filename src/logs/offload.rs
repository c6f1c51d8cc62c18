//! File operations on a separate thread, so that a file system that does not answer stops nothing else.
//!
//! The pump waits for each operation, which keeps lines and reports in their order. An operation that takes too
//! long keeps its thread, and the pump continues with another one. At most [`MAX_STUCK`] threads hang.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    thread,
    time::Duration,
};

/// Time that the pump waits for an operation.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same while another operation hangs: one dead mount may hold many files.
const LESS_PATIENCE: Duration = Duration::from_millis(500);
/// Maximum number of hanging operations; beyond it no further operation is tried.
const MAX_STUCK: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// The thread, and the hanging ones before it.
#[derive(Debug, Default)]
pub(super) struct Offload {
    idle: Option<Sender<Job>>,
    /// Each receives a message when its thread returns.
    stuck: Vec<Receiver<()>>,
}

/// An operation that did not return in time.
#[derive(Debug)]
pub(super) enum Late<T> {
    /// Receives the result if the operation ever returns.
    Pending(Receiver<T>),
    /// It was not tried: no thread is left.
    Untried,
}

impl Offload {
    /// Runs the operation on the other thread.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Late<T>> {
        // A thread that has returned has sent its message or dropped its sender.
        self.stuck.retain(|back| matches!(back.try_recv(), Err(TryRecvError::Empty)));
        if self.stuck.len() >= MAX_STUCK {
            return Err(Late::Untried);
        }
        let thread = match self.idle.take() {
            Some(thread) => thread,
            None => match start() {
                Ok(thread) => thread,
                // Without another thread, this one must do it.
                Err(_) => return Ok(operation()),
            },
        };
        let ((result, wait), (back, is_back)) = (channel(), channel());
        let job = Box::new(move || {
            // The waiter may have given up: the result is dropped here, with what it holds.
            let _ = result.send(operation());
            let _ = back.send(());
        });
        if thread.send(job).is_err() {
            return Err(Late::Untried);
        }
        let patience = if self.stuck.is_empty() { PATIENCE } else { LESS_PATIENCE };
        match wait.recv_timeout(patience) {
            Ok(value) => {
                self.idle = Some(thread);
                Ok(value)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.stuck.push(is_back);
                Err(Late::Pending(wait))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Late::Pending(wait)),
        }
    }
}

fn start() -> io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let run = move || {
        for job in jobs {
            job();
        }
    };
    thread::Builder::new().name("log-files".into()).spawn(run)?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_back_keeps_its_thread_and_nothing_else() {
        let mut offload = Offload::default();
        assert_eq!(offload.run(|| 1).unwrap(), 1);
        let (release, wait) = channel::<()>();
        let Err(Late::Pending(late)) = offload.run(move || wait.recv()) else { panic!("it cannot be done") };
        assert_eq!(offload.run(|| 2).unwrap(), 2);
        release.send(()).unwrap();
        assert_eq!(late.recv().unwrap(), Ok(()));
        assert_eq!(offload.run(|| 3).unwrap(), 3);
    }
}
