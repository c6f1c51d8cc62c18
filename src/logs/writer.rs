//! Where a finished line goes: the console in the chosen form, and the stream's files.
//!
//! Knows no pipe and no queue; never waits for anything but the console itself.

use std::{
    io,
    ops::Range,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Level, level_filters::LevelFilter};

use super::frame::{Edge, Piece};
use super::{
    Label, Sinks,
    console::Console,
    dayjs,
    file_spec::FileSpec,
    files::{Files, OwnStreams, Slots, Stream},
    format::{self, Identity, Kind, PerKind, Put},
    history::{Gather, History},
    input::Input,
    mailbox::Mailbox,
    own_lines::{self, OwnLine, Reports},
    ring::{Read, Run},
    stamp::{self, StampId, Stamps},
};
use crate::{
    shown,
    spec::{LogStyle, RuntimeLog},
};

/// The maximum time for the compression of older files at the end.
const COMPRESSING: Duration = Duration::from_millis(500);
/// The last lines of a run are at most so old, in milliseconds.
const LAST_LINES_AGE: i64 = 10_000;
/// What of a line's length is not the text: prefix, time, marks.
const AROUND: usize = 256;

/// All that a line of an instance needs to know of it.
#[derive(Debug)]
pub(super) struct LineStyle {
    /// Of the instance among those that are read.
    key: u32,
    who: Identity,
    /// Kept only for the form that has one.
    prefixes: PerKind<Box<[u8]>>,
    stamp: Option<StampId>,
    json: bool,
    /// Its lines are thrown away.
    pub(super) disabled: bool,
    files: PerKind<Slots>,
}

/// The console of a background supervisor, which has no reader.
#[derive(Debug)]
struct Unseen {
    file: Option<usize>,
    stamp: StampId,
    line: Vec<u8>,
}

impl Unseen {
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn new(file: &FileSpec, files: &mut Files, streams: OwnStreams, stamps: &mut Stamps) -> Self {
        let file = files.acquire(file, streams, Instant::now());
        Self { file, stamp: stamps.find("YYYY-MM-DD HH:mm:ss"), line: Vec::new() }
    }

    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn write(&mut self, line: &OwnLine, files: &mut Files, stamps: &mut Stamps) {
        self.line.clear();
        line.text(0, false, Some(stamps.text(self.stamp, line.at)), &mut self.line);
        if let Some(at) = self.file {
            files.write_lines(at, &self.line, Instant::now());
        }
    }
}

impl LineStyle {
    /// The id of the instance in the process list.
    pub(super) fn pm_id(&self) -> u32 {
        self.who.id()
    }

    fn stream(&self, kind: Kind) -> Stream {
        (self.key, kind)
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    console: Console,
    files: Files,
    stamps: Stamps,
    style: LogStyle,
    /// The level filter of the reports.
    verbosity: LevelFilter,
    /// Of applications that have none of their own.
    stamp: Option<StampId>,
    /// Of a line under [`LogStyle::KeyValue`].
    key_value_stamp: StampId,
    /// The widest label known, in characters.
    width: usize,
    /// The time of the lines that are being written, milliseconds since 1970.
    time: i64,
    /// The console has no reader.
    unseen: Option<Unseen>,
    history: Arc<History>,
}

impl Writer {
    pub(super) fn new(
        log: &RuntimeLog,
        out: OwnedFd,
        err: OwnedFd,
        mailbox: Arc<Mailbox>,
        own: Option<FileSpec>,
    ) -> io::Result<Self> {
        let mut stamps = Stamps::new();
        let stamp = log.date_format.as_deref().map(|pattern| stamps.find(pattern));
        let key_value_stamp = stamp.unwrap_or_else(|| stamps.find(dayjs::KEY_VALUE));
        let (history, mut files) = (mailbox.history.clone(), Files::default());
        let console = Console::new(log, out, err, mailbox)?;
        let unseen = own.map(|file| Unseen::new(&file, &mut files, console.streams(), &mut stamps));
        Ok(Self {
            history,
            console,
            files,
            stamps,
            style: log.style,
            verbosity: own_lines::level_filter(log.verbosity),
            stamp,
            key_value_stamp,
            width: 0,
            time: stamp::now(),
            unseen,
        })
    }

