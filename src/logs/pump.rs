//! The thread that reads the workers' pipes.
//!
//! It waits in epoll for pipes and for the mailbox, and has no timer while nothing happens and no line is
//! incomplete. It may wait until stdout or stderr is writable, and then everything behind it waits: the workers in
//! their full pipes, the supervisor not at all. Only procrun's own lines overtake a blocked stdout. It makes no
//! decision about a process.

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
use tracing::Level;

use super::frame::{Framer, MAX_LINE, Piece};
use super::{
    Label,
    file_spec::FileSpec,
    format::{self, Kind, PerKind},
    input::{INPUT, Input},
    mailbox::{Addition, Mailbox, Message},
    own_lines::OwnLine,
    pauses::{Part, Pauses},
    wakeup_coalescer::WakeupCoalescer,
    writer::{KEEP_MEMORY, LineStyle, Writer},
};
use crate::spec::RuntimeLog;

/// The mailbox's token in epoll; a stream's is its id and kind.
const MAIL: u64 = u64::MAX;
/// Lines of this size in one read are kept in place instead of being copied.
const MIN_KEPT_IN_PLACE: usize = 32 * 1024;
/// A buffer of which this number of bytes was used is worth freeing.
const MIN_FREED: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Pump {
    mailbox: Arc<Mailbox>,
    epoll: Epoll,
    /// Shared by all streams: the rest of a chunk is in the stream's framer.
    input: Input,
    instances: BTreeMap<u32, Instance>,
    writer: Writer,
    coalescer: WakeupCoalescer,
    pauses: Pauses,
    /// The longest read since the last check.
    longest: usize,
    /// Whether it has run before.
    has_run: bool,
}

