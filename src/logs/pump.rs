//! The thread that reads the workers' pipes.
//!
//! It waits in epoll for pipes and for the mailbox, and has no timer while nothing happens and no line is
//! incomplete. It may wait until stdout or stderr is writable, and then everything behind it waits: the workers in
//! their full pipes, the supervisor not at all. Only procrun's own lines overtake a blocked stdout. It makes no
//! decision about a process.

mod messages;

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        signal::SigSet,
        time::TimeSpec,
    },
    unistd::read,
};

use super::{
    file_spec::FileSpec,
    frame::{Framer, MAX_LINE, Piece},
    input::{INPUT, Input},
    mailbox::Mailbox,
    partial_lines::{PartialLine, PartialLines},
    stream_kind::{PerStream, StreamKind},
    wakeup_coalescer::WakeupCoalescer,
    writer::{LineStyle, Writer},
};
use crate::spec::RuntimeLog;

/// The mailbox's token in epoll. The token of a stream is made of the key of its instance and its kind.
const MAILBOX: u64 = u64::MAX;
/// Lines of this size in one read are kept in place instead of being copied.
const MIN_KEPT_IN_PLACE: usize = 32 * 1024;
/// A buffer of which this number of bytes was used is worth freeing.
const MIN_FREED: usize = 16 * 1024;

/// The time after the last busy moment for which the memory of a busy pump is kept.
const KEEP_MEMORY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pump {
    mailbox: Arc<Mailbox>,
    epoll: Epoll,
    /// Shared by all streams: the rest of a chunk is in the stream's framer.
    input: Input,
    instances: BTreeMap<u32, Instance>,
    writer: Writer,
    coalescer: WakeupCoalescer,
    partial_lines: PartialLines,
    /// The longest read since the last check.
    longest_read: usize,
    /// Whether it has run before.
    has_run: bool,
}

#[derive(Debug)]
struct Instance {
    streams: PerStream<Stream>,
    line_style: LineStyle,
    /// The number of the first line of the present run, among the recent lines of all instances.
    run_begins: u64,
    /// The numbers of the lines of the latest ended run.
    ended: Range<u64>,
}

#[derive(Debug)]
struct Stream {
    /// `None` after its end.
    pipe: Option<OwnedFd>,
    capacity: usize,
    framer: Framer,
    /// The incomplete line that the framer holds and that was not shown.
    partial: Option<PartialLine>,
    /// Whether it is listed in the partial lines of the pump.
    listed: bool,
}

/// The result of one read.
enum ReadOutcome {
    Bytes(usize),
    /// Nothing to read now.
    Nothing,
    /// All writers have closed the pipe.
    End,
}

