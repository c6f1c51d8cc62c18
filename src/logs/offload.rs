//! File operations on a separate thread, so that a file system that does not answer stops nothing else.
//!
//! The pump waits for each operation, which keeps lines and reports in their order. An operation that takes too
//! long keeps its thread, and the pump continues with another one. At most [`MAX_HANGING`] threads hang.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    thread,
    time::Duration,
};

/// Time that the pump waits for an operation.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The same while another operation hangs: one hung mount may hold many files.
const SHORT_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum number of hanging operations; beyond it no further operation is tried.
const MAX_HANGING: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// The idle thread, and those that hang.
#[derive(Debug, Default)]
pub(super) struct Offload {
    idle: Option<Sender<Job>>,
    /// Each receives a message when its thread returns.
    hanging: Vec<Receiver<()>>,
}

/// An operation that did not return in time.
#[derive(Debug)]
pub(super) enum Unfinished<T> {
    /// Receives the result if the operation returns.
    Pending(Receiver<T>),
    /// The work was not tried: no thread is left.
    Untried,
}

impl Offload {
    /// Runs the operation on the other thread.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished<T>> {
        // A thread that has returned has sent its message or dropped its sender.
        self.hanging.retain(|ended| matches!(ended.try_recv(), Err(TryRecvError::Empty)));
        if self.hanging.len() >= MAX_HANGING {
            return Err(Unfinished::Untried);
        }
        let thread = match self.idle.take() {
            Some(thread) => thread,
            None => match start() {
                Ok(thread) => thread,
                // Without another thread, this one must do it.
                Err(_) => return Ok(operation()),
            },
        };
        let ((result, wait), (ended, has_ended)) = (channel(), channel());
        let job = Box::new(move || {
            // The waiter may have given up: the result is dropped here, with what it holds.
            let _ = result.send(operation());
            let _ = ended.send(());
        });
        if thread.send(job).is_err() {
            return Err(Unfinished::Untried);
        }
        let timeout = if self.hanging.is_empty() { TIMEOUT } else { SHORT_TIMEOUT };
        match wait.recv_timeout(timeout) {
            Ok(value) => {
                self.idle = Some(thread);
                Ok(value)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.hanging.push(has_ended);
                Err(Unfinished::Pending(wait))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Unfinished::Pending(wait)),
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
    fn a_hanging_operation_keeps_its_thread_and_delays_no_other() {
        let mut offload = Offload::default();
        assert_eq!(offload.run(|| 1).unwrap(), 1);
        let (release, wait) = channel::<()>();
        let Err(Unfinished::Pending(pending)) = offload.run(move || wait.recv()) else {
            panic!("the operation cannot have ended")
        };
        assert_eq!(offload.run(|| 2).unwrap(), 2);
        release.send(()).unwrap();
        assert_eq!(pending.recv().unwrap(), Ok(()));
        assert_eq!(offload.run(|| 3).unwrap(), 3);
    }
}
