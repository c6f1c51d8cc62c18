//! The standard input of workers: text that clients send, written as the worker reads it.
//!
//! A worker may read late or never. So an input that is used has a task and a queue with a bound, and a
//! text that is not written in time is an error for the client that sent it. Only the client waits.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{
    net::unix::pipe,
    sync::{mpsc, oneshot},
};

use crate::{
    control::{Answer, RequestError},
    spec::HumanDuration,
};

/// Maximum bytes of one text.
pub(super) const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Maximum number of texts that wait while one is written.
const MAX_QUEUED_TEXTS: usize = 16;
/// How long a worker may take to read a text.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The write end of a worker's standard input. It is open as long as the process runs, so that the
/// process finds no end of input.
pub(super) struct StdinWriter {
    pipe: OwnedFd,
    /// The queue of the task that writes; there is none before the first text.
    queue: Option<mpsc::Sender<Text>>,
}

struct Text {
    bytes: Vec<u8>,
    written: oneshot::Sender<Result<(), Undelivered>>,
}

/// Why there is no standard input to write to.
pub(super) enum NoInput {
    /// The instance has no process.
    NoProcess,
    /// The process reads `/dev/null`.
    Null,
}

/// Why a text was not written, or only a part of it.
#[derive(Debug)]
pub(super) enum Undelivered {
    /// Too many others wait.
    QueueFull,
    /// The worker has not read in time; this number of bytes was written.
    NotRead(usize),
    /// The worker has closed its standard input, or has ended.
    Closed,
    /// The kernel refused.
    Refused(io::Error),
}

impl StdinWriter {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe, queue: None }
    }

    /// Queues a text; the receiver gets the outcome.
    pub(super) fn send(
        &mut self,
        bytes: Vec<u8>,
    ) -> Result<oneshot::Receiver<Result<(), Undelivered>>, Undelivered> {
        let queue = if let Some(queue) = &self.queue {
            queue
        } else {
            let pipe = self.pipe.try_clone().and_then(pipe::Sender::from_owned_fd);
            let (queue, texts) = mpsc::channel(MAX_QUEUED_TEXTS);
            tokio::spawn(write_all(pipe.map_err(Undelivered::Refused)?, texts));
            self.queue.insert(queue)
        };
        let (written, outcome) = oneshot::channel();
        queue.try_send(Text { bytes, written }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Undelivered::QueueFull,
            mpsc::error::TrySendError::Closed(_) => Undelivered::Closed,
        })?;
        Ok(outcome)
    }
}

/// Writes one text after the other until the process has closed its end.
async fn write_all(pipe: pipe::Sender, mut texts: mpsc::Receiver<Text>) {
    while let Some(Text { bytes, written }) = texts.recv().await {
        let mut done = 0;
        let writing = async {
            while done < bytes.len() {
                pipe.writable().await?;
                match pipe.try_write(&bytes[done..]) {
                    Ok(count) => done += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let outcome = match tokio::time::timeout(READ_TIMEOUT, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Undelivered::Closed),
            Ok(Err(error)) => Err(Undelivered::Refused(error)),
            Err(_) => Err(Undelivered::NotRead(done)),
        };
        // The client may have left.
        let _ = written.send(outcome);
    }
}

impl Undelivered {
    /// The answer to a client that has sent `length` bytes.
    pub(super) fn answer(&self, instance: &str, length: usize) -> Answer {
        let reads = "the app must read its standard input; a restart empties it";
        let (message, hint) = match self {
            Self::QueueFull => (
                format!(
                    "{instance} does not read its standard input: {MAX_QUEUED_TEXTS} inputs are queued already"
                ),
                Some(reads),
            ),
            Self::NotRead(written) => (
                format!(
                    "{instance} has not read its standard input for {}: {written} of {length} bytes were written",
                    HumanDuration(READ_TIMEOUT)
                ),
                Some(reads),
            ),
            Self::Closed => (format!("{instance} has closed its standard input or has ended"), None),
            Self::Refused(error) => {
                (format!("cannot write to the standard input of {instance}: {error}"), None)
            }
        };
        Answer::Failed(RequestError { message, hint: hint.map(str::to_owned) })
    }
}
