//! A JavaScript ecosystem file on its way: node runs it in a child, like every other child.

use std::{
    ffi::CString,
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
};

use tokio::{net::unix::pipe::Receiver, time::Instant};

use super::launch::Environment;
use crate::{
    config::{Evaluation, EvaluationEnd, Loaded, Problems},
    spec::Signal,
    sys::{
        clock::after,
        pipes::{self, Budget},
        process::{self, OpenFiles},
        reap::{Pid, Status},
        spawn::{self, Launch, Spawned},
    },
};

/// A running evaluation.
pub(super) struct Running {
    evaluation: Evaluation,
    pid: Pid,
    deadline: Instant,
    stdout: Stream,
    stderr: Stream,
    end: Option<EvaluationEnd>,
    reaped: bool,
}

struct Stream {
    pipe: Receiver,
    bytes: Vec<u8>,
    open: bool,
}

/// What node says on stderr is kept to this much: an error, not a log.
const MAX_STDERR: usize = 64 * 1024;

impl Running {
    /// Starts node. When that fails at once, so does the evaluation.
    pub(super) fn start(
        evaluation: Evaluation,
        env: &Environment,
        open_files: OpenFiles,
        now: Instant,
    ) -> Result<Self, Problems> {
        match Self::spawn(&evaluation, env, open_files) {
            Ok((pid, stdout, stderr)) => Ok(Self {
                deadline: after(now.into(), evaluation.deadline).into(),
                evaluation,
                pid,
                stdout,
                stderr,
                end: None,
                reaped: false,
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
    ) -> Result<(Pid, Stream, Stream), Box<dyn std::error::Error>> {
        let mut budget = Budget::new(2);
        let (out, _) = pipes::open(&mut budget, None)?;
        let (err, _) = pipes::open(&mut budget, None)?;
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
        // It stays procrun's user, so there is no report to wait for.
        let Spawned { pid, .. } = spawn::spawn(&Launch {
            program: &program,
            argv: &argv,
            env: &env,
            cwd: &CString::new(evaluation.cwd.as_os_str().as_bytes())?,
            stdin: null.as_fd(),
            stdout: out.write.as_fd(),
            stderr: err.write.as_fd(),
            sockets: &[],
            watched: false,
            channel: None,
            credentials: None,
            open_files,
            limits: None,
            mark: None,
        })?;
        let stream = |pipe: pipes::Pipe| -> io::Result<Stream> {
            Ok(Stream { pipe: Receiver::from_owned_fd(pipe.read)?, bytes: Vec::new(), open: true })
        };
        Ok((pid, stream(out)?, stream(err)?))
    }

    /// Waits until something has happened to it. Cancel-safe.
    pub(super) async fn advance(&mut self) {
        tokio::select! {
            () = self.stdout.read(), if self.stdout.open => {
                if self.stdout.bytes.len() > self.evaluation.max_output {
                    self.abort(EvaluationEnd::TooMuchOutput);
                }
            }
            () = self.stderr.read(), if self.stderr.open => self.stderr.bytes.truncate(MAX_STDERR),
            () = tokio::time::sleep_until(self.deadline), if self.end.is_none() => {
                self.abort(EvaluationEnd::TimedOut);
            }
            else => std::future::pending().await,
        }
    }

    /// Takes in a reaped child, and says whether it was this one.
    pub(super) fn reaped(&mut self, pid: Pid, status: Status) -> bool {
        if pid != self.pid {
            return false;
        }
        self.reaped = true;
        self.end.get_or_insert(match status {
            Status::Exited(code) => EvaluationEnd::Exited(code),
            Status::Signaled { signal, .. } => {
                EvaluationEnd::Signaled(Signal::from_number(signal).unwrap_or(Signal::KILL))
            }
        });
        // It may have left children of its own.
        let _ = process::signal_group(self.pid, Signal::KILL.number());
        true
    }

    /// Ends it before its time.
    pub(super) fn abort(&mut self, end: EvaluationEnd) {
        self.end.get_or_insert(end);
        if !self.reaped {
            let _ = process::signal_group(self.pid, Signal::KILL.number());
        }
    }

    /// Whether its process is gone, so that [`Running::finish`] may be called.
    pub(super) fn is_done(&self) -> bool {
        self.reaped
    }

    /// What came of it.
    pub(super) fn finish(mut self) -> Result<Loaded, Problems> {
        self.stdout.read_rest(self.evaluation.max_output);
        self.stderr.read_rest(MAX_STDERR);
        let end = self.end.unwrap_or(EvaluationEnd::TimedOut);
        self.evaluation.finish(end, &self.stdout.bytes, &self.stderr.bytes)
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

    /// What is in the pipe after the process has ended, without waiting.
    fn read_rest(&mut self, most: usize) {
        let mut buffer = [0; 4096];
        while self.bytes.len() <= most {
            // Not tokio's `try_read`: it answers from what it knew when it last looked.
            match nix::unistd::read(&self.pipe, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => self.bytes.extend_from_slice(&buffer[..n]),
            }
        }
    }
}
