//! The evaluation of a JavaScript ecosystem file: node runs it in a child, which is started and reaped as others.

use std::{
    ffi::CString,
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    sync::Arc,
};

use tokio::{
    net::unix::pipe::Receiver,
    sync::oneshot::{self, error::RecvError},
    time::Instant,
};

use super::{
    environment::Environment,
    helper_threads::HelperThreads,
    job_queues::{Job, Purpose},
};
use crate::{
    config::{Evaluation, EvaluationEnd, Loaded, Problems},
    spec::Signal,
    sys::{
        clock::after,
        pipes::{self, Budget},
        process::{self, OpenFiles},
        reap::{Pid, Status},
        spawn::{self, ChildId, Launch},
    },
};

/// An evaluation that is under way.
pub(super) struct Running {
    evaluation: Evaluation,
    child: Arc<ChildId>,
    /// Receives the reason if node cannot be executed; `None`: it was received.
    failed: Option<oneshot::Receiver<spawn::Error>>,
    deadline: Instant,
    stdout: Stream,
    stderr: Stream,
    /// How it ends, if not as its process does.
    end: Option<EvaluationEnd>,
    status: Option<Status>,
}

struct Stream {
    pipe: Receiver,
    bytes: Vec<u8>,
    open: bool,
}

/// The kept part of node's stderr: an error, not a log.
const MAX_STDERR: usize = 64 * 1024;

impl Running {
    /// Has a helper thread start node. An error: that has failed at once.
    pub(super) fn start(
        evaluation: Evaluation,
        env: &Environment,
        open_files: OpenFiles,
        helpers: &HelperThreads,
        now: Instant,
    ) -> Result<Self, Problems> {
        let child = Arc::new(ChildId::default());
        match Self::spawn(&evaluation, env, open_files, helpers, Arc::clone(&child)) {
            Ok((failed, stdout, stderr)) => Ok(Self {
                deadline: after(now.into(), evaluation.deadline).into(),
                evaluation,
                child,
                failed: Some(failed),
                stdout,
                stderr,
                end: None,
                status: None,
            }),
            Err(error) => match evaluation.finish(EvaluationEnd::SpawnFailed(error.to_string()), b"", b"") {
                Err(problems) => Err(problems),
                Ok(_) => unreachable!("an evaluation that never ran has no result"),
            },
        }
    }

    fn spawn(
        evaluation: &Evaluation,
        env: &Environment,
        open_files: OpenFiles,
        helpers: &HelperThreads,
        child: Arc<ChildId>,
    ) -> Result<(oneshot::Receiver<spawn::Error>, Stream, Stream), Box<dyn std::error::Error>> {
        let budget = Budget::new(2);
        let (out, _) = pipes::open(&budget, None)?;
        let (err, _) = pipes::open(&budget, None)?;
        let null = spawn::dev_null()?;
        let program = CString::new(evaluation.program.as_os_str().as_bytes())?;
        let mut argv = vec![program.clone()];
        for arg in &evaluation.args {
            argv.push(CString::new(arg.as_bytes())?);
        }
        let env = env
            .iter()
            .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<Vec<_>, _>>()?;
        let cwd = CString::new(evaluation.cwd.as_os_str().as_bytes())?;
        let stream = |read| -> io::Result<Stream> {
            Ok(Stream { pipe: Receiver::from_owned_fd(read)?, bytes: Vec::new(), open: true })
        };
        let (stdout, stderr) = (stream(out.read)?, stream(err.read)?);
        let (sender, failed) = oneshot::channel();
        let for_thread = Arc::clone(&child);
        let start = move || {
            let launch = Launch {
                program: &program,
                argv: &argv,
                env: &env,
                cwd: &cwd,
                stdin: null.as_fd(),
                stdout: out.write.as_fd(),
                stderr: err.write.as_fd(),
                sockets: &[],
                watched: false,
                channel: None,
                credentials: None,
                open_files,
                limits: None,
                cgroup: None,
                mark: None,
            };
            if child.is_cancelled() {
                return;
            }
            if let Err(error) = spawn::spawn(&launch, &child) {
                // There is no receiver if the evaluation has been aborted.
                let _ = sender.send(error);
            }
        };
        helpers.submit(Job::new(Purpose::Evaluation, start).unless(move || for_thread.is_cancelled()))?;
        Ok((failed, stdout, stderr))
    }

