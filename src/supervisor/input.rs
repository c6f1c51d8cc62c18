//! The standard input of workers: text that clients send, written as the worker reads it.
//!
//! A worker may read late or never. So an input that is used has a task and a queue with a bound, and a
//! text that finds no room in time is an error for the client that sent it. Only the client waits.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{
    net::unix::pipe,
    sync::{mpsc, oneshot},
};

use super::{actor::Supervisor, workers::NoInput};
use crate::{
    control::{Answer, ClientId, RequestError},
    spec::HumanDuration,
};

/// Maximum bytes of one text.
const MAX_TEXT: usize = 64 * 1024;
/// Texts that wait while the one before is written.
const QUEUE: usize = 16;
/// How long a worker may take to read before a text is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The write end of a worker's standard input. It is open as long as the process runs, so that the
/// process finds no end of input.
pub(super) struct StdinWriter {
    pipe: OwnedFd,
    /// To the task that writes; there is none before the first text.
    queue: Option<mpsc::Sender<Text>>,
}

struct Text {
    bytes: Vec<u8>,
    written: oneshot::Sender<Result<(), Undelivered>>,
}

/// Why a text has not reached a worker, or only a part of it.
#[derive(Debug)]
enum Undelivered {
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
    fn send(&mut self, bytes: Vec<u8>) -> Result<oneshot::Receiver<Result<(), Undelivered>>, Undelivered> {
        let queue = if let Some(queue) = &self.queue {
            queue
        } else {
            let pipe = self.pipe.try_clone().and_then(pipe::Sender::from_owned_fd);
            let (queue, texts) = mpsc::channel(QUEUE);
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

/// Writes one text after the other until the process of the pipe is gone.
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
        let outcome = match tokio::time::timeout(PATIENCE, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Undelivered::Closed),
            Ok(Err(error)) => Err(Undelivered::Refused(error)),
            Err(_) => Err(Undelivered::NotRead(done)),
        };
        // The client may have left.
        let _ = written.send(outcome);
    }
}

impl Supervisor<'_> {
    /// Writes a text to the standard input of one worker. The answer comes when the text is in the pipe.
    pub(super) fn send_input(
        &mut self,
        client: ClientId,
        target: &str,
        text: String,
    ) -> Result<Option<Answer>, RequestError> {
        let id = match self.select(&[target])?[..] {
            [id] => id,
            ref several => {
                let ids: Vec<String> = self.pm_ids(several).iter().map(u32::to_string).collect();
                return Err(RequestError {
                    message: format!(
                        "`{target}` selects {} processes, but input goes to one process",
                        several.len()
                    ),
                    hint: Some(format!("name it by its id: {}", ids.join(", "))),
                });
            }
        };
        let view = self.machine.instance(id).expect("it was selected");
        let (who, pm_id) = (view.subject().to_string(), view.pm_id);
        let input = match self.workers.input(id) {
            Ok(input) => input,
            Err(NoInput::NoProcess) => {
                return Err(RequestError {
                    message: format!("{who} has no process that could read its standard input"),
                    hint: Some(format!(
                        "`procrun start {pm_id}` starts it, `procrun describe {pm_id}` says why it ended"
                    )),
                });
            }
            Err(NoInput::Null) => {
                return Err(RequestError {
                    message: format!(
                        "the standard input of {who} is /dev/null: its configuration says `stdin = \"null\"`"
                    ),
                    hint: Some("set `stdin = \"open\"` for the app and restart it".to_owned()),
                });
            }
        };
        if text.len() > MAX_TEXT {
            return Err(RequestError {
                message: format!("{} bytes of input are too long: the limit is {MAX_TEXT} bytes", text.len()),
                hint: Some("send it in several lines, or let the app read a file".to_owned()),
            });
        }
        if text.is_empty() {
            return Ok(Some(Answer::Done { ids: vec![pm_id] }));
        }
        let length = text.len();
        let outcome = input.send(text.into_bytes());
        self.clients.answer_later(client, async move {
            let outcome = match outcome {
                Ok(outcome) => outcome.await.unwrap_or(Err(Undelivered::Closed)),
                Err(refused) => Err(refused),
            };
            match outcome {
                Ok(()) => Answer::Done { ids: vec![pm_id] },
                Err(undelivered) => undelivered.answer(&who, length),
            }
        });
        Ok(None)
    }
}

impl Undelivered {
    fn answer(&self, who: &str, length: usize) -> Answer {
        let reads = "the app must read its standard input; a restart empties it";
        let (message, hint) = match self {
            Self::QueueFull => (
                format!("{who} does not read its standard input: {QUEUE} inputs are queued already"),
                Some(reads),
            ),
            Self::NotRead(written) => (
                format!(
                    "{who} has not read its standard input for {}: {written} of {length} bytes were written",
                    HumanDuration(PATIENCE)
                ),
                Some(reads),
            ),
            Self::Closed => (format!("{who} has closed its standard input or has ended"), None),
            Self::Refused(error) => (format!("cannot write to the standard input of {who}: {error}"), None),
        };
        Answer::Failed(RequestError { message, hint: hint.map(str::to_owned) })
    }
}
