//! The open log files: one for each path, however many instances write to it.
//!
//! The lines of the stream that is being read are buffered here and written to its files together. The buffer
//! never holds lines of two streams at once.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, TryRecvError},
    time::Instant,
};

use memchr::memchr_iter;
use tracing::Level;

use super::{
    file::LogFile,
    file_spec::FileSpec,
    frame::{Edge, Piece},
    offload::{Offload, Unfinished},
    own_line::Reports,
    put::Put,
    rotate::Chain,
    stream_kind::StreamKind,
    write::lines,
};
use crate::spec::NO_FILE;

/// Number of buffered bytes above which they are written.
const BUFFERED: usize = 128 * 1024;

/// The files of one stream, as indices in [`Files`]: its own, and the combined one.
pub(super) type Slots = [Option<usize>; 2];

/// One of the streams that are read.
pub(super) type Stream = (u32, StreamKind);

#[derive(Debug, Default)]
pub(super) struct Files {
    slots: Vec<Option<Shared>>,
    buffer: Vec<u8>,
    /// The stream of the buffered lines.
    stream: Option<Stream>,
    /// Whether the buffered lines begin with the continuation of a line after a pause.
    continues: bool,
    /// Chains of closed files whose older files are still being compressed. A file that opens the path again must
    /// not disturb them.
    retired: Vec<Chain>,
    /// Paths that were reported as leading to the console.
    reported: Vec<PathBuf>,
    reports: Reports,
    offload: Offload,
    console: ConsoleIdentities,
}

#[derive(Debug)]
struct Shared {
    spec: FileSpec,
    state: State,
    users: u32,
    /// The stream that has paused within the last line of the file.
    unfinished: Option<Stream>,
    /// The device of the file system, once it is known.
    device: Option<u64>,
    /// Lines that arrived while the file system did not answer.
    lost: u64,
    /// Whether it was reported that the file system does not answer.
    is_reported: bool,
}

/// The state of a file.
#[derive(Debug)]
enum State {
    Open(Box<LogFile>),
    /// In an operation that has not returned. If its result never arrives, the file is opened again.
    InOperation(Receiver<OperationResult>),
    /// Not opened yet, because no thread was left for it.
    Closed,
    /// One of procrun's own streams, stdout or stderr: not written to.
    Console,
}

/// The result of an operation.
#[derive(Debug)]
struct OperationResult {
    opened: Opened,
    bytes: Vec<u8>,
    reports: Reports,
    result: io::Result<()>,
}

