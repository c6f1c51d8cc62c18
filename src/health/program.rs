//! The program of an exec probe: exit code 0 means success.
//!
//! Its output is read and discarded, except for the last line, which is the reason of a failure. At its timeout
//! the program is killed with its process tree.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::{
    net::unix::pipe::Receiver,
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::text::clean;
use crate::{
    spec::{HumanDuration, Signal},
    sys::{
        process,
        reap::{Pid, Status},
        spawn::ChildId,
        tree::{self, Root, RunMark},
    },
};

/// Number of bytes at the end of the output that are kept.
const MAX_KEPT: usize = 1024;
/// Pause between two reads of a full pipe.
const FULL_PIPE_PAUSE: Duration = Duration::from_millis(1);
/// Maximum number of reads of the pipe after the exit.
const LAST_READS: usize = 16;

/// A program that is being started.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Receives the read end of its output once it is executed, or the reason why it could not be.
    started: oneshot::Receiver<Result<OwnedFd, String>>,
}

/// Kills the program with its tree unless it has been reaped, also a program that is about to be started.
#[derive(Debug)]
struct Child {
    id: Arc<ChildId>,
    mark: RunMark,
    exit: Option<oneshot::Receiver<Status>>,
    is_reaped: bool,
}

impl Program {
    /// A program that a thread starts with this mark. The thread sends the read end of the output once the program
    /// is executed.
    pub fn new(id: Arc<ChildId>, mark: RunMark, started: oneshot::Receiver<Result<OwnedFd, String>>) -> Self {
        Self { child: Child { id, mark, exit: None, is_reaped: false }, started }
    }

    pub(super) fn id(&self) -> &Arc<ChildId> {
        &self.child.id
    }

    /// Sets the channel that receives its exit status when it has been reaped.
    pub(super) fn set_exit_channel(&mut self, exit: oneshot::Receiver<Status>) {
        self.child.exit = Some(exit);
    }

    /// The outcome of the probe.
    pub(super) async fn result(self, until: Instant, limit: Duration) -> Result<(), String> {
        let Self { mut child, started } = self;
        let not_ended = || format!("its probe has not ended within {}", HumanDuration(limit));
        let output = match timeout_at(until, started).await {
            Ok(Ok(Ok(output))) => Receiver::from_owned_fd(output)
                .map_err(|error| format!("cannot read the output of its probe: {error}"))?,
            Ok(Ok(Err(why))) => return Err(why),
            Ok(Err(_)) => return Err("its probe cannot be started".to_owned()),
            Err(_) => return Err(format!("{}: it could not be started", not_ended())),
        };
        let Some(exit) = &mut child.exit else { return Err("was not started".to_owned()) };
        let (mut end, mut is_open) = (Vec::new(), true);
        let status = loop {
            tokio::select! {
                biased;
                status = &mut *exit => break status.ok(),
                () = sleep_until(until) => break None,
                read = read(&output, &mut end), if is_open => is_open = read,
            }
        };
        for _ in 0..LAST_READS {
            // A direct read: the runtime would answer from its last poll.
            let mut buffer = [0; 4096];
            match nix::unistd::read(&output, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => keep(&mut end, &buffer[..count]),
            }
        }
        child.is_reaped = status.is_some();
        let outcome = match status {
            Some(Status::Exited(0)) => return Ok(()),
            Some(Status::Exited(code)) => format!("its probe exited with code {code}"),
            Some(Status::Signaled { signal, .. }) => match Signal::from_number(signal) {
                Some(signal) => format!("its probe was ended by {signal}"),
                None => format!("its probe was ended by signal {signal}"),
            },
            None => not_ended(),
        };
        Err(match last_line(&end) {
            line if line.is_empty() => outcome,
            line => format!("{outcome}: {line}"),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Reaped, but not yet reported: its id may belong to another process.
        let has_exited = self.exit.as_mut().is_some_and(|exit| exit.try_recv().is_ok());
        self.id.cancel();
        if let Some(pid) = self.id.get().filter(|_| !self.is_reaped && !has_exited) {
            process::kill_with_group(pid);
            tree::kill([Root::marked(pid, self.mark.clone())]);
        }
    }
}

/// Kills the rest of the process group of a program that has just been reaped.
pub(super) fn kill_group(pid: Pid) {
    let _ = process::signal_group(pid, Signal::KILL.number());
}

/// Reads when data is available; false at the end. After a full pipe it pauses briefly, so that a program that
/// writes without end does not use a whole CPU.
async fn read(output: &Receiver, end: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    let result = match output.readable().await {
        Ok(()) => output.try_read(&mut buffer),
        Err(error) => Err(error),
    };
    match result {
        Ok(0) => false,
        Ok(count) => {
            keep(end, &buffer[..count]);
            if count == buffer.len() {
                sleep(FULL_PIPE_PAUSE).await;
            }
            true
        }
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn keep(end: &mut Vec<u8>, more: &[u8]) {
    end.extend_from_slice(more);
    let surplus = end.len().saturating_sub(MAX_KEPT);
    end.drain(..surplus);
}

fn last_line(bytes: &[u8]) -> String {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.rfind(|line| !line.is_empty()).map_or_else(String::new, clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_output_is_kept() {
        let mut end = Vec::new();
        for number in 0..10_000 {
            keep(&mut end, format!("line {number}\n").as_bytes());
            assert!(end.len() <= MAX_KEPT);
        }
        assert_eq!(last_line(&end), "line 9999");
        assert_eq!(last_line(b"a\n \n"), "a");
        assert_eq!(last_line(b""), "");
    }
}
