//! A pump on pipes of the test's own, and workers that are only pipes.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::pipe2,
};
use procrun::{
    logs::{Label, Logs, Sinks},
    spec::{LogStyle, RuntimeLog},
};
use tokio::sync::oneshot::error::TryRecvError;

pub(crate) use crate::support::{DEADLINE, wait_for as until};

/// A pipe whose ends are plain files.
pub(crate) fn pipe(capacity: i32) -> (File, File) {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(capacity)).unwrap();
    (read.into(), write.into())
}

/// A pump, and the ends of its stdout and stderr.
pub(crate) struct Setup {
    pub(crate) logs: Logs,
    pub(crate) out: File,
    pub(crate) err: File,
}

pub(crate) fn start(log: &RuntimeLog) -> Setup {
    let (out, out_write) = pipe(1 << 20);
    let (err, err_write) = pipe(1 << 20);
    let logs = Logs::start_with(log, out_write.into(), err_write.into()).unwrap();
    Setup { logs, out, err }
}

pub(crate) fn styled(style: LogStyle) -> RuntimeLog {
    RuntimeLog { style, ..RuntimeLog::default() }
}

/// An instance that is added, by the write ends of its pipes.
pub(crate) struct Worker {
    pub(crate) out: File,
    pub(crate) err: File,
}

pub(crate) fn add(logs: &Logs, id: u32, name: &str, sinks: Sinks) -> Worker {
    let (out_read, out) = pipe(1 << 20);
    let (err_read, err) = pipe(1 << 20);
    logs.add(Label { key: id, id, name: name.to_owned() }, sinks, out_read.into(), err_read.into());
    Worker { out, err }
}

/// Waits until everything sent and written so far is out.
pub(crate) fn settle(logs: &Logs) {
    let mut done = logs.finish();
    until("the pump to finish", || match done.try_recv() {
        Ok(()) => Some(()),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Closed) => panic!("the pump is gone"),
    });
}

/// Ends the pump and returns all it wrote.
pub(crate) fn finish(setup: Setup) -> (String, String) {
    let Setup { logs, out, err } = setup;
    drop(logs);
    let text = |mut end: File| {
        let mut bytes = Vec::new();
        end.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    (text(out), text(err))
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}
