//! The destinations of a complete line: the console in the chosen form, and the stream's files.
//!
//! It uses no pipe and no queue, and waits only for the console.

use std::{
    io,
    ops::Range,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Level, level_filters::LevelFilter};

use super::{
    console::Console,
    dayjs,
    file_spec::FileSpec,
    files::{ConsoleIdentities, Files, Slots, Stream},
    format::{self, Identity},
    frame::{Edge, Piece},
    history::History,
    input::Input,
    instance::{Label, Sinks},
    line_group::{GroupBuilder, InputLines, LineGroup},
    mailbox::Mailbox,
    own_line::{self, OwnLine, Reports},
    put::Put,
    stamp::{self, StampId, Stamps},
    stream_kind::{PerStream, StreamKind},
};
use crate::{
    shown,
    spec::{LogStyle, RuntimeLog},
};

/// Maximum time for the compression of rotated files at the end.
const COMPRESSION_TIME: Duration = Duration::from_millis(500);
/// The maximum age of the last lines of a run, in milliseconds.
const MAX_LAST_LINES_AGE: i64 = 10_000;
/// Approximate bytes of a line besides its text: prefix, time, marks.
const LINE_OVERHEAD: usize = 256;

/// How the lines of an instance are written.
#[derive(Debug)]
pub(super) struct LineStyle {
    /// The key of the instance among those that are read.
    key: u32,
    identity: Identity,
    /// Empty unless the style has prefixes.
    prefixes: PerStream<Box<[u8]>>,
    stamp: Option<StampId>,
    json: bool,
    /// Whether its lines are discarded.
    pub(super) disabled: bool,
    files: PerStream<Slots>,
}

/// The log file of a background supervisor, whose stdout and stderr have no reader.
#[derive(Debug)]
struct BackgroundLog {
    file: Option<usize>,
    stamp: StampId,
    line: Vec<u8>,
}

impl BackgroundLog {
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn new(file: &FileSpec, files: &mut Files, console: ConsoleIdentities, stamps: &mut Stamps) -> Self {
        let file = files.acquire(file, console, Instant::now());
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
        self.identity.id()
    }

    fn stream(&self, kind: StreamKind) -> Stream {
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
    /// For applications without a time format of their own.
    stamp: Option<StampId>,
    /// The time stamp of a line under [`LogStyle::KeyValue`].
    key_value_stamp: StampId,
    /// The widest known label, in characters.
    width: usize,
    /// The time of the lines that are being written, milliseconds since 1970.
    time: i64,
    /// Set in a background supervisor: lines of workers are not written to the console.
    background_log: Option<BackgroundLog>,
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
        let background_log =
            own.map(|file| BackgroundLog::new(&file, &mut files, console.identities(), &mut stamps));
        Ok(Self {
            history,
            console,
            files,
            stamps,
            style: log.style,
            verbosity: own_line::level_filter(log.verbosity),
            stamp,
            key_value_stamp,
            width: 0,
            time: stamp::now(),
            background_log,
        })
    }

    /// The style of a new instance. Opens its files.
    pub(super) fn line_style(&mut self, label: &Label, sinks: &Sinks, now: Instant) -> LineStyle {
        let Self { files, console, .. } = self;
        let mut open =
            |file: &Option<_>| file.as_ref().and_then(|file| files.acquire(file, console.identities(), now));
        let mut slots = |own| [open(own), open(&sinks.combined)];
        let mut files = if sinks.spec.disabled {
            PerStream::default()
        } else {
            PerStream { out: slots(&sinks.out), err: slots(&sinks.error) }
        };
        for kind in StreamKind::BOTH {
            let [own, combined] = files.of_mut(kind);
            // The same path twice: each line once.
            if own == combined
                && let Some(at) = combined.take()
            {
                self.files.release(at);
            }
        }
        self.history.register(label.id, &label.name);
        let own_stamp = sinks.spec.date_format.as_deref().map(|pattern| self.stamps.find(pattern));
        LineStyle {
            key: label.key,
            identity: Identity::new(label.id, &label.name),
            prefixes: PerStream::default(),
            stamp: own_stamp.or(self.stamp),
            json: sinks.spec.json,
            disabled: sinks.spec.disabled,
            files,
        }
    }

    /// Closes the files that no other instance writes to.
    pub(super) fn close_files(&mut self, line_style: &mut LineStyle) {
        let files = std::mem::take(&mut line_style.files);
        for kind in StreamKind::BOTH {
            for at in files.of(kind).iter().flatten() {
                self.files.release(*at);
            }
        }
    }

    /// Widens the label column for this label; returns whether it has become wider.
    pub(super) fn widen(&mut self, label: &str) -> bool {
        let width = shown::width(label);
        let wider = width > self.width;
        self.width = self.width.max(width);
        self.console.widen(self.width);
        wider
    }

    /// Pads the label to the present width.
    pub(super) fn align(&self, line_style: &mut LineStyle) {
        if self.style == LogStyle::Prefix && !line_style.disabled {
            for kind in StreamKind::BOTH {
                let colour = self.console.coloured(kind).then(|| format::colour(line_style.identity.id()));
                *line_style.prefixes.of_mut(kind) =
                    format::prefix(&line_style.identity.label(), self.width, colour);
            }
        }
    }

    /// Sets the time of the lines that follow.
    pub(super) fn set_time(&mut self) {
        self.time = stamp::now();
    }

    /// The one place that every finished line of a worker passes.
    #[inline]
    pub(super) fn line(&mut self, line_style: &LineStyle, kind: StreamKind, piece: Piece<'_>, now: Instant) {
        if self.background_log.is_none() && !(piece.is_bare_end() && self.style != LogStyle::Json) {
            self.print(line_style, kind, piece);
        }
        let slots = *line_style.files.of(kind);
        if slots != [None, None] {
            self.write_to_files(line_style, kind, piece, slots, now);
        }
    }