    /// Opens the files of a new instance.
    pub(super) fn face(&mut self, label: &Label, sinks: &Sinks, now: Instant) -> LineStyle {
        let Self { files, console, .. } = self;
        let mut open =
            |file: &Option<_>| file.as_ref().and_then(|file| files.acquire(file, console.streams(), now));
        let mut slots = |own| [open(own), open(&sinks.combined)];
        let mut files = if sinks.spec.disabled {
            PerKind::default()
        } else {
            PerKind { out: slots(&sinks.out), err: slots(&sinks.error) }
        };
        for kind in Kind::BOTH {
            let [own, combined] = files.of_mut(kind);
            // The same path twice: each line once.
            if own == combined
                && let Some(at) = combined.take()
            {
                self.files.release(at);
            }
        }
        self.history.welcome(label.id, &label.name);
        let own_stamp = sinks.spec.date_format.as_deref().map(|pattern| self.stamps.find(pattern));
        LineStyle {
            key: label.key,
            who: Identity::new(label.id, &label.name),
            prefixes: PerKind::default(),
            stamp: own_stamp.or(self.stamp),
            json: sinks.spec.json,
            disabled: sinks.spec.disabled,
            files,
        }
    }

    /// Closes the files that no other instance writes to.
    pub(super) fn forget(&mut self, face: &mut LineStyle) {
        let files = std::mem::take(&mut face.files);
        for kind in Kind::BOTH {
            for at in files.of(kind).iter().flatten() {
                self.files.release(*at);
            }
        }
    }

    /// Makes room for this instance's label in the column; whether the column has become wider.
    pub(super) fn widen(&mut self, face: &LineStyle) -> bool {
        let width = shown::width(&face.who.label());
        let wider = width > self.width;
        self.width = self.width.max(width);
        self.console.widen(self.width);
        wider
    }

    /// Pads the label to the present column.
    pub(super) fn align(&self, face: &mut LineStyle) {
        if self.style == LogStyle::Prefix && !face.disabled {
            for kind in Kind::BOTH {
                let colour = self.console.coloured(kind).then(|| format::colour(face.who.id()));
                *face.prefixes.of_mut(kind) = format::prefix(&face.who.label(), self.width, colour);
            }
        }
    }

    /// The lines that follow were read now.
    pub(super) fn set_time(&mut self) {
        self.time = stamp::now();
    }

    /// The one place that every finished line of a worker passes.
    #[inline]
    pub(super) fn line(&mut self, face: &LineStyle, kind: Kind, piece: Piece<'_>, now: Instant) {
        if self.unseen.is_none() && !(piece.is_bare_end() && self.style != LogStyle::Json) {
            self.show(face, kind, piece);
        }
        let slots = *face.files.of(kind);
        if slots != [None, None] {
            self.file_away(face, kind, piece, slots, now);
        }
    }