impl Pump {
    pub(super) fn new(
        mailbox: Arc<Mailbox>,
        log: &RuntimeLog,
        out: OwnedFd,
        err: OwnedFd,
        own: Option<FileSpec>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(mailbox.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, MAILBOX))?;
        Ok(Self {
            writer: Writer::new(log, out, err, mailbox.clone(), own)?,
            mailbox,
            epoll,
            input: Input::new()?,
            instances: BTreeMap::new(),
            coalescer: WakeupCoalescer::default(),
            partial_lines: PartialLines::default(),
            longest_read: 0,
            has_run: false,
        })
    }

    /// Runs the thread. It is called again after a panic, which loses the lines that it was handling. Without the
    /// pump, the workers would block forever on pipes without a reader.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    pub(super) fn run(&mut self) {
        // Signals are for the supervisor; here they would only interrupt. Fails for no valid set.
        let _ = SigSet::all().thread_block();
        if std::mem::replace(&mut self.has_run, true) {
            // The wake-up may have been consumed without its messages, and the buffers may hold incomplete lines.
            self.mailbox.wake_if_pending();
            self.writer.drop_buffered();
        }
        let mut events = [EpollEvent::empty(); 64];
        let mut last_read = Instant::now();
        let mut busy_since: Option<Instant> = None;
        loop {
            let timeout = timeout(self.partial_lines.next_check(), busy_since.is_some());
            // An error can only be EINTR; the loop then runs once without events.
            let ready = self.epoll.wait(&mut events, timeout).unwrap_or(0);
            let events = &events[..ready];
            let now = Instant::now();
            if busy_since.is_some_and(|since| now - since >= KEEP_MEMORY) {
                busy_since = None;
                self.input.release();
                self.writer.release_memory();
            }
            let has_messages = events.iter().any(|event| event.data() == MAILBOX);
            if has_messages {
                self.mailbox.clear_wakeup();
            } else if ready > 0
                && let Some(pause) = self.coalescer.due(now - last_read)
            {
                self.wait_for_message(pause);
            }
            // In each loop iteration: messages that were sent before a worker wrote must precede the worker's output.
            if self.handle_messages().is_break() {
                return;
            }
            let mut bytes = 0;
            let mut fullest = 0;
            for event in events.iter().filter(|event| event.data() != MAILBOX) {
                let (id, kind) = parse_token(event.data());
                match self.read(id, kind) {
                    ReadOutcome::Bytes(count) => {
                        bytes += count;
                        fullest = fullest.max(self.fullness(id, kind, count));
                    }
                    ReadOutcome::Nothing => {}
                    ReadOutcome::End => self.end(id, kind),
                }
            }
            self.show_partial_lines(now);
            self.writer.flush();
            if bytes > 0 {
                last_read = Instant::now();
                self.coalescer.record(bytes, fullest);
            }
            let touched = self.writer.take_peak().max(std::mem::take(&mut self.longest_read));
            if touched >= MIN_FREED {
                busy_since = Some(Instant::now());
            }
        }
    }

    fn wait_for_message(&self, at_most: Duration) {
        let mut mailbox = [PollFd::new(self.mailbox.as_fd(), PollFlags::POLLIN)];
        // The mailbox is read next, whatever the result is.
        let _ = ppoll(&mut mailbox, Some(TimeSpec::from(at_most)), None);
    }

    /// Reads one stream once and passes on the completed lines.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn read(&mut self, id: u32, kind: StreamKind) -> ReadOutcome {
        let Self { instances, input, writer, longest_read, partial_lines, .. } = self;
        let Some(Instance { streams, line_style, .. }) = instances.get_mut(&id) else {
            return ReadOutcome::Nothing;
        };
        let stream = streams.of_mut(kind);
        let Some(pipe) = &stream.pipe else { return ReadOutcome::Nothing };
        match read(pipe, input.room()) {
            Ok(0) => ReadOutcome::End,
            Ok(count) => {
                *longest_read = (*longest_read).max(count);
                input.touch(count);
                if !line_style.disabled {
                    let now = Instant::now();
                    writer.set_time();
                    let framer = &mut stream.framer;
                    let mut same = true;
                    let chunk = &input[..count];
                    let whole = framer.whole_lines(chunk).filter(|whole| whole.len() >= MIN_KEPT_IN_PLACE);
                    let mut builder = writer.group_builder(chunk, kind);
                    if let Some(whole) = whole {
                        let mut lines = 0;
                        same = false;
                        framer.feed(chunk, |piece| {
                            writer.line(line_style, kind, piece, now);
                            lines += 1;
                            if lines == 1 && whole.start > 0 {
                                builder.add(piece, |group| writer.keep(line_style, group));
                            }
                        });
                        lines -= usize::from(whole.start > 0);
                        writer.keep_in_place(line_style, kind, input, whole, lines);
                    } else {
                        framer.feed(chunk, |piece| {
                            same = false;
                            writer.line(line_style, kind, piece, now);
                            builder.add(piece, |group| writer.keep(line_style, group));
                        });
                        builder.finish(|group| writer.keep(line_style, group));
                    }
                    writer.stream_done(line_style, kind, now);
                    stream.partial =
                        framer.is_partial().then(|| PartialLine::read(stream.partial, same, now));
                    if let Some(line) = stream.partial.filter(|_| !stream.listed) {
                        stream.listed = true;
                        partial_lines.insert(token(id, kind), line);
                    }
                }
                ReadOutcome::Bytes(count)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => ReadOutcome::Nothing,
            Err(_) => ReadOutcome::End,
        }
    }

    /// Writes the incomplete lines whose writers have paused or take too long.
    fn show_partial_lines(&mut self, now: Instant) {
        for stream in self.partial_lines.take_due(now) {
            let (id, kind) = parse_token(stream);
            let is_due = |pump: &mut Self| {
                let line = pump.instances.get(&id).and_then(|instance| instance.streams.of(kind).partial);
                line.is_some_and(|line| line.due() <= now)
            };
            // The pump may have waited for stdout: the rest of the line may have arrived.
            if is_due(self) {
                match self.read(id, kind) {
                    ReadOutcome::Bytes(_) | ReadOutcome::Nothing => {}
                    ReadOutcome::End => self.end(id, kind),
                }
            }
            if is_due(self) {
                self.emit_partial(id, kind, |framer, emit| framer.pause(emit));
            }
            let Some(instance) = self.instances.get_mut(&id) else { continue };
            let Stream { partial, listed, .. } = instance.streams.of_mut(kind);
            *listed = partial.is_some();
            if let Some(line) = *partial {
                self.partial_lines.insert(stream, line);
            }
        }
    }

    /// Ends an incomplete line.
    fn end_line(&mut self, id: u32, kind: StreamKind) {
        self.emit_partial(id, kind, |framer, emit| framer.end(emit));
    }

    /// Passes on the incomplete line that `take` takes from the framer.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn emit_partial(
        &mut self,
        id: u32,
        kind: StreamKind,
        take: impl FnOnce(&mut Framer, &mut dyn FnMut(Piece<'_>)),
    ) {
        let Self { instances, writer, .. } = self;
        let Some(Instance { streams, line_style, .. }) = instances.get_mut(&id) else { return };
        let stream = streams.of_mut(kind);
        stream.partial = None;
        if line_style.disabled {
            return;
        }
        let now = Instant::now();
        writer.set_time();
        let mut builder = writer.group_builder(&[], kind);
        take(&mut stream.framer, &mut |piece| {
            writer.line(line_style, kind, piece, now);
            builder.add(piece, |group| writer.keep(line_style, group));
        });
        writer.stream_done(line_style, kind, now);
    }

    /// Closes a stream whose writers have all closed it.
    fn end(&mut self, id: u32, kind: StreamKind) {
        self.end_line(id, kind);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if let Some(pipe) = instance.streams.of_mut(kind).pipe.take() {
            // It was added and is open: this cannot fail.
            let _ = self.epoll.delete(&pipe);
        }
    }

    /// How full the pipe was from which `count` bytes were read, in percent.
    fn fullness(&self, id: u32, kind: StreamKind, count: usize) -> usize {
        if count == INPUT {
            return 100;
        }
        self.instances.get(&id).map_or(0, |instance| count * 100 / instance.streams.of(kind).capacity)
    }
}

