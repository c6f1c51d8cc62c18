//! The open log files: one for each path, however many instances write to it.
//!
//! Lines of the stream that is being read gather here and go to its files together. The buffer never holds lines
//! of two streams at once.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, TryRecvError},
    time::Instant,
};

use memchr::memchr_iter;
use tracing::Level;

use super::frame::{Edge, Piece};
use super::{
    file::LogFile,
    file_spec::FileSpec,
    format::{Kind, Put},
    offload::{Late, Offload},
    own_lines::Reports,
    rotate::Chain,
    write::lines,
};
use crate::spec::NO_FILE;

/// Gathered bytes above which they are written.
const GATHER: usize = 128 * 1024;

/// The files of one stream, as indices in [`Files`]: its own, and the combined one.
pub(super) type Slots = [Option<usize>; 2];

/// One of the streams that are read.
pub(super) type Stream = (u32, Kind);

#[derive(Debug, Default)]
pub(super) struct Files {
    slots: Vec<Option<Shared>>,
    gathered: Vec<u8>,
    /// The stream of the gathered lines.
    stream: Option<Stream>,
    /// Whether they begin with the continuation of a line after a pause.
    continues: bool,
    /// Chains of closed files whose older files are still being compressed. A file that opens the path again must
    /// not disturb them.
    retired: Vec<Chain>,
    /// Paths that were already reported as leading to the console.
    said: Vec<PathBuf>,
    reports: Reports,
    offload: Offload,
    streams: OwnStreams,
}

