//! Probes of workers, and their notifications: transport only.
//!
//! A probe is a task on the supervisor's thread with a deadline, so a worker that does not answer delays no
//! other. An instance has at most one probe of a kind in progress. `machine` decides what an answer means. No
//! process is reaped here: the reaper reports the exit.

mod http;
mod notify;
mod program;

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout_at},
};

pub use self::{
    notify::{Notify, bind as bind_notify_socket},
    program::Program,
};
use crate::{
    machine::{InstanceId, ProbeKind, Run},
    shown::{cut, log_line},
    spec::HumanDuration,
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

/// How a probe reaches a worker.
#[derive(Debug)]
pub enum ProbeTransport {
    /// The first of these addresses that accepts the connection.
    Addresses(Vec<SocketAddr>),
    /// This connection, which is non-blocking.
    Connection(std::net::TcpStream),
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

/// The connection of a probe to a worker.
async fn connection(transport: ProbeTransport) -> Result<TcpStream, String> {
    match transport {
        ProbeTransport::Addresses(addresses) => connect(&addresses).await,
        ProbeTransport::Connection(stream) => {
            TcpStream::from_std(stream).map_err(|error| without_errno(&error))
        }
    }
}

/// Connects to the first address that accepts; otherwise the reasons of all failures.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut refusals = Vec::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refusals.push((address.to_string(), without_errno(&error))),
        }
    }
    Err(join_failures(&refusals))
}

/// Each address with its failure: the last failure alone would hide the first.
fn join_failures(refusals: &[(String, String)]) -> String {
    match refusals {
        [(first, why), others @ ..] if others.iter().all(|(_, other)| other == why) => {
            let addresses: Vec<&str> = std::iter::once(first)
                .chain(others.iter().map(|(address, _)| address))
                .map(|it| &**it)
                .collect();
            format!("{}: {why}", addresses.join(" and "))
        }
        _ => refusals.iter().map(|(address, why)| format!("{address}: {why}")).collect::<Vec<_>>().join("; "),
    }
}

/// The error without the number that the standard library appends.
fn without_errno(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

/// The output of `work`, or an error if it takes longer than `limit`.
async fn in_time<T>(
    until: Instant,
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match timeout_at(until, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("{what} within {}", HumanDuration(limit))),
    }
}

/// Text of a worker on one line of limited length.
fn clean(bytes: &[u8]) -> String {
    /// In terminal columns.
    const MAX_REASON_LENGTH: usize = 200;
    cut(&log_line(String::from_utf8_lossy(bytes).trim()), MAX_REASON_LENGTH).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Arc, ChildId, InstanceId, ProbeKind, Prober, clean, join_failures, oneshot};

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

    #[test]
    fn text_of_a_worker_is_one_bounded_line() {
        assert_eq!(clean(b"  a\x1b[31mb\nc\xff \xe2\x80\xae. "), "ab·c\u{fffd} ·.");
        assert_eq!(clean(&[b'x'; 1000]).chars().count(), 200);
    }

    #[test]
    fn the_failure_of_each_address_is_reported() {
        let refused = |address: &str, why: &str| (address.to_owned(), why.to_owned());
        let all = [refused("127.0.0.1:80", "connection refused"), refused("[::1]:80", "connection refused")];
        assert_eq!(join_failures(&all), "127.0.0.1:80 and [::1]:80: connection refused");
        assert_eq!(join_failures(&all[..1]), "127.0.0.1:80: connection refused");
        let [first, _] = all;
        let second = refused("[::1]:80", "cannot assign requested address");
        assert_eq!(
            join_failures(&[first, second]),
            "127.0.0.1:80: connection refused; [::1]:80: cannot assign requested address"
        );
    }
}