impl Stream {
    fn new(pipe: OwnedFd) -> Self {
        // The pump must never wait for one pipe. Only procrun has the read end.
        if let Ok(flags) = fcntl(&pipe, FcntlArg::F_GETFL) {
            let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
            let _ = fcntl(&pipe, FcntlArg::F_SETFL(flags));
        }
        // 64 KiB is the default of Linux.
        let capacity = fcntl(&pipe, FcntlArg::F_GETPIPE_SZ).ok().and_then(|size| usize::try_from(size).ok());
        let capacity = capacity.filter(|size| *size > 0).unwrap_or(64 * 1024);
        Self { pipe: Some(pipe), capacity, framer: Framer::new(MAX_LINE), partial: None, listed: false }
    }
}

/// How long to wait for the next event.
#[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
fn timeout(next_check: Option<Instant>, busy: bool) -> EpollTimeout {
    let busy = busy.then_some(KEEP_MEMORY);
    let pause = next_check.map(|check| check.saturating_duration_since(Instant::now()));
    let Some(wait) = busy.into_iter().chain(pause).min() else { return EpollTimeout::NONE };
    // Rounded up: after an early wake-up it would only wait again.
    let ms = u16::try_from(wait.as_millis() + 1).unwrap_or(u16::MAX);
    EpollTimeout::from(ms)
}

fn token(id: u32, kind: StreamKind) -> u64 {
    u64::from(id) << 1 | u64::from(kind == StreamKind::Err)
}

fn parse_token(token: u64) -> (u32, StreamKind) {
    let kind = if token & 1 == 1 { StreamKind::Err } else { StreamKind::Out };
    (u32::try_from(token >> 1).unwrap_or(u32::MAX), kind)
}