#[derive(Debug)]
struct Instance {
    streams: PerKind<Stream>,
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
    /// The part of a line that the framer holds and that was not shown.
    part: Option<Part>,
    /// Whether it is listed in the pump's pauses.
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
        epoll.add(mailbox.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, MAIL))?;
        Ok(Self {
            writer: Writer::new(log, out, err, mailbox.clone(), own)?,
            mailbox,
            epoll,
            input: Input::new()?,
            instances: BTreeMap::new(),
            coalescer: WakeupCoalescer::default(),
            pauses: Pauses::default(),
            longest: 0,
            has_run: false,
        })
    }

    /// Runs the thread. It is called again after a panic, which costs the lines in hand and not the workers: they
    /// would block forever on pipes without a reader.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    pub(super) fn run(&mut self) {
        // Signals are for the supervisor; here they would only interrupt. Fails for no valid set.
        let _ = SigSet::all().thread_block();
        if std::mem::replace(&mut self.has_run, true) {
            // The wake-up may have been consumed without its messages, and all that is still buffered was in hand.
            self.mailbox.wake_if_pending();
            self.writer.drop_buffered();
        }
        let mut events = [EpollEvent::empty(); 64];
        let mut last_read = Instant::now();
        let mut heavy: Option<Instant> = None;
        loop {
            let timeout = timeout(self.pauses.look_at(), heavy.is_some());
            // An error can only be EINTR; the loop then runs once without events.
            let ready = self.epoll.wait(&mut events, timeout).unwrap_or(0);
            let events = &events[..ready];
            let now = Instant::now();
            if heavy.is_some_and(|since| now - since >= KEEP_MEMORY) {
                heavy = None;
                self.input.release();
                self.writer.release_memory();
            }
            let mailed = events.iter().any(|event| event.data() == MAIL);
            if mailed {
                self.mailbox.clear_wakeup();
            } else if ready > 0
                && let Some(pause) = self.coalescer.due(now - last_read)
            {
                self.wait_for_mail(pause);
            }
            // In each turn: messages that were sent before a worker wrote must precede the worker's output.
            if self.handle_mail().is_break() {
                return;
            }
            let mut bytes = 0;
            let mut fullest = 0;
            for event in events.iter().filter(|event| event.data() != MAIL) {
                let (id, kind) = stream_of(event.data());
                match self.read(id, kind) {
                    ReadOutcome::Bytes(count) => {
                        bytes += count;
                        fullest = fullest.max(self.fullness(id, kind, count));
                    }
                    ReadOutcome::Nothing => {}
                    ReadOutcome::End => self.end(id, kind),
                }
            }
            self.show_parts(now);
            self.writer.flush();
            if bytes > 0 {
                last_read = Instant::now();
                self.coalescer.record(bytes, fullest);
            }
            let touched = self.writer.take_most().max(std::mem::take(&mut self.longest));
            if touched >= MIN_FREED {
                heavy = Some(Instant::now());
            }
        }
    }

    fn wait_for_mail(&self, at_most: Duration) {
        let mut mail = [PollFd::new(self.mailbox.as_fd(), PollFlags::POLLIN)];
        // Whatever the result is, the mailbox is read next.
        let _ = ppoll(&mut mail, Some(TimeSpec::from(at_most)), None);
    }

    /// Handles all waiting messages. Breaks when no more can arrive.
    fn handle_mail(&mut self) -> std::ops::ControlFlow<()> {
        while let Some(message) = self.mailbox.receive() {
            match message {
                Message::Expect(label) => self.expect(&label),
                Message::Add(addition) => self.add(*addition),
                Message::RunEnded(id) => self.run_ended(id),
                Message::LastLines(ids, done) => {
                    // Without a receiver the supervisor no longer waits.
                    let _ = done.send(ids.into_iter().map(|id| self.last_lines(id)).collect());
                }
                Message::Remove(key) => {
                    let pm_id = self.instances.get(&key).map(|instance| instance.line_style.pm_id());
                    self.remove(key);
                    // A successor in a reload continues the lines of its predecessor.
                    let is_it = |instance: &Instance| Some(instance.line_style.pm_id()) == pm_id;
                    if let Some(pm_id) = pm_id.filter(|_| !self.instances.values().any(is_it)) {
                        self.writer.forget_lines(pm_id);
                    }
                }
                Message::Flush(ids, done) => {
                    let _ = done.send(self.empty(&ids));
                }
                Message::Own(line) => self.writer.own(&line),
                Message::Dropped(count) => self.writer.own(&OwnLine::dropped(count)),
                Message::Unread(count) => {
                    let message = format!(
                        "the output of {count} ended processes is lost: procrun's output was not read in time"
                    );
                    self.writer.report(Level::WARN, message);
                }
                Message::Finish(done) => {
                    self.drain_all();
                    // The waiter may have given up.
                    let _ = done.send(());
                }
                Message::Shut(done) => {
                    self.shut();
                    let _ = done.send(());
                }
                Message::Close => {
                    self.shut();
                    return std::ops::ControlFlow::Break(());
                }
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn expect(&mut self, label: &Label) {
        if self.writer.widen(&format::label(label.id, &label.name)) {
            for instance in self.instances.values_mut() {
                self.writer.align(&mut instance.line_style);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn add(&mut self, addition: Addition) {
        let Addition { label, sinks, out, err } = addition;
        let id = label.key;
        self.remove(id);
        let line_style = self.writer.line_style(&label, &sinks, Instant::now());
        let streams = PerKind { out: Stream::new(out), err: Stream::new(err) };
        for kind in Kind::BOTH {
            let stream = streams.of(kind);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token(id, kind));
            if let Some(pipe) = &stream.pipe
                && let Err(errno) = self.epoll.add(pipe, event)
            {
                let message = format!("cannot read the output of {}|{}: {errno}", label.id, label.name);
                self.writer.report(Level::ERROR, message);
            }
        }
        let wider = !line_style.disabled && self.writer.widen(&format::label(label.id, &label.name));
        let run_begins = self.writer.next_line();
        self.instances.insert(id, Instance { streams, line_style, run_begins, ended: 0..0 });
        for (other, instance) in &mut self.instances {
            if wider || *other == id {
                self.writer.align(&mut instance.line_style);
            }
        }
    }

    fn run_ended(&mut self, id: u32) {
        self.drain(id);
        let next = self.writer.next_line();
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.ended = std::mem::replace(&mut instance.run_begins, next)..next;
        }
    }

    fn last_lines(&self, id: u32) -> String {
        let instance = self.instances.get(&id);
        instance.map_or_else(String::new, |Instance { line_style, ended, .. }| {
            self.writer.last_lines(line_style, Kind::Err, ended.clone())
        })
    }

    fn remove(&mut self, id: u32) {
        self.drain(id);
        if let Some(mut instance) = self.instances.remove(&id) {
            for kind in Kind::BOTH {
                if let Some(pipe) = &instance.streams.of(kind).pipe {
                    // It was added and is open: this cannot fail.
                    let _ = self.epoll.delete(pipe);
                }
            }
            self.writer.forget(&mut instance.line_style);
        }
    }

    /// Drops what these instances have written until now; returns what could not be dropped.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn empty(&mut self, ids: &[u32]) -> Vec<String> {
        let now = Instant::now();
        let mut failed = Vec::new();
        for Instance { line_style, .. } in self.instances.values() {
            if ids.contains(&line_style.pm_id()) {
                self.writer.empty(line_style, now, &mut failed);
            }
        }
        failed
    }

    fn drain_all(&mut self) {
        let ids: Vec<u32> = self.instances.keys().copied().collect();
        for id in ids {
            self.drain(id);
        }
        self.writer.flush();
    }

    /// Writes everything readable, closes the files and reports losses.
    fn shut(&mut self) {
        self.drain_all();
        for instance in self.instances.values_mut() {
            self.writer.forget(&mut instance.line_style);
        }
        self.writer.shut();
    }

    /// Reads what an instance has written until now and ends its last line. At most the capacity of its pipes: an
    /// orphan that continues to write must not keep the pump here.
    fn drain(&mut self, id: u32) {
        for kind in Kind::BOTH {
            let Some(instance) = self.instances.get(&id) else { return };
            let mut left = instance.streams.of(kind).capacity;
            while left > 0 {
                match self.read(id, kind) {
                    ReadOutcome::Bytes(count) => left = left.saturating_sub(count),
                    ReadOutcome::Nothing => break,
                    ReadOutcome::End => {
                        self.end(id, kind);
                        break;
                    }
                }
            }
            self.end_line(id, kind);
        }
    }

    /// Reads one stream once and passes on the completed lines.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn read(&mut self, id: u32, kind: Kind) -> ReadOutcome {
        let Self { instances, input, writer, longest, pauses, .. } = self;
        let Some(Instance { streams, line_style, .. }) = instances.get_mut(&id) else {
            return ReadOutcome::Nothing;
        };
        let stream = streams.of_mut(kind);
        let Some(pipe) = &stream.pipe else { return ReadOutcome::Nothing };
        match read(pipe, input.room()) {
            Ok(0) => ReadOutcome::End,
            Ok(count) => {
                *longest = (*longest).max(count);
                input.touch(count);
                if !line_style.disabled {
                    let now = Instant::now();
                    writer.set_time();
                    let framer = &mut stream.framer;
                    let mut same = true;
                    let chunk = &input[..count];
                    let whole = framer.whole_lines(chunk).filter(|whole| whole.len() >= MIN_KEPT_IN_PLACE);
                    let mut gather = writer.gather(chunk, kind);
                    if let Some(whole) = whole {
                        let mut lines = 0;
                        same = false;
                        framer.feed(chunk, |piece| {
                            writer.line(line_style, kind, piece, now);
                            lines += 1;
                            if lines == 1 && whole.start > 0 {
                                gather.piece(piece, |run| writer.keep(line_style, run));
                            }
                        });
                        lines -= usize::from(whole.start > 0);
                        writer.keep_all(line_style, kind, input, whole, lines);
                    } else {
                        framer.feed(chunk, |piece| {
                            same = false;
                            writer.line(line_style, kind, piece, now);
                            gather.piece(piece, |run| writer.keep(line_style, run));
                        });
                        gather.end(|run| writer.keep(line_style, run));
                    }
                    writer.stream_done(line_style, kind, now);
                    stream.part = framer.is_partial().then(|| Part::read(stream.part, same, now));
                    if let Some(part) = stream.part.filter(|_| !stream.listed) {
                        stream.listed = true;
                        pauses.list(token(id, kind), part);
                    }
                }
                ReadOutcome::Bytes(count)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => ReadOutcome::Nothing,
            Err(_) => ReadOutcome::End,
        }
    }

    /// Shows the parts of lines whose writers have paused, or take too long.
    fn show_parts(&mut self, now: Instant) {
        for stream in self.pauses.take(now) {
            let (id, kind) = stream_of(stream);
            let is_due = |pump: &mut Self| {
                let part = pump.instances.get(&id).and_then(|instance| instance.streams.of(kind).part);
                part.is_some_and(|part| part.due() <= now)
            };
            // The pump may have waited for stdout: the rest of the line may have arrived.
            if is_due(self) {
                match self.read(id, kind) {
                    ReadOutcome::Bytes(_) | ReadOutcome::Nothing => {}
                    ReadOutcome::End => self.end(id, kind),
                }
            }
            if is_due(self) {
                self.hand_out(id, kind, |framer, emit| framer.pause(emit));
            }
            let Some(instance) = self.instances.get_mut(&id) else { continue };
            let Stream { part, listed, .. } = instance.streams.of_mut(kind);
            *listed = part.is_some();
            if let Some(part) = *part {
                self.pauses.list(stream, part);
            }
        }
    }

    /// Ends an incomplete line.
    fn end_line(&mut self, id: u32, kind: Kind) {
        self.hand_out(id, kind, |framer, emit| framer.end(emit));
    }

    /// Passes on the incomplete line that `take` takes from the framer.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn hand_out(&mut self, id: u32, kind: Kind, take: impl FnOnce(&mut Framer, &mut dyn FnMut(Piece<'_>))) {
        let Self { instances, writer, .. } = self;
        let Some(Instance { streams, line_style, .. }) = instances.get_mut(&id) else { return };
        let stream = streams.of_mut(kind);
        stream.part = None;
        if line_style.disabled {
            return;
        }
        let now = Instant::now();
        writer.set_time();
        let mut gather = writer.gather(&[], kind);
        take(&mut stream.framer, &mut |piece| {
            writer.line(line_style, kind, piece, now);
            gather.piece(piece, |run| writer.keep(line_style, run));
        });
        writer.stream_done(line_style, kind, now);
    }

    /// Closes a stream whose writers have all closed it.
    fn end(&mut self, id: u32, kind: Kind) {
        self.end_line(id, kind);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if let Some(pipe) = instance.streams.of_mut(kind).pipe.take() {
            // It was added and is open: this cannot fail.
            let _ = self.epoll.delete(&pipe);
        }
    }

    /// How full the pipe was from which `count` bytes were read, in percent.
    fn fullness(&self, id: u32, kind: Kind, count: usize) -> usize {
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
        Self { pipe: Some(pipe), capacity, framer: Framer::new(MAX_LINE), part: None, listed: false }
    }
}

/// How long to wait for the next event.
#[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
fn timeout(look_at: Option<Instant>, heavy: bool) -> EpollTimeout {
    let heavy = heavy.then_some(KEEP_MEMORY);
    let pause = look_at.map(|look| look.saturating_duration_since(Instant::now()));
    let Some(wait) = heavy.into_iter().chain(pause).min() else { return EpollTimeout::NONE };
    // Rounded up: after an early wake-up it would only wait again.
    let ms = u16::try_from(wait.as_millis() + 1).unwrap_or(u16::MAX);
    EpollTimeout::from(ms)
}

fn token(id: u32, kind: Kind) -> u64 {
    u64::from(id) << 1 | u64::from(kind == Kind::Err)
}

fn stream_of(token: u64) -> (u32, Kind) {
    let kind = if token & 1 == 1 { Kind::Err } else { Kind::Out };
    (u32::try_from(token >> 1).unwrap_or(u32::MAX), kind)
}
