//! What a check of a worker needs: its port, the program that asks it, and the socket by which it speaks
//! for itself.

use std::{os::fd::AsFd, time::Duration};

use super::{
    super::{
        failed_start::refused,
        launch::{self, Prepared},
    },
    Workers,
};
use crate::{
    health::{Notify, Program},
    machine::{InstanceView, Run, SpawnFailure},
    sys::{
        pipes,
        spawn::{self, Launch},
        tree::RunMark,
    },
};

impl Workers {
    /// The port that a question to this instance goes to if it names none.
    pub(in crate::supervisor) fn port(&self, view: &InstanceView<'_>) -> Result<u16, String> {
        launch::port(view, &self.inherited)
    }

    /// Starts a program that asks this instance how it is, as the instance itself runs. Whoever
    /// reaps it is told by whoever asks.
    pub(in crate::supervisor) fn start_check(
        &mut self,
        view: &InstanceView<'_>,
        words: &[String],
    ) -> Result<Program, String> {
        self.checks += 1;
        // Its own marker: it is no part of the worker's tree.
        let mark = RunMark::of_check(launch::MARKER, self.token, self.checks);
        let check =
            launch::check(view, words, &mark.entry, &self.inherited).map_err(|failure| failure.message)?;
        let owner = check.credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid));
        let pipe = pipes::small(owner).map_err(|error| format!("there is no pipe for its check: {error}"))?;
        let spawned = spawn::spawn(&Launch {
            program: &check.program,
            argv: &check.argv,
            env: &check.env,
            cwd: &check.cwd,
            stdin: self.null.as_fd(),
            stdout: pipe.write.as_fd(),
            stderr: pipe.write.as_fd(),
            sockets: &[],
            watched: false,
            channel: None,
            credentials: check.credentials.as_ref(),
            open_files: self.open_files,
            limits: Some(&check.limits),
            mark: Some(mark.limit),
        })
        .map_err(|error| format!("its check cannot be started: {error}"))?;
        Program::new(spawned, mark, pipe.read).map_err(|error| format!("its check cannot be heard: {error}"))
    }
}

/// Gives a run the socket by which it can say how it is.
pub(super) fn give_notify_socket(
    prepared: &mut Prepared,
    run: Run,
    heartbeat: Option<Duration>,
    owner: Option<(u32, u32)>,
    notify: &mut Notify,
) -> Result<(), SpawnFailure> {
    let socket = notify
        .open(run, owner.map(|(uid, _)| uid))
        .map_err(|error| refused("make its notify socket", &error))?;
    prepared.notifies(&socket, heartbeat)
}
