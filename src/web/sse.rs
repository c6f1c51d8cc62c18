//! Streams of server-sent events.

use std::{fmt::Write as _, time::Duration};

use hyper::{StatusCode, body::Bytes};
use tokio::{sync::mpsc, time::timeout};

use super::{answer::Answer, body::Body};

const MEDIA_TYPE: &str = "text/event-stream";
/// Pieces of a stream that are sent while the client reads the ones before. A piece of log lines may have some
/// hundred KiB.
const QUEUE: usize = 2;
/// A comment after this time without a message keeps the connection open through proxies, and finds a client that
/// is gone.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// That comment.
pub(super) const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// A stream, and the end where its messages go in.
pub(super) fn stream() -> (mpsc::Sender<Bytes>, Answer) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (sender, Answer::new(StatusCode::OK, MEDIA_TYPE, Body::stream(receiver)))
}

/// Waits for the next answer of the supervisor, and sends [`COMMENT`] meanwhile. `None`: the client is gone.
pub(super) async fn next<T>(answer: impl Future<Output = T>, sender: &mpsc::Sender<Bytes>) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        tokio::select! {
            received = timeout(KEEP_ALIVE, answer.as_mut()) => match received {
                Ok(answer) => return Some(answer),
                Err(_) => sender.send(COMMENT).await.ok()?,
            },
            () = sender.closed() => return None,
        }
    }
}

/// One message. Its data is one line of JSON.
#[derive(Debug, Default)]
pub(super) struct Messages(String);

impl Messages {
    pub(super) fn add(&mut self, id: Option<u64>, kind: Option<&str>, data: &str) {
        // Writing to a string cannot fail.
        if let Some(id) = id {
            let _ = writeln!(self.0, "id: {id}");
        }
        if let Some(kind) = kind {
            let _ = writeln!(self.0, "event: {kind}");
        }
        let _ = write!(self.0, "data: {data}\n\n");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_with_an_empty_line() {
        let mut messages = Messages::default();
        messages.add(Some(7), None, "{}");
        messages.add(None, Some("missed"), "{\"missed\":3}");
        let expected = "id: 7\ndata: {}\n\nevent: missed\ndata: {\"missed\":3}\n\n";
        assert_eq!(messages.into_bytes(), expected);
    }
}
