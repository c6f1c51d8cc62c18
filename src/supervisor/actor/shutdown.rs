//! The end of procrun: files, the termination message, the last lines.

use std::{mem::ManuallyDrop, time::Duration};

use tokio::sync::oneshot;

use super::{
    super::{
        clock::{self, sleep_until},
        early_stop::is_stop,
        job_queues::Purpose,
        outages::Part,
        role::Role,
        termination::TerminationMessage,
    },
    Supervisor,
};
use crate::{
    logs::{self, Logs},
    machine::events::{Notice, RuntimePart},
    spec::{ExitCode, Signal, TerminationLog},
    sys::{reap, signals::Received},
};

/// How long the end of procrun waits until the files of its sockets are removed.
pub(super) const FILES_TIMEOUT: Duration = Duration::from_secs(1);
/// After a request to stop, a reader that reads nothing has only this time.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

impl Supervisor<'_> {
    /// Removes its files and reports why procrun ends.
    pub(super) async fn clean_up(&mut self, role: &Role, code: ExitCode, logs: &Logs) {
        self.workers.release_logs();
        // The kernel does not remove the files of unix sockets.
        let sockets = self.listen_sockets.keep_only(|_, _| false);
        self.close_unused(sockets);
        let until = clock::now() + FILES_TIMEOUT;
        self.closed_sockets.finish(self.workers.helpers(), until).await;
        self.workers.finish_pid_files();
        while let Some(notice) = self.thread_events.arrived() {
            self.report(notice);
        }
        self.clients.send_ready_answers();
        if let Some(background) = &role.background {
            background.remove_pid_file();
        }
        let mut termination_message = match &role.background {
            None => TerminationMessage::new(self.machine.plan().runtime.termination_log.clone()),
            Some(_) => TerminationMessage::new(TerminationLog::Off),
        };
        // Files that are not removed stay for the next procrun, which removes them.
        let sockets = ManuallyDrop::new(self.clients.close(until).await);
        let (scripts, helpers) = (self.node.scripts().clone(), self.workers.helpers().clone());
        // Before the output, which may block until procrun is killed; and with the last lines.
        let text = termination_message.text(&self.shutdown.cause, &self.machine, code, logs);
        let writing = termination_message.write(text, &helpers);
        // A job of its own: the file system of the message may not answer.
        let until = clock::now() + FILES_TIMEOUT;
        let removal = helpers.request_for(Purpose::File, move || {
            drop(ManuallyDrop::into_inner(sockets));
            scripts.remove();
        });
        let finished = logs.shut();
        // The kernel answers these calls itself; the other threads have their work meanwhile.
        self.workers.remove_cgroups();
        self.flush_logs(logs, finished).await;
        let mut written = termination_message.finish(writing, &helpers).await;
        if let Ok(mut removed) = removal {
            helpers.receive(&mut removed, until).await;
        }
        if let Some(text) = termination_message.text(&self.shutdown.cause, &self.machine, code, logs) {
            let writing = termination_message.write(Some(text), &helpers);
            written = written.and(termination_message.finish(writing, &helpers).await);
        }
        if let Err(why) = written {
            self.report(Notice::outage(RuntimePart::TerminationMessage, why));
            self.flush_logs(logs, logs.finish()).await;
        }
    }

    /// Waits until everything is written. The reader may take any time, until a request to stop: then only as
    /// long as it reads at all.
    async fn flush_logs(&mut self, logs: &Logs, mut finished: oneshot::Receiver<()>) {
        let mut received = Vec::new();
        loop {
            let written = logs.written();
            let deadline = self.shutdown.is_requested.then(|| clock::now() + LAST_LINES_TIMEOUT);
            tokio::select! {
                _ = &mut finished => return,
                () = sleep_until(deadline) => {
                    if logs.written() == written {
                        logs::write_past_the_pump("the output is not read: the last lines are lost");
                        return;
                    }
                }
                result = self.signals.wait(&mut received), if self.outages.allows(Part::Signals) => {
                    self.check(Part::Signals, result);
                }
            }
            let is_stop_signal = |it: Received| Signal::from_number(it.number).is_some_and(is_stop);
            self.shutdown.is_requested |= received.drain(..).any(is_stop_signal);
            while reap::next().is_some() {}
        }
    }
}