#[derive(Debug)]
struct Shared {
    spec: FileSpec,
    place: Place,
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
enum Place {
    Here(Box<LogFile>),
    /// In an operation that has not returned. If its result never arrives, the file is opened again.
    Away(Receiver<Done>),
    /// Not opened yet, because no thread was left for it.
    Closed,
    /// One of procrun's own streams, stdout or stderr: not written to.
    Console,
}

/// The result of an operation.
#[derive(Debug)]
struct Done {
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
pub(super) type OwnStreams = [(Option<(u64, u64)>, &'static str); 2];

fn open(spec: FileSpec, streams: OwnStreams, earlier: Option<&Chain>, now: Instant) -> Done {
    let mut reports = Reports::default();
    let found = fs::metadata(&spec.path).ok().map(|found| (found.dev(), found.ino()));
    let stream = streams.into_iter().find(|(identity, _)| found.is_some() && *identity == found);
    let opened = match stream {
        Some((_, name)) => Opened::Console(name),
        None => Opened::File(Box::new(LogFile::new(spec, earlier, now, &mut reports))),
    };
    Done { opened, bytes: Vec::new(), reports, result: Ok(()) }
}

/// Appends lines of a stream; `first`: ends the line of another stream before.
fn append(mut file: Box<LogFile>, first: bool, bytes: Vec<u8>, from: usize, now: Instant) -> Done {
    let mut reports = Reports::default();
    if first {
        file.write(b"\n", now, &mut reports);
    }
    if from < bytes.len() {
        file.write(&bytes[from..], now, &mut reports);
    }
    Done { opened: Opened::File(file), bytes, reports, result: Ok(()) }
}

impl Files {
    /// The file of this specification, opened if its path is not open yet. The latest limits apply: when a new
    /// version of an application has other limits, its old version still writes to the file. `/dev/null` is not a
    /// file, nor is one of procrun's own streams: every line is there already, and a second open file would tear
    /// lines.
    pub(super) fn acquire(&mut self, spec: &FileSpec, streams: OwnStreams, now: Instant) -> Option<usize> {
        if spec.path == Path::new(NO_FILE) {
            return None;
        }
        let same = |slot: &Option<Shared>| slot.as_ref().is_some_and(|it| it.spec.path == spec.path);
        if let Some(at) = self.slots.iter().position(same) {
            if let Some(shared) = &mut self.slots[at] {
                shared.users += 1;
                shared.spec.clone_from(spec);
                if let Place::Here(file) = &mut shared.place {
                    file.limit(spec);
                }
            }
            return Some(at);
        }
        let shared = Shared {
            spec: spec.clone(),
            place: Place::Closed,
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
        self.streams = streams;
        self.is_here(at, now);
        if matches!(&self.slots[at], Some(Shared { place: Place::Console, .. })) {
            self.slots[at] = None;
            return None;
        }
        Some(at)
    }

    /// Whether the file can be written to now. Opens it, and takes it back from an operation that has ended.
    fn is_here(&mut self, at: usize, now: Instant) -> bool {
        let Some(shared) = &mut self.slots[at] else { return false };
        match &shared.place {
            Place::Here(_) | Place::Closed => {}
            Place::Console => return false,
            Place::Away(back) => match back.try_recv() {
                Ok(done) => self.take_back(at, done),
                Err(TryRecvError::Empty) => return false,
                // The operation has panicked.
                Err(TryRecvError::Disconnected) => shared.place = Place::Closed,
            },
        }
        let device = self.slots[at].as_ref().and_then(|shared| shared.device);
        let is_stuck = |other: &Shared| {
            device.is_some() && other.device == device && matches!(other.place, Place::Away(_))
        };
        if self.slots.iter().flatten().any(is_stuck) {
            self.does_not_answer(at);
            return false;
        }
        let Some(shared) = &self.slots[at] else { return false };
        if matches!(shared.place, Place::Closed) {
            self.retired.retain(Chain::is_busy);
            let earlier = self.retired.iter().find(|chain| chain.path() == shared.spec.path).cloned();
            let (spec, streams) = (shared.spec.clone(), self.streams);
            self.operate(at, move || open(spec, streams, earlier.as_ref(), now));
        }
        matches!(&self.slots[at], Some(Shared { place: Place::Here(_), .. }))
    }

    /// Runs an operation on the file. `None`: it has not returned in time.
    fn operate(
        &mut self,
        at: usize,
        operation: impl FnOnce() -> Done + Send + 'static,
    ) -> Option<io::Result<()>> {
        match self.offload.run(operation) {
            Ok(mut done) => {
                let result = std::mem::replace(&mut done.result, Ok(()));
                self.take_back(at, done);
                return Some(result);
            }
            Err(Late::Pending(back)) => {
                if let Some(shared) = &mut self.slots[at] {
                    shared.place = Place::Away(back);
                }
            }
            Err(Late::Untried) => {}
        }
        self.does_not_answer(at);
        None
    }

    fn take_back(&mut self, at: usize, done: Done) {
        let Done { opened, mut bytes, reports, result: _ } = done;
        self.reports.append(reports);
        if self.gathered.is_empty() && self.gathered.capacity() < bytes.capacity() {
            bytes.clear();
            self.gathered = bytes;
        }
        let Some(shared) = &mut self.slots[at] else { return };
        match opened {
            Opened::File(mut file) => {
                file.limit(&shared.spec);
                shared.device = file.device().or(shared.device);
                shared.place = Place::Here(file);
            }
            Opened::Console(stream) => {
                shared.place = Place::Console;
                if !self.said.contains(&shared.spec.path) {
                    let path = shared.spec.path.display();
                    let message = format!(
                        "the log file {path} is procrun's own {stream}: not opened, stdout and stderr have every line already"
                    );
                    self.reports.push(Level::INFO, message);
                    self.said.push(shared.spec.path.clone());
                }
            }
        }
        if std::mem::take(&mut shared.is_reported) {
            let (path, lost) = (shared.spec.path.display(), lines(std::mem::take(&mut shared.lost)));
            self.reports.push(Level::WARN, format!("{path} answers again, {lost} lost"));
        }
    }

    fn does_not_answer(&mut self, at: usize) {
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
        match std::mem::replace(&mut shared.place, Place::Closed) {
            Place::Here(file) => Some(file),
            other => {
                shared.place = other;
                None
            }
        }
    }

    /// Empties the file. Failures are added to `failed`.
    pub(super) fn empty(&mut self, at: usize, now: Instant, failed: &mut Vec<String>) {
        let here = self.is_here(at, now).then(|| self.take(at)).flatten();
        let Some(shared) = &mut self.slots[at] else { return };
        let path = shared.spec.path.display().to_string();
        let result = match here {
            Some(mut file) => {
                shared.unfinished = None;
                self.operate(at, move || {
                    let result = file.empty(now);
                    Done {
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
        let Some(Shared { place: Place::Here(file), .. }) = self.slots[at].take() else { return };
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
        let file = if self.is_here(at, now) { self.take(at) } else { None };
        let Some(shared) = &mut self.slots[at] else { return Some(bytes) };
        let Some(file) = file else {
            if !matches!(shared.place, Place::Console) {
                shared.lost += count;
            }
            return Some(bytes);
        };
        let goes_on = continues && shared.unfinished.is_some() && shared.unfinished == by;
        let ends_other = shared.unfinished.take().is_some() && !goes_on;
        // Another stream has ended the line already, and its continuation is nothing but an end.
        let from = usize::from(continues && !goes_on && bytes.starts_with(b"\n"));
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
        if self.gathered.is_empty() {
            self.stream = Some(stream);
            self.continues = piece.begin == Edge::Pause;
        }
        &mut self.gathered
    }

    /// Whether enough lines have gathered to write them.
    pub(super) fn is_full(&self) -> bool {
        self.gathered.len() >= GATHER
    }

    /// Writes the gathered lines to the files of their stream.
    pub(super) fn flush(&mut self, to: Slots, now: Instant) {
        if self.gathered.is_empty() {
            return;
        }
        let (stream, continues) = (self.stream, self.continues);
        let mut targets = to.into_iter().flatten().peekable();
        let mut gathered = Some(std::mem::take(&mut self.gathered));
        while let (Some(at), Some(bytes)) = (targets.next(), gathered.take()) {
            gathered = targets.peek().map(|_| bytes.clone());
            if let Some(mut unused) = self.write(at, bytes, stream, continues, now)
                && gathered.is_none()
            {
                unused.clear();
                self.gathered = unused;
            }
        }
    }

    /// Appends whole lines to a file that belongs to no stream.
    pub(super) fn write_lines(&mut self, at: usize, bytes: &[u8], now: Instant) {
        self.write(at, bytes.to_vec(), None, false, now);
    }

    /// Discards the buffered lines.
    pub(super) fn drop_gathered(&mut self) {
        self.gathered.clear();
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

    /// Frees the memory of gathered lines.
    pub(super) fn shrink(&mut self) {
        self.gathered = Vec::new();
    }
}
