//! Lines for followers, and answers that arrive later without the machine.
//!
//! A client gets the next lines when it has read the last ones, and the number of lines that it missed. So a slow
//! reader costs no other client anything.

use std::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::{
    control::{Answer, ClientId, LogLine, Server},
    logs::{Batch, Follower, StreamKind},
};

/// The clients that follow, and the pending answers.
#[derive(Default)]
pub(super) struct Followers {
    list: Vec<Following>,
    later: Vec<Later>,
}

struct Following {
    client: ClientId,
    follower: Follower,
    /// Some of the recent lines may not have been sent.
    recent: bool,
    /// The client gets new lines, too.
    stream: bool,
    /// The client has read everything that was sent.
    ready: bool,
}

/// A pending answer.
struct Later {
    client: ClientId,
    answer: Pin<Box<dyn Future<Output = Answer>>>,
}

/// Waits for the next lines of the follower with this index.
type Wait<'a> = Pin<Box<dyn Future<Output = (usize, Batch)> + 'a>>;

/// What has completed.
pub(super) enum Completed {
    /// Lines, for the follower with this index.
    Lines(usize, Batch),
    /// The answer with this index.
    Answer(usize, Answer),
}

impl Followers {
    /// Lets a client follow.
    pub(super) fn add(&mut self, client: ClientId, follower: Follower, stream: bool) {
        self.list.push(Following { client, follower, recent: true, stream, ready: false });
    }

    /// Sends a client the last answer to its request as soon as there is one.
    pub(super) fn answer_later(&mut self, client: ClientId, answer: impl Future<Output = Answer> + 'static) {
        self.later.push(Later { client, answer: Box::pin(answer) });
    }

    /// Forgets disconnected clients and sends one batch of recent lines. True: another batch can be sent, after the
    /// other work of a turn.
    pub(super) fn send_recent(&mut self, server: &mut Server) -> bool {
        self.later.retain(|later| server.has(later.client));
        let (mut has_sent, mut has_more) = (false, false);
        self.list.retain_mut(|one| {
            while one.recent && server.is_drained(one.client) {
                if has_sent {
                    has_more = true;
                    break;
                }
                let answer = if let Some(batch) = one.follower.recent() {
                    has_sent = true;
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
        has_more
    }

    /// Waits for the next lines of a client that is ready, and for pending answers. Cancel-safe.
    pub(super) async fn next(&mut self) -> Completed {
        let Self { list, later } = self;
        let ready = list.iter_mut().enumerate().filter(|(_, one)| one.ready);
        let mut waits: Vec<Wait<'_>> = Vec::new();
        for (at, one) in ready {
            waits.push(Box::pin(async move { (at, one.follower.next().await) }));
        }
        if waits.is_empty() && later.is_empty() {
            return pending().await;
        }
        poll_fn(|context| {
            for (at, later) in later.iter_mut().enumerate() {
                if let Poll::Ready(answer) = later.answer.as_mut().poll(context) {
                    return Poll::Ready(Completed::Answer(at, answer));
                }
            }
            for wait in &mut waits {
                if let Poll::Ready((at, batch)) = wait.as_mut().poll(context) {
                    return Poll::Ready(Completed::Lines(at, batch));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Sends the answers that are ready.
    pub(super) fn send_ready(&mut self, server: &mut Server) {
        let mut context = Context::from_waker(Waker::noop());
        self.later.retain_mut(|later| match later.answer.as_mut().poll(&mut context) {
            Poll::Ready(answer) => {
                server.answer(later.client, &answer);
                false
            }
            Poll::Pending => true,
        });
    }

    /// Sends lines or an answer to their client.
    pub(super) fn send(&mut self, completed: Completed, server: &mut Server) {
        match completed {
            Completed::Lines(at, batch) => server.answer(self.list[at].client, &lines(&batch)),
            Completed::Answer(at, answer) => server.answer(self.later.swap_remove(at).client, &answer),
        }
    }
}

fn lines(batch: &Batch) -> Answer {
    let lines = batch.lines().map(|line| LogLine {
        id: line.id,
        name: line.name.to_owned(),
        err: line.kind == StreamKind::Err,
        at: line.at,
        text: String::from_utf8_lossy(line.bytes).into_owned(),
        begin: line.begin,
        end: line.end,
    });
    Answer::Lines { missed: batch.missed, lines: lines.collect() }
}
