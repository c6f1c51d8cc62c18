//! Asking workers how they are, and hearing what they say of it: transport only.
//!
//! A question is a task of the supervisor's own thread with an end in time, so whoever does not answer
//! holds up nobody. There is at most one of a kind for an instance. What an answer means is decided in
//! `machine`. Nothing here reaps a process: whoever does says so.

mod http;
mod notify;
mod program;

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout_at},
};

pub use self::{notify::Notify, program::Program};
use crate::{
    machine::{InstanceId, ProbeKind, Readable, Run},
    sys::reap::{Pid, Status},
};

/// A question.
#[derive(Debug)]
pub enum Question {
    /// An HTTP request to the first of these addresses that takes the connection.
    Http {
        /// Where.
        addresses: Vec<SocketAddr>,
        /// What stands in the header `Host`.
        host: String,
        /// Path and query.
        path: String,
    },
    /// A connection to one of these addresses.
    Tcp(Vec<SocketAddr>),
    /// A program that has just been started.
    Program(Program),
}

/// An answer; an error is what went wrong, for people.
#[derive(Debug)]
pub struct Answer {
    /// Who was asked.
    pub run: Run,
    /// What.
    pub kind: ProbeKind,
    /// What came of it.
    pub result: Result<(), String>,
}

type Key = (InstanceId, ProbeKind);

/// All questions that are under way.
#[derive(Debug, Default)]
pub struct Prober {
    tasks: JoinSet<Answer>,
    under_way: HashMap<Key, AbortHandle>,
    /// Programs that have not been reaped, and who waits for that.
    programs: HashMap<Pid, (Key, oneshot::Sender<Status>)>,
}

impl Prober {
    /// Asks; the answer is among the news. What the instance was asked before is forgotten.
    pub fn ask(&mut self, run: Run, kind: ProbeKind, question: Question, now: Instant, limit: Duration) {
        let until = now + limit;
        let key = (run.instance, kind);
        let exit = match &question {
            Question::Program(program) => {
                let (sender, receiver) = oneshot::channel();
                self.programs.insert(program.pid(), (key, sender));
                Some(receiver)
            }
            Question::Http { .. } | Question::Tcp(_) => None,
        };
        self.begin(run, kind, async move {
            match (question, exit) {
                (Question::Program(program), Some(exit)) => program.result(exit, until, limit).await,
                (Question::Program(_), None) => Err("was not started".to_owned()),
                (Question::Tcp(addresses), _) => {
                    in_time(until, limit, "no connection", connect(&addresses)).await.map(drop)
                }
                (Question::Http { addresses, host, path }, _) => {
                    http::get(&addresses, &host, &path, until, limit).await
                }
            }
        });
    }

    /// Answers a question that could not be asked.
    pub fn fail(&mut self, run: Run, kind: ProbeKind, why: String) {
        self.begin(run, kind, async move { Err(why) });
    }

    fn begin(
        &mut self,
        run: Run,
        kind: ProbeKind,
        result: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move { Answer { run, kind, result: result.await } });
        if let Some(older) = self.under_way.insert((run.instance, kind), task) {
            older.abort();
        }
    }

    /// Whether a program that asked the same is still there although nobody waits for it: SIGKILL has
    /// not ended it.
    pub fn is_stuck(&self, instance: InstanceId, kind: ProbeKind) -> bool {
        self.programs.values().any(|(key, _)| *key == (instance, kind))
    }

    /// A run has ended: nobody is asked about it any more.
    pub fn ended(&mut self, instance: InstanceId) {
        for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
            if let Some(task) = self.under_way.remove(&(instance, kind)) {
                task.abort();
            }
        }
    }

    /// Takes in a reaped child, and says whether it was one of the programs here.
    pub fn reaped(&mut self, pid: Pid, status: Status) -> bool {
        let Some((_, waiting)) = self.programs.remove(&pid) else { return false };
        program::is_over(pid);
        // Nobody may be waiting any more.
        let _ = waiting.send(status);
        true
    }

    /// Waits for answers. Cancel-safe.
    pub async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while answers.is_empty() {
            match self.tasks.join_next().await {
                // One that was aborted has none.
                Some(result) => answers.extend(result),
                None => return std::future::pending().await,
            }
        }
        while let Some(result) = self.tasks.try_join_next() {
            answers.extend(result);
        }
        for Answer { run, kind, .. } in &answers {
            self.under_way.remove(&(run.instance, *kind));
        }
        answers
    }
}

/// The first connection that is taken; else why the last one was not.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = "there is no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{address}: {}", plain(&error)),
        }
    }
    Err(why)
}

/// Without the number that the standard library puts behind it.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

/// What comes of it, unless it takes too long.
async fn in_time<T>(
    until: Instant,
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match timeout_at(until, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("{what} within {}", Readable(limit))),
    }
}

/// Text of somebody else on one line of bounded length.
fn clean(bytes: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::new();
    for c in text.trim().chars().take(LONGEST) {
        line.push(if c.is_control() { ' ' } else { c });
    }
    if text.trim().chars().count() > LONGEST {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn foreign_text_is_one_bounded_line() {
        assert_eq!(clean(b"  a\x1b[31mb\nc\xff "), "a [31mb c\u{fffd}");
        assert_eq!(clean(&[b'x'; 1000]).chars().count(), 201);
    }
}
