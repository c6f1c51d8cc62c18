//! The body of an answer: complete, or a stream.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::http::InProgress;

/// The body of an answer. Its request is in progress until it is dropped.
#[derive(Debug)]
pub struct Body {
    content: Content,
    _in_progress: Option<InProgress>,
}

#[derive(Debug)]
enum Content {
    Complete(Option<Bytes>),
    Stream(mpsc::Receiver<Bytes>),
}

impl Body {
    pub(super) fn complete(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { content: Content::Complete(Some(bytes).filter(|bytes| !bytes.is_empty())), _in_progress: None }
    }

    /// What the sender sends, until it is dropped.
    pub(super) fn stream(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { content: Content::Stream(receiver), _in_progress: None }
    }

    pub(super) fn of_request(self, in_progress: Option<InProgress>) -> Self {
        Self { _in_progress: in_progress, ..self }
    }

    /// Its length, if it is complete.
    pub(super) fn length(&self) -> Option<usize> {
        match &self.content {
            Content::Complete(bytes) => Some(bytes.as_ref().map_or(0, Bytes::len)),
            Content::Stream(_) => None,
        }
    }

    /// The same answer without a body, for HEAD.
    pub(super) fn without_content(self) -> Self {
        Self { content: Content::Complete(None), ..self }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.content {
            Content::Complete(bytes) => Poll::Ready(bytes.take()),
            Content::Stream(receiver) => receiver.poll_recv(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Complete(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Complete(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Stream(_) => SizeHint::default(),
        }
    }
}
