//! A socket as hyper takes it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// A connection. One that takes nothing of what is written to it for some time is broken off, if there is a
/// limit: a client that does not read must not keep its place for ever.
pub struct Stream<S> {
    socket: S,
    write_limit: Option<Duration>,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Stream<S> {
    /// A connection without a limit.
    pub fn new(socket: S) -> Self {
        Self { socket, write_limit: None, stalled: None }
    }

    /// A connection whose peer must read something within this time.
    pub fn with_write_limit(socket: S, limit: Duration) -> Self {
        Self { socket, write_limit: Some(limit), stalled: None }
    }

    /// What became of a write: ready ends the wait, pending begins or continues it.
    fn watched<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(limit) = self.write_limit else { return polled };
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let until = || Box::pin(tokio::time::sleep(limit));
        match self.stalled.get_or_insert_with(until).as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> Read for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut room = [0; 2048];
        let room_here = room.len().min(to.remaining());
        let mut buffer = ReadBuf::new(&mut room[..room_here]);
        let polled = Pin::new(&mut self.socket).poll_read(context, &mut buffer);
        if polled.is_ready() {
            to.put_slice(buffer.filled());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Write for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watched(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        self.watched(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, parts);
        self.watched(context, polled)
    }
}