    /// Puts the lines of a chunk together for [`Self::keep`].
    pub(super) fn gather<'a>(&self, chunk: &'a [u8], kind: Kind) -> Gather<'a> {
        Gather::new(chunk, kind, self.time)
    }

    /// The number of the next line that is added to the recent ones.
    pub(super) fn next_line(&self) -> u64 {
        self.history.next_line()
    }

    /// The last of the recent lines with these numbers that an instance wrote to this stream.
    pub(super) fn last_lines(&self, face: &LineStyle, kind: Kind, numbers: Range<u64>) -> String {
        self.history.last_lines(Some(face.who.id()), kind, numbers, stamp::now() - LAST_LINES_AGE)
    }

    /// Adds lines to the recent ones.
    pub(super) fn keep(&self, face: &LineStyle, run: Run<'_>) {
        self.history.push(Some(face.who.id()), face.who.name(), run);
    }

    /// Adds the `lines` lines at `whole` in the input, which is exchanged for another one.
    pub(super) fn keep_all(
        &self,
        face: &LineStyle,
        kind: Kind,
        input: &mut Input,
        whole: Range<usize>,
        lines: usize,
    ) {
        let read = Read { whole, lines, kind, at: self.time };
        self.history.push_read(Some(face.who.id()), face.who.name(), input, &read);
    }

    /// The instance is not there any more.
    pub(super) fn forget_lines(&self, id: u32) {
        self.history.remove(id);
    }

    /// Empties the files of an instance and its recent lines. What went wrong goes to `failed`.
    pub(super) fn empty(&mut self, face: &LineStyle, now: Instant, failed: &mut Vec<String>) {
        for kind in Kind::BOTH {
            for at in face.files.of(kind).iter().flatten() {
                self.files.empty(*at, now, failed);
            }
        }
        self.history.clear(face.who.id());
    }

    #[inline]
    fn show(&mut self, face: &LineStyle, kind: Kind, piece: Piece<'_>) {
        let Self { console, stamps, time, .. } = self;
        console.begin(kind, piece.bytes.len() + AROUND);
        match self.style {
            LogStyle::Prefix | LogStyle::Raw => {
                console.put(face.prefixes.of(kind));
                if let Some(id) = face.stamp {
                    format::stamp(stamps.text(id, *time), console);
                }
                format::text(piece, console);
            }
            LogStyle::Json => {
                let stamp = stamps.text(StampId::ISO, *time);
                format::record(&face.who, kind, stamp, piece, face.json, console);
            }
            LogStyle::KeyValue => {
                let stamp = stamps.text(face.stamp.unwrap_or(self.key_value_stamp), *time);
                format::key_value(&face.who, kind, stamp, piece, console);
            }
        }
    }

    /// Lines in files have no prefix, as in PM2: the name of the file shows the source.
    fn file_away(&mut self, face: &LineStyle, kind: Kind, piece: Piece<'_>, slots: Slots, now: Instant) {
        let Self { files, stamps, time, .. } = self;
        let line = files.line(face.stream(kind), piece);
        if face.json {
            let stamp = stamps.text(face.stamp.unwrap_or(StampId::ISO), *time);
            format::record(&face.who, kind, stamp, piece, true, line);
        } else {
            if let Some(id) = face.stamp.filter(|_| piece.begin != Edge::Pause) {
                format::stamp(stamps.text(id, *time), line);
            }
            format::file_text(piece, line);
        }
        if files.is_full() {
            files.flush(slots, now);
        }
    }

    /// The stream that was being read has no more for now.
    pub(super) fn stream_done(&mut self, face: &LineStyle, kind: Kind, now: Instant) {
        self.files.flush(*face.files.of(kind), now);
    }

    /// One of procrun's own lines: to stderr, in the selected form, and to its file.
    pub(super) fn own(&mut self, line: &OwnLine) {
        if let Some(unseen) = &mut self.unseen {
            unseen.write(line, &mut self.files, &mut self.stamps);
        }
        self.console.own(line);
    }

    /// A report of the pump about itself.
    pub(super) fn report(&mut self, level: Level, message: String) {
        self.own(&OwnLine::new(level, message));
    }

    /// Writes everything that is buffered, and what went wrong meanwhile.
    pub(super) fn flush(&mut self) {
        self.console.flush();
        let mut reports = self.take_reports();
        while !reports.is_empty() {
            for line in reports.into_lines() {
                if line.level <= self.verbosity {
                    self.own(&line);
                }
            }
            self.console.flush();
            // Ends: the console reports a change of its state, and refuses in silence after that.
            reports = self.take_reports();
        }
    }

    /// The end: reports losses that were not reported yet, and leaves no half-written file.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    pub(super) fn shut(&mut self) {
        self.flush();
        self.console.report_losses();
        self.flush();
        self.files.end_compressing(Instant::now() + COMPRESSING);
    }

    fn take_reports(&mut self) -> Reports {
        let mut reports = self.files.take_reports();
        reports.append(self.console.take_reports());
        reports
    }

    /// Discards buffers that a panic has left half written.
    pub(super) fn drop_buffered(&mut self) {
        self.console.drop_buffered();
        self.files.drop_gathered();
    }

    /// The number of bytes of the buffers that were used since the last call.
    pub(super) fn take_most(&mut self) -> usize {
        self.console.take_most()
    }

    /// Gives memory back that only a busy pump needs.
    pub(super) fn release_memory(&mut self) {
        self.console.release();
        self.history.release();
        self.files.shrink();
    }
}

/// How long a busy pump's memory is kept after the last burst.
pub(super) const KEEP_MEMORY: Duration = Duration::from_secs(1);