#[derive(Debug)]
enum Opened {
    File(Box<LogFile>),
    Console(&'static str),
}

/// Device and inode of procrun's own streams, with their names.
pub(super) type ConsoleIdentities = [(Option<(u64, u64)>, &'static str); 2];

fn open(
    spec: FileSpec,
    console: ConsoleIdentities,
    earlier: Option<&Chain>,
    now: Instant,
) -> OperationResult {
    let mut reports = Reports::default();
    let found = fs::metadata(&spec.path).ok().map(|found| (found.dev(), found.ino()));
    let stream = console.into_iter().find(|(identity, _)| found.is_some() && *identity == found);
    let opened = match stream {
        Some((_, name)) => Opened::Console(name),
        None => Opened::File(Box::new(LogFile::new(spec, earlier, now, &mut reports))),
    };
    OperationResult { opened, bytes: Vec::new(), reports, result: Ok(()) }
}

/// Appends lines of a stream. With `ends_other`, it first ends the line of another stream.
fn append(
    mut file: Box<LogFile>,
    ends_other: bool,
    bytes: Vec<u8>,
    from: usize,
    now: Instant,
) -> OperationResult {
    let mut reports = Reports::default();
    if ends_other {
        file.write(b"\n", now, &mut reports);
    }
    if from < bytes.len() {
        file.write(&bytes[from..], now, &mut reports);
    }
    OperationResult { opened: Opened::File(file), bytes, reports, result: Ok(()) }
}

impl Files {
    /// The file of this specification, opened if its path is not open yet. The latest limits apply: when a new
    /// version of an application has other limits, its old version still writes to the file. `None` for
    /// `/dev/null`, and for one of procrun's own streams: every line is written there already, and a second open file
    /// would tear lines.
    pub(super) fn acquire(
        &mut self,
        spec: &FileSpec,
        console: ConsoleIdentities,
        now: Instant,
    ) -> Option<usize> {
        if spec.path == Path::new(NO_FILE) {
            return None;
        }
        let has_path =
            |slot: &Option<Shared>| slot.as_ref().is_some_and(|shared| shared.spec.path == spec.path);
        if let Some(at) = self.slots.iter().position(has_path) {
            if let Some(shared) = &mut self.slots[at] {
                shared.users += 1;
                shared.spec.clone_from(spec);
                if let State::Open(file) = &mut shared.state {
                    file.limit(spec);
                }
            }
            return Some(at);
        }
        let shared = Shared {
            spec: spec.clone(),
            state: State::Closed,
            users: 1,
            unfinished: None,
            device: None,
            lost: 0,
            is_reported: false,
        };
        let at = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[at] = Some(shared);
        self.console = console;
        self.ensure_open(at, now);
        if matches!(&self.slots[at], Some(Shared { state: State::Console, .. })) {
            self.slots[at] = None;
            return None;
        }
        Some(at)
    }

    /// Whether the file can be written to now. Opens it if necessary, and accepts the result of an operation that has
    /// ended.
    fn ensure_open(&mut self, at: usize, now: Instant) -> bool {
        let Some(shared) = &mut self.slots[at] else { return false };
        match &shared.state {
            State::Open(_) | State::Closed => {}
            State::Console => return false,
            State::InOperation(result) => match result.try_recv() {
                Ok(result) => self.accept_result(at, result),
                Err(TryRecvError::Empty) => return false,
                // The operation has panicked.
                Err(TryRecvError::Disconnected) => shared.state = State::Closed,
            },
        }
        let device = self.slots[at].as_ref().and_then(|shared| shared.device);
        let is_stuck = |other: &Shared| {
            device.is_some() && other.device == device && matches!(other.state, State::InOperation(_))
        };
        if self.slots.iter().flatten().any(is_stuck) {
            self.report_no_answer(at);
            return false;
        }
        let Some(shared) = &self.slots[at] else { return false };
        if matches!(shared.state, State::Closed) {
            self.retired.retain(Chain::is_busy);
            let earlier = self.retired.iter().find(|chain| chain.path() == shared.spec.path).cloned();
            let (spec, console) = (shared.spec.clone(), self.console);
            self.operate(at, move || open(spec, console, earlier.as_ref(), now));
        }
        matches!(&self.slots[at], Some(Shared { state: State::Open(_), .. }))
    }

    /// Runs an operation on the file. `None`: it has not returned in time.
    fn operate(
        &mut self,
        at: usize,
        operation: impl FnOnce() -> OperationResult + Send + 'static,
    ) -> Option<io::Result<()>> {
        match self.offload.run(operation) {
            Ok(mut ended) => {
                let result = std::mem::replace(&mut ended.result, Ok(()));
                self.accept_result(at, ended);
                return Some(result);
            }
            Err(Unfinished::Pending(result)) => {
                if let Some(shared) = &mut self.slots[at] {
                    shared.state = State::InOperation(result);
                }
            }
            Err(Unfinished::Untried) => {}
        }
        self.report_no_answer(at);
        None
    }

    fn accept_result(&mut self, at: usize, ended: OperationResult) {
        let OperationResult { opened, mut bytes, reports, result: _ } = ended;
        self.reports.append(reports);
        if self.buffer.is_empty() && self.buffer.capacity() < bytes.capacity() {
            bytes.clear();
            self.buffer = bytes;
        }
        let Some(shared) = &mut self.slots[at] else { return };
        match opened {
            Opened::File(mut file) => {
                file.limit(&shared.spec);
                shared.device = file.device().or(shared.device);
                shared.state = State::Open(file);
            }
            Opened::Console(stream) => {
                shared.state = State::Console;
                if !self.reported.contains(&shared.spec.path) {
                    let path = shared.spec.path.display();
                    let message = format!(
                        "the log file {path} is procrun's own {stream}: not opened, stdout and stderr have every line already"
                    );
                    self.reports.push(Level::INFO, message);
                    self.reported.push(shared.spec.path.clone());
                }
            }
        }
        if std::mem::take(&mut shared.is_reported) {
            let (path, lost) = (shared.spec.path.display(), lines(std::mem::take(&mut shared.lost)));
            self.reports.push(Level::WARN, format!("{path} answers again, {lost} lost"));
        }
    }

    fn report_no_answer(&mut self, at: usize) {
        if let Some(shared) = &mut self.slots[at]
            && !std::mem::replace(&mut shared.is_reported, true)
        {
            let path = shared.spec.path.display();
            self.reports.push(
                Level::ERROR,
                format!("the log file {path} does not answer (a hung file system?); its lines are lost until it does"),
            );
        }
    }

    /// Moves the file out for an operation.
    fn take(&mut self, at: usize) -> Option<Box<LogFile>> {
        let shared = self.slots[at].as_mut()?;
        match std::mem::replace(&mut shared.state, State::Closed) {
            State::Open(file) => Some(file),
            other => {
                shared.state = other;
                None
            }
        }
    }

    /// Empties the file. Failures are added to `failed`.
    pub(super) fn empty(&mut self, at: usize, now: Instant, failed: &mut Vec<String>) {
        let file = self.ensure_open(at, now).then(|| self.take(at)).flatten();
        let Some(shared) = &mut self.slots[at] else { return };
        let path = shared.spec.path.display().to_string();
        let result = match file {
            Some(mut file) => {
                shared.unfinished = None;
                self.operate(at, move || {
                    let result = file.empty(now);
                    OperationResult {
                        opened: Opened::File(file),
                        bytes: Vec::new(),
                        reports: Reports::default(),
                        result,
                    }
                })
            }
            None => None,
        };
        match result {
            Some(Ok(())) => {}
            Some(Err(error)) => failed.push(format!("cannot empty {path}: {error}")),
            None => failed.push(format!("cannot empty {path}: it does not answer")),
        }
    }

    /// Removes one user; the last one closes the file.
    pub(super) fn release(&mut self, at: usize) {
        let Some(shared) = &mut self.slots[at] else { return };
        shared.users -= 1;
        if shared.users > 0 {
            return;
        }
        let Some(Shared { state: State::Open(file), .. }) = self.slots[at].take() else { return };
        let chain = self.offload.run(move || {
            let mut reports = Reports::default();
            (file.close(&mut reports), reports)
        });
        if let Ok((chain, reports)) = chain {
            self.retired.retain(Chain::is_busy);
            self.retired.push(chain);
            self.reports.append(reports);
        }
    }

    /// Appends to one file for this stream.
    fn write(
        &mut self,
        at: usize,
        bytes: Vec<u8>,
        by: Option<Stream>,
        continues: bool,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let count = memchr_iter(b'\n', &bytes).count() as u64;
        let file = if self.ensure_open(at, now) { self.take(at) } else { None };
        let Some(shared) = &mut self.slots[at] else { return Some(bytes) };
        let Some(file) = file else {
            if !matches!(shared.state, State::Console) {
                shared.lost += count;
            }
            return Some(bytes);
        };
        let is_continued = continues && shared.unfinished.is_some() && shared.unfinished == by;
        let ends_other = shared.unfinished.take().is_some() && !is_continued;
        // Another stream has ended the line already, and the continuation is only the end of the line.
        let from = usize::from(continues && !is_continued && bytes.starts_with(b"\n"));
        if from < bytes.len() {
            shared.unfinished = by.filter(|_| bytes.last() != Some(&b'\n'));
        }
        if self.operate(at, move || append(file, ends_other, bytes, from, now)).is_none()
            && let Some(shared) = &mut self.slots[at]
        {
            shared.unfinished = None;
        }
        None
    }

    /// The buffer for this piece of the present stream.
    pub(super) fn line(&mut self, stream: Stream, piece: Piece<'_>) -> &mut impl Put {
        if self.buffer.is_empty() {
            self.stream = Some(stream);
            self.continues = piece.begin == Edge::Pause;
        }
        &mut self.buffer
    }

    /// Whether the buffer is to be written.
    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFERED
    }

    /// Writes the buffered lines to the files of their stream.
    pub(super) fn flush(&mut self, to: Slots, now: Instant) {
        if self.buffer.is_empty() {
            return;
        }
        let (stream, continues) = (self.stream, self.continues);
        let mut targets = to.into_iter().flatten().peekable();
        let mut buffered = Some(std::mem::take(&mut self.buffer));
        while let (Some(at), Some(bytes)) = (targets.next(), buffered.take()) {
            buffered = targets.peek().map(|_| bytes.clone());
            if let Some(mut unused) = self.write(at, bytes, stream, continues, now)
                && buffered.is_none()
            {
                unused.clear();
                self.buffer = unused;
            }
        }
    }

    /// Appends whole lines to a file that belongs to no stream.
    pub(super) fn write_lines(&mut self, at: usize, bytes: &[u8], now: Instant) {
        self.write(at, bytes.to_vec(), None, false, now);
    }

    /// Discards the buffered lines.
    pub(super) fn drop_buffered(&mut self) {
        self.buffer.clear();
    }

    /// Ends the compression of closed files, at this time at the latest.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    pub(super) fn end_compressing(&mut self, deadline: Instant) {
        for chain in std::mem::take(&mut self.retired) {
            let after = deadline.saturating_duration_since(Instant::now());
            // The file system may not answer.
            let _ = self.offload.run(move || chain.abandon(after));
        }
    }

    /// Failures since the last call.
    pub(super) fn take_reports(&mut self) -> Reports {
        std::mem::take(&mut self.reports)
    }

    /// Frees the memory of the buffer.
    pub(super) fn shrink(&mut self) {
        self.buffer = Vec::new();
    }
}
