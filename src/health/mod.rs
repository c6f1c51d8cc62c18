//! Probes of workers, and their notifications: transport only.
//!
//! A probe is a task on the supervisor's thread with a deadline, so a worker that does not answer delays no
//! other. An instance has at most one probe of a kind in progress. `machine` decides what an answer means. No
//! process is reaped here: the reaper reports the exit.

mod connection;
mod http;
mod notify;
mod program;
mod text;
mod time_limit;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

pub use self::{
    connection::ProbeTransport,
    notify::{Notify, bind as bind_notify_socket},
    program::Program,
};
use self::{connection::connect, time_limit::in_time};
use crate::{
    machine::{InstanceId, ProbeKind, Run},
    sys::{
        clock::after,
        reap::{Pid, Status},
        spawn::ChildId,
    },
};

/// The request of a probe.
#[derive(Debug)]
pub enum ProbeRequest {
    /// An HTTP GET request.
    Http {
        /// How to connect.
        transport: ProbeTransport,
        /// The value of the header `Host`.
        host: String,
        /// Path and query of the request.
        path: String,
    },
    /// A connection to one of these addresses.
    Tcp(Vec<SocketAddr>),
    /// A program that is being started.
    Program(Program),
}

/// The result of a probe.
#[derive(Debug)]
pub struct Answer {
    /// The probed run.
    pub run: Run,
    /// Health or readiness.
    pub kind: ProbeKind,
    /// Success, or the reason of the failure.
    pub result: Result<(), String>,
}

type Key = (InstanceId, ProbeKind);

/// All probes in progress.
#[derive(Debug, Default)]
pub struct Prober {
    tasks: JoinSet<Answer>,
    in_progress: HashMap<Key, AbortHandle>,
    /// Programs that have not been reaped, and the tasks that wait for them.
    programs: Vec<(Arc<ChildId>, Key, oneshot::Sender<Status>)>,
}

impl Prober {
    /// Starts a probe; its answer comes from [`Self::answers`]. An earlier probe of the instance is dropped.
    pub fn start(
        &mut self,
        run: Run,
        kind: ProbeKind,
        mut request: ProbeRequest,
        now: Instant,
        limit: Duration,
    ) {
        let until = after(now.into(), limit).into();
        let key = (run.instance, kind);
        if let ProbeRequest::Program(program) = &mut request {
            let (sender, receiver) = oneshot::channel();
            program.set_exit_channel(receiver);
            self.remove_unstarted();
            self.programs.push((Arc::clone(program.id()), key, sender));
        }
        self.begin(run, kind, async move {
            match request {
                ProbeRequest::Program(program) => program.result(until, limit).await,
                ProbeRequest::Tcp(addresses) => {
                    in_time(until, limit, "no connection", connect(&addresses)).await.map(drop)
                }
                ProbeRequest::Http { transport, host, path } => {
                    http::get(transport, &host, &path, until, limit).await
                }
            }
        });
    }

    /// Adds the result of a probe that was not needed or could not be sent.
    pub fn answer(&mut self, run: Run, kind: ProbeKind, result: Result<(), String>) {
        self.begin(run, kind, async move { result });
    }

    fn begin(
        &mut self,
        run: Run,
        kind: ProbeKind,
        result: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move { Answer { run, kind, result: result.await } });
        if let Some(older) = self.in_progress.insert((run.instance, kind), task) {
            older.abort();
        }
    }

    /// Whether an earlier program for the same probe still exists after its timeout: SIGKILL has not ended it, or
    /// its start hangs.
    pub fn is_stuck(&mut self, instance: InstanceId, kind: ProbeKind) -> bool {
        self.remove_unstarted();
        self.programs.iter().any(|(_, key, _)| *key == (instance, kind))
    }

    fn remove_unstarted(&mut self) {
        // A thread that hangs in its start also holds the id.
        self.programs.retain(|(id, ..)| !id.is_cancelled() || Arc::strong_count(id) > 1);
    }

    /// Drops the probes of a run that has ended.
    pub fn ended(&mut self, instance: InstanceId) {
        for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
            if let Some(task) = self.in_progress.remove(&(instance, kind)) {
                task.abort();
            }
        }
    }

    /// Handles a reaped child. Returns whether it was the program of an exec probe.
    pub fn reaped(&mut self, pid: Pid, status: Status) -> bool {
        let Some(at) = self.programs.iter().position(|(id, ..)| id.is(pid)) else { return false };
        let (_, _, waiting) = self.programs.swap_remove(at);
        program::kill_group(pid);
        // The task may have ended already.
        let _ = waiting.send(status);
        true
    }

    /// Waits for answers. Cancel-safe.
    pub async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while answers.is_empty() {
            match self.tasks.join_next().await {
                // An aborted probe has no result.
                Some(result) => answers.extend(result),
                None => return std::future::pending().await,
            }
        }
        while let Some(result) = self.tasks.try_join_next() {
            answers.extend(result);
        }
        for Answer { run, kind, .. } in &answers {
            self.in_progress.remove(&(run.instance, *kind));
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, ChildId, InstanceId, ProbeKind, Prober, oneshot};

    #[test]
    fn a_probe_whose_start_hangs_is_stuck_until_its_thread_returns() {
        let (instance, kind) = (InstanceId(1), ProbeKind::Liveness);
        let thread_id = Arc::new(ChildId::default());
        let mut prober = Prober::default();
        prober.programs.push((Arc::clone(&thread_id), (instance, kind), oneshot::channel().0));
        // Like a timeout.
        thread_id.cancel();
        assert!(prober.is_stuck(instance, kind));
        assert!(!prober.is_stuck(instance, ProbeKind::Readiness), "the other probe is not affected");
        drop(thread_id);
        assert!(!prober.is_stuck(instance, kind));
    }
}
