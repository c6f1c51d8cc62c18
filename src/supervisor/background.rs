//! A background supervisor: the destination of its own lines, and the command that waits for it.
//!
//! It is the same as in the foreground, except that its stdout has no reader.

use std::{
    cell::RefCell,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt as _},
    },
    path::PathBuf,
};

use super::service_manager::ServiceManager;
use crate::{
    logs::{FileSpec, Logs},
    spec::{LogFiles, RuntimeLog},
    sys::spawn,
};

/// The settings of a background supervisor.
#[derive(Debug)]
pub struct Background {
    /// The directory for its files.
    pub home: PathBuf,
    /// The path of its pid file.
    pub pid_file: PathBuf,
    /// A connection to the command that has started it and waits.
    pub first_client: RefCell<Option<OwnedFd>>,
    /// The service manager that waits until commands are accepted.
    pub service_manager: RefCell<Option<ServiceManager>>,
    /// The supervisor was detached from its caller: its output goes only to its log.
    pub detached: bool,
}

impl Background {
    /// The log: `procrun.log` and the applications' files.
    pub(super) fn logs(&self, log: &RuntimeLog) -> io::Result<Logs> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.home.join("logs"))?;
        self.write_pid_file()?;
        if !self.detached {
            return Logs::start(log);
        }
        let LogFiles { max_size, keep, compress, .. } = LogFiles::default();
        let file = FileSpec {
            path: self.home.join("procrun.log"),
            max_size,
            keep,
            compress,
            private: true,
            owner: None,
        };
        let null: File = spawn::dev_null()?.into();
        // Until here the caller got errors; it must not wait for the end of this process.
        nix::unistd::dup2_stdout(null.as_fd())?;
        nix::unistd::dup2_stderr(null.as_fd())?;
        Logs::start_in_background(log, file)
    }

    /// The socket is held by now, so no other supervisor has this home.
    fn write_pid_file(&self) -> io::Result<()> {
        let beside = self.pid_file.with_extension("pid.new");
        let _ = fs::remove_file(&beside);
        // No reader finds half a number, and no link leads to another file.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        fs::rename(beside, &self.pid_file)
    }

    /// Removes it. Another supervisor of the same home (`--socket`) may have written its own meanwhile.
    pub(super) fn remove_pid_file(&self) {
        let own = std::process::id().to_string();
        if fs::read_to_string(&self.pid_file).is_ok_and(|pid| pid.trim() == own) {
            let _ = fs::remove_file(&self.pid_file);
        }
    }

    /// Reports that commands are accepted, once.
    pub(super) fn report_ready(&self) -> io::Result<()> {
        self.service_manager.take().map_or(Ok(()), ServiceManager::report_ready)
    }

    /// The connection to the command that waits, once.
    pub(super) fn first_client(&self) -> Option<OwnedFd> {
        self.first_client.take()
    }
}
