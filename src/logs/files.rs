//! The open log files: one for each path, however many instances write to it.
//!
//! Lines for the stream being read gather here and go to its files together. Never holds lines of
//! two streams at once.

use std::{
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use tracing::Level;

use super::{
    file::LogFile,
    file_spec::FileSpec,
    format::{Kind, Put},
    own::Reports,
    rotate::Chain,
};
use crate::{
    machine::frame::{Edge, Piece},
    spec::NO_FILE,
};

/// Gathered lines are written when they exceed this.
const GATHER: usize = 128 * 1024;

/// The files of one stream, as places in [`Files`]: its own, and the combined one.
pub(super) type Slots = [Option<usize>; 2];

/// A stream among all that are read.
pub(super) type Stream = (u32, Kind);

#[derive(Debug, Default)]
pub(super) struct Files {
    slots: Vec<Option<Shared>>,
    gathered: Vec<u8>,
    /// Whose lines those are.
    stream: Option<Stream>,
    /// They begin with what continues a line after a pause.
    continues: bool,
    /// Chains of closed files whose older files are still being compressed: whoever opens the path
    /// again must not get in their way.
    retired: Vec<Chain>,
    /// Paths of which was said that they lead to the console.
    said: Vec<PathBuf>,
    reports: Reports,
}

#[derive(Debug)]
struct Shared {
    file: LogFile,
    users: u32,
    /// The stream that has paused within the last line of the file.
    unfinished: Option<Stream>,
}

impl Shared {
    fn empty(&mut self, now: Instant) -> io::Result<()> {
        self.unfinished = None;
        self.file.empty(now)
    }

    /// Appends lines of a stream. `continues`: they begin with what continues a line after a pause.
    fn write(
        &mut self,
        bytes: &[u8],
        by: Option<Stream>,
        continues: bool,
        now: Instant,
        reports: &mut Reports,
    ) {
        let goes_on = continues && self.unfinished.is_some() && self.unfinished == by;
        if self.unfinished.take().is_some() && !goes_on {
            self.file.write(b"\n", now, reports);
        }
        // The line has got its end when another stream wrote, and what continues it is nothing but an end.
        let bare_end = if continues && !goes_on { bytes.strip_prefix(b"\n") } else { None };
        let bytes = bare_end.unwrap_or(bytes);
        if !bytes.is_empty() {
            self.file.write(bytes, now, reports);
            self.unfinished = by.filter(|_| bytes.last() != Some(&b'\n'));
        }
    }
}

impl Files {
    /// The file of this specification, opened if its path is not yet; the last one's limits hold: when a
    /// new version of an application says others, its old one still writes to the file.
    /// `/dev/null` is no file, nor is one of procrun's own streams, which `stream_at` knows: every line
    /// is there already, and a second open file of it would tear lines.
    pub(super) fn acquire(
        &mut self,
        spec: &FileSpec,
        stream_at: impl FnOnce(&Path) -> Option<&'static str>,
        now: Instant,
    ) -> Option<usize> {
        if spec.path == Path::new(NO_FILE) {
            return None;
        }
        if let Some(stream) = stream_at(&spec.path) {
            if !self.said.contains(&spec.path) {
                let path = spec.path.display();
                let message = format!(
                    "the log file {path} is procrun's own {stream}: not opened, stdout and stderr have every line already"
                );
                self.reports.push(Level::INFO, message);
                self.said.push(spec.path.clone());
            }
            return None;
        }
        let same = |slot: &Option<Shared>| slot.as_ref().is_some_and(|it| it.file.spec().path == spec.path);
        if let Some(at) = self.slots.iter().position(same) {
            if let Some(shared) = &mut self.slots[at] {
                shared.users += 1;
                shared.file.limit(spec);
            }
            return Some(at);
        }
        self.retired.retain(Chain::is_busy);
        let earlier = self.retired.iter().find(|chain| chain.path() == spec.path);
        let file = LogFile::new(spec.clone(), earlier, now, &mut self.reports);
        let shared = Shared { file, users: 1, unfinished: None };
        let at = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[at] = Some(shared);
        Some(at)
    }

    /// Throws away what is in the file. What went wrong goes to `failed`.
    pub(super) fn empty(&mut self, at: usize, now: Instant, failed: &mut Vec<String>) {
        if let Some(shared) = &mut self.slots[at]
            && let Err(error) = shared.empty(now)
        {
            failed.push(format!("cannot empty {}: {error}", shared.file.spec().path.display()));
        }
    }

    /// One user less; the last one closes the file.
    pub(super) fn release(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if let Some(shared) = slot {
            shared.users -= 1;
            if shared.users == 0
                && let Some(shared) = slot.take()
            {
                self.retired.retain(Chain::is_busy);
                self.retired.push(shared.file.close(&mut self.reports));
            }
        }
    }

    /// Where this piece of the present stream is put.
    pub(super) fn line(&mut self, stream: Stream, piece: Piece<'_>) -> &mut impl Put {
        if self.gathered.is_empty() {
            self.stream = Some(stream);
            self.continues = piece.begin == Edge::Pause;
        }
        &mut self.gathered
    }

    /// There is enough to write.
    pub(super) fn is_full(&self) -> bool {
        self.gathered.len() >= GATHER
    }

    /// Writes what was gathered to the files of the stream it came from.
    pub(super) fn flush(&mut self, to: Slots, now: Instant) {
        if self.gathered.is_empty() {
            return;
        }
        for at in to.into_iter().flatten() {
            if let Some(shared) = &mut self.slots[at] {
                shared.write(&self.gathered, self.stream, self.continues, now, &mut self.reports);
            }
        }
        self.gathered.clear();
    }

    /// Discards the buffered lines.
    pub(super) fn drop_gathered(&mut self) {
        self.gathered.clear();
    }

    /// Ends the compressing of closed files, at the latest at this time.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    pub(super) fn end_compressing(&mut self, deadline: Instant) {
        for chain in self.retired.drain(..) {
            chain.abandon(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// What went wrong since the last call.
    pub(super) fn take_reports(&mut self) -> Reports {
        std::mem::take(&mut self.reports)
    }

    /// Gives the memory of gathered lines back.
    pub(super) fn shrink(&mut self) {
        self.gathered = Vec::new();
    }
}