    /// Waits until it has made progress. Cancel-safe.
    pub(super) async fn advance(&mut self) {
        tokio::select! {
            () = self.stdout.read(), if self.stdout.open => {
                if self.stdout.bytes.len() > self.evaluation.max_output {
                    self.abort(EvaluationEnd::TooMuchOutput);
                }
            }
            () = self.stderr.read(), if self.stderr.open => self.stderr.bytes.truncate(MAX_STDERR),
            failed = failure(&mut self.failed), if self.failed.is_some() => {
                self.failed = None;
                if let Ok(error) = failed {
                    self.end.get_or_insert(EvaluationEnd::SpawnFailed(error.to_string()));
                }
            }
            () = tokio::time::sleep_until(self.deadline), if self.end.is_none() => {
                self.abort(EvaluationEnd::TimedOut);
            }
            else => std::future::pending().await,
        }
    }

    /// Handles a reaped child. Returns whether it was this one.
    pub(super) fn reaped(&mut self, pid: Pid, status: Status) -> bool {
        if !self.child.is(pid) || self.status.is_some() {
            return false;
        }
        self.status = Some(status);
        // It may have left children of its own.
        let _ = process::signal_group(pid, Signal::KILL.number());
        true
    }

    /// Aborts it.
    pub(super) fn abort(&mut self, end: EvaluationEnd) {
        self.end.get_or_insert(end);
        self.child.cancel();
        // A child that has no id yet ends by itself.
        if let Some(pid) = self.child.get().filter(|_| self.status.is_none()) {
            process::kill_with_group(pid);
        }
    }

    /// Whether its process is gone or never was, so that [`Running::finish`] may be called.
    pub(super) fn is_done(&self) -> bool {
        // A child that could not execute node has ended, too: the thread knows which it was.
        self.status.is_some() && self.failed.is_none()
            || self.child.is_cancelled() && (self.end.is_some() || self.failed.is_none())
    }

    /// The evaluation's result.
    pub(super) fn finish(mut self) -> Result<Loaded, Problems> {
        self.stdout.read_rest(self.evaluation.max_output);
        self.stderr.read_rest(MAX_STDERR);
        let end = self.end.unwrap_or(match self.status {
            Some(Status::Exited(code)) => EvaluationEnd::Exited(code),
            Some(Status::Signaled { signal, .. }) => {
                EvaluationEnd::Signaled(Signal::from_number(signal).unwrap_or(Signal::KILL))
            }
            None => EvaluationEnd::TimedOut,
        });
        self.evaluation.finish(end, &self.stdout.bytes, &self.stderr.bytes)
    }
}

/// Waits for the reason why node could not be executed; an error: it is executed, or never will be.
async fn failure(failed: &mut Option<oneshot::Receiver<spawn::Error>>) -> Result<spawn::Error, RecvError> {
    match failed {
        Some(failed) => failed.await,
        None => std::future::pending().await,
    }
}

impl Stream {
    /// Reads once there is something to read.
    async fn read(&mut self) {
        let mut buffer = [0; 4096];
        let result = match self.pipe.readable().await {
            Ok(()) => self.pipe.try_read(&mut buffer),
            Err(error) => Err(error),
        };
        match result {
            Ok(0) => self.open = false,
            Ok(n) => self.bytes.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.open = false,
        }
    }

    /// Reads the rest of the pipe after the process has ended, without waiting.
    fn read_rest(&mut self, most: usize) {
        let mut buffer = [0; 4096];
        while self.bytes.len() <= most {
            // Not tokio's `try_read`, which answers from its last poll.
            match nix::unistd::read(&self.pipe, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => self.bytes.extend_from_slice(&buffer[..n]),
            }
        }
    }
}
