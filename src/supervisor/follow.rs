//! Lines for the clients that follow them.
//!
//! A client gets the next lines when it has read the last ones, and is told how many it missed. So it
//! costs nobody but itself to read slowly.

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};

use tokio::sync::oneshot;

use crate::{
    control::{Answer, ClientId, Edge, LogLine, Server},
    logs::{Batch, Follower, Kind},
    machine::frame,
};

/// Who follows, and who waits for the log files to be emptied.
#[derive(Default)]
pub(super) struct Followers {
    list: Vec<Following>,
    flushes: Vec<Flush>,
}

struct Following {
    client: ClientId,
    follower: Follower,
    /// Some of the lines that were there may not have been sent.
    recent: bool,
    /// It wants those that come, too.
    stream: bool,
    /// It has read what it was sent.
    ready: bool,
}

struct Flush {
    client: ClientId,
    ids: Vec<u32>,
    done: oneshot::Receiver<Vec<String>>,
}

/// Waits for the next lines of the follower at this place.
type Wait<'a> = Pin<Box<dyn Future<Output = (usize, Batch)> + 'a>>;

/// What somebody waited for.
pub(super) enum Heard {
    /// Lines, for the follower at this place.
    Lines(usize, Batch),
    /// The files are empty, or not: the flush at this place.
    Flushed(usize, Vec<String>),
}

impl Followers {
    /// Lets a client follow.
    pub(super) fn add(&mut self, client: ClientId, follower: Follower, stream: bool) {
        self.list.push(Following { client, follower, recent: true, stream, ready: false });
    }

    /// Answers a client when the files are empty.
    pub(super) fn await_flush(
        &mut self,
        client: ClientId,
        ids: Vec<u32>,
        done: oneshot::Receiver<Vec<String>>,
    ) {
        self.flushes.push(Flush { client, ids, done });
    }

    /// Forgets who is gone and sends the lines that are there to who can take them.
    pub(super) fn see_to(&mut self, server: &mut Server) {
        self.flushes.retain(|flush| server.has(flush.client));
        self.list.retain_mut(|one| {
            while one.recent && server.is_drained(one.client) {
                let answer = if let Some(batch) = one.follower.recent() {
                    lines(&batch)
                } else {
                    one.recent = false;
                    if one.stream { Answer::Live } else { Answer::Done { ids: Vec::new() } }
                };
                server.answer(one.client, &answer);
            }
            one.ready = !one.recent && server.is_drained(one.client);
            server.has(one.client) && (one.recent || one.stream)
        });
    }

    /// Waits for the next lines of anybody who can take them. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Heard {
        let Self { list, flushes } = self;
        let ready = list.iter_mut().enumerate().filter(|(_, one)| one.ready);
        let mut waits: Vec<Wait<'_>> = Vec::new();
        for (at, one) in ready {
            waits.push(Box::pin(async move { (at, one.follower.next().await) }));
        }
        if waits.is_empty() && flushes.is_empty() {
            return pending().await;
        }
        poll_fn(|context| {
            for (at, flush) in flushes.iter_mut().enumerate() {
                if let Poll::Ready(done) = pin!(&mut flush.done).poll(context) {
                    let failed = done.unwrap_or_else(|_| vec!["the log has ended".to_owned()]);
                    return Poll::Ready(Heard::Flushed(at, failed));
                }
            }
            for wait in &mut waits {
                if let Poll::Ready((at, batch)) = wait.as_mut().poll(context) {
                    return Poll::Ready(Heard::Lines(at, batch));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Sends on what was heard.
    pub(super) fn pass_on(&mut self, heard: Heard, server: &mut Server) {
        match heard {
            Heard::Lines(at, batch) => server.answer(self.list[at].client, &lines(&batch)),
            Heard::Flushed(at, failed) => {
                let Flush { client, ids, .. } = self.flushes.swap_remove(at);
                let answer =
                    if failed.is_empty() { Answer::Done { ids } } else { Answer::failed(failed.join("\n")) };
                server.answer(client, &answer);
            }
        }
    }
}

fn lines(batch: &Batch) -> Answer {
    let lines = batch.lines().map(|line| LogLine {
        id: line.id,
        name: line.name.to_owned(),
        err: line.kind == Kind::Err,
        at: line.at,
        text: String::from_utf8_lossy(line.bytes).into_owned(),
        begin: edge(line.begin),
        end: edge(line.end),
    });
    Answer::Lines { missed: batch.missed, lines: lines.collect() }
}

fn edge(edge: frame::Edge) -> Edge {
    match edge {
        frame::Edge::Line => Edge::Line,
        frame::Edge::Cut => Edge::Cut,
        frame::Edge::Pause => Edge::Pause,
    }
}
