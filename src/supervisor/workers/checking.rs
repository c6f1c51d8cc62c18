//! Probes of a worker: its port, and the program of an exec probe.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::{
    super::{
        environment::{Environment, MARKER},
        job_queues::{Job, Purpose},
        probe_program,
        start_target::Target,
    },
    Workers,
};
use crate::{
    health::Program,
    machine::{InstanceView, Run},
    sys::{
        pipes,
        process::OpenFiles,
        spawn::{self, ChildId, Launch},
        tree::RunMark,
    },
};

impl Workers {
    /// The port of a probe of this run that names none.
    pub(in crate::supervisor) fn port(&self, run: Run) -> Result<u16, String> {
        match self.process(run) {
            Some(process) => process.port.clone(),
            None => Err("it has no process".to_owned()),
        }
    }

    /// Starts the program of an exec probe for this instance, with the settings of the instance. The caller
    /// reports its exit to the probe.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(in crate::supervisor) fn start_check(
        &mut self,
        view: &InstanceView<'_>,
        words: &[String],
    ) -> Result<Program, String> {
        self.checks += 1;
        // Its own marker: it is not a part of the worker's tree.
        let mark = RunMark::of_health_probe(MARKER, self.token, self.checks);
        let start = ProbeStart {
            target: Target::from(view),
            words: words.to_vec(),
            mark: mark.clone(),
            inherited: Arc::clone(&self.resources.inherited),
            null: Arc::clone(&self.resources.null),
            open_files: self.resources.open_files,
        };
        let id = Arc::new(ChildId::default());
        let (sender, started) = oneshot::channel();
        let for_thread = Arc::clone(&id);
        let work = move || {
            if for_thread.is_cancelled() {
                return;
            }
            let result = start.start(&for_thread);
            if result.is_err() {
                for_thread.cancel();
            }
            // The receiver is gone if the check has timed out.
            let _ = sender.send(result);
        };
        let cancelled = Arc::clone(&id);
        let job = Job::new(Purpose::Check, work).for_app(&view.spec.name);
        let submitted = self.helpers().submit(job.unless(move || cancelled.is_cancelled()));
        submitted.map_err(|error| format!("cannot create a thread for its probe: {error}"))?;
        Ok(Program::new(id, mark, started))
    }
}

/// An exec probe that a helper thread starts.
struct ProbeStart {
    target: Target,
    words: Vec<String>,
    mark: RunMark,
    inherited: Arc<Environment>,
    null: Arc<OwnedFd>,
    open_files: OpenFiles,
}

impl ProbeStart {
    /// Returns the read end of its output.
    fn start(&self, id: &ChildId) -> Result<OwnedFd, String> {
        let check = probe_program::prepare(&self.target, &self.words, &self.mark.entry, &self.inherited)
            .map_err(|failure| failure.message)?;
        let owner = check.credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid));
        let pipe = pipes::small(owner).map_err(|error| format!("there is no pipe for its probe: {error}"))?;
        let launch = Launch {
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
            cgroup: None,
            mark: Some(self.mark.limit),
        };
        spawn::spawn(&launch, id).map_err(|error| format!("its probe cannot be started: {error}"))?;
        Ok(pipe.read)
    }
}