    /// Joins the lines of a chunk for [`Self::keep`].
    pub(super) fn group_builder<'a>(&self, chunk: &'a [u8], kind: StreamKind) -> GroupBuilder<'a> {
        GroupBuilder::new(chunk, kind, self.time)
    }

    /// The number of the next line that is added to the recent ones.
    pub(super) fn next_line(&self) -> u64 {
        self.history.next_line()
    }

    /// The last lines of an instance on this stream, among those with these numbers.
    pub(super) fn last_lines(&self, line_style: &LineStyle, kind: StreamKind, numbers: Range<u64>) -> String {
        self.history.last_lines(
            Some(line_style.identity.id()),
            kind,
            numbers,
            stamp::now() - MAX_LAST_LINES_AGE,
        )
    }

    /// Adds lines to the recent ones.
    pub(super) fn keep(&self, line_style: &LineStyle, group: LineGroup<'_>) {
        self.history.push(Some(line_style.identity.id()), line_style.identity.name(), group);
    }

    /// Adds the `lines` lines at `whole` in the input without a copy; the input gets other memory.
    pub(super) fn keep_in_place(
        &self,
        line_style: &LineStyle,
        kind: StreamKind,
        input: &mut Input,
        whole: Range<usize>,
        lines: usize,
    ) {
        let read = InputLines { whole, lines, kind, at: self.time };
        self.history.push_read(Some(line_style.identity.id()), line_style.identity.name(), input, &read);
    }

    /// Marks the instance as removed in the recent lines.
    pub(super) fn remove_history(&self, id: u32) {
        self.history.remove(id);
    }

    /// Empties the files of an instance and its recent lines. Failures are added to `failed`.
    pub(super) fn empty(&mut self, line_style: &LineStyle, now: Instant, failed: &mut Vec<String>) {
        for kind in StreamKind::BOTH {
            for at in line_style.files.of(kind).iter().flatten() {
                self.files.empty(*at, now, failed);
            }
        }
        self.history.clear(line_style.identity.id());
    }

    #[inline]
    fn print(&mut self, line_style: &LineStyle, kind: StreamKind, piece: Piece<'_>) {
        let Self { console, stamps, time, .. } = self;
        console.begin(kind, piece.bytes.len() + LINE_OVERHEAD);
        match self.style {
            LogStyle::Prefix | LogStyle::Raw => {
                console.put(line_style.prefixes.of(kind));
                if let Some(id) = line_style.stamp {
                    format::stamp(stamps.text(id, *time), console);
                }
                format::text(piece, console);
            }
            LogStyle::Json => {
                let stamp = stamps.text(StampId::ISO, *time);
                format::record(&line_style.identity, kind, stamp, piece, line_style.json, console);
            }
            LogStyle::KeyValue => {
                let stamp = stamps.text(line_style.stamp.unwrap_or(self.key_value_stamp), *time);
                format::key_value(&line_style.identity, kind, stamp, piece, console);
            }
        }
    }

    /// Lines in files have no prefix, as in PM2: the name of the file shows the source.
    fn write_to_files(
        &mut self,
        line_style: &LineStyle,
        kind: StreamKind,
        piece: Piece<'_>,
        slots: Slots,
        now: Instant,
    ) {
        let Self { files, stamps, time, .. } = self;
        let line = files.line(line_style.stream(kind), piece);
        if line_style.json {
            let stamp = stamps.text(line_style.stamp.unwrap_or(StampId::ISO), *time);
            format::record(&line_style.identity, kind, stamp, piece, true, line);
        } else {
            if let Some(id) = line_style.stamp.filter(|_| piece.begin != Edge::Pause) {
                format::stamp(stamps.text(id, *time), line);
            }
            format::file_text(piece, line);
        }
        if files.is_full() {
            files.flush(slots, now);
        }
    }

    /// Writes the buffered lines to their files: the stream that was being read has no more for now.
    pub(super) fn stream_done(&mut self, line_style: &LineStyle, kind: StreamKind, now: Instant) {
        self.files.flush(*line_style.files.of(kind), now);
    }

    /// Writes one of procrun's own lines: to stderr, in the selected form, and to its file.
    pub(super) fn own(&mut self, line: &OwnLine) {
        if let Some(background_log) = &mut self.background_log {
            background_log.write(line, &mut self.files, &mut self.stamps);
        }
        self.console.own(line);
    }

    /// Writes a report of the pump about itself.
    pub(super) fn report(&mut self, level: Level, message: String) {
        self.own(&OwnLine::new(level, message));
    }

    /// Writes everything that is buffered, and the reports of failures.
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
            // This terminates: the console reports a change of its state, and refuses silently after that.
            reports = self.take_reports();
        }
    }

    /// Reports unreported losses, and leaves no incomplete file.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    pub(super) fn shut(&mut self) {
        self.flush();
        self.console.report_losses();
        self.flush();
        self.files.end_compressing(Instant::now() + COMPRESSION_TIME);
    }

    fn take_reports(&mut self) -> Reports {
        let mut reports = self.files.take_reports();
        reports.append(self.console.take_reports());
        reports
    }

    /// Discards buffers that a panic has left half written.
    pub(super) fn drop_buffered(&mut self) {
        self.console.drop_buffered();
        self.files.drop_buffered();
    }

    /// The maximum number of buffered bytes since the last call.
    pub(super) fn take_peak(&mut self) -> usize {
        self.console.take_peak()
    }

    /// Frees memory that only a busy pump needs.
    pub(super) fn release_memory(&mut self) {
        self.console.release();
        self.history.release();
        self.files.shrink();
    }
}
