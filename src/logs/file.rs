//! One log file: appended to, rotated by size, reopened after it was moved away.
//!
//! Lines that cannot be written are dropped and counted. An error is reported once, and so is its end. A FIFO
//! never blocks the writer, and a line is never split over two files.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    time::{Duration, Instant},
};

use memchr::{memchr, memrchr};
use nix::{errno::Errno, fcntl::OFlag};
use tracing::Level;

use super::{
    file_spec::FileSpec,
    own_line::Reports,
    rotate::Chain,
    write::{Losses, lines, write_all},
};
use crate::sys::file_rights::FileRights;

/// The interval of comparisons of the path with the open file while there are lines to write, and the pause before
/// a file that refused lines is tried again.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct LogFile {
    spec: FileSpec,
    chain: Chain,
    open: Option<Open>,
    /// When to compare the path with the open file again.
    check_at: Instant,
    /// The file refuses lines and is tried again at this time.
    refusing: Option<Instant>,
    /// The file could not be rotated and is tried again at this time; meanwhile it grows.
    unrotated: Option<Instant>,
    losses: Losses,
}

#[derive(Debug)]
struct Open {
    /// Whether its last line is incomplete.
    unfinished: bool,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    size: u64,
    /// Whether it is a regular file: only those are rotated and compared with their path.
    regular: bool,
}

impl LogFile {
    /// Opens the file at once, so that it exists and errors are reported early. `earlier` is the chain of a closed
    /// file of this path, if it is still busy.
    pub(super) fn new(spec: FileSpec, earlier: Option<&Chain>, now: Instant, reports: &mut Reports) -> Self {
        let chain = match earlier {
            Some(earlier) => Chain::continued(earlier, &spec),
            None => Chain::new(&spec),
        };
        let mut file = Self {
            spec,
            chain,
            open: None,
            check_at: now + CHECK_INTERVAL,
            refusing: None,
            unrotated: None,
            losses: Losses::default(),
        };
        match open(&file.spec) {
            Ok(opened) => file.open = Some(opened),
            Err(error) => file.refuse(now, &error, reports),
        }
        file
    }

    /// Rotates by the limits of `spec`, which has the same path, from now on.
    pub(super) fn limit(&mut self, spec: &FileSpec) {
        if self.spec != *spec {
            self.chain = Chain::continued(&self.chain, spec);
            self.spec.clone_from(spec);
        }
    }

    /// The device of the open file's file system.
    pub(super) fn device(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.identity.0)
    }

    /// Appends `bytes`: whole lines, of which the first may continue the last one in the file, and the last may be
    /// incomplete.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant, reports: &mut Reports) {
        if self.refusing.is_some_and(|until| now < until) {
            return self.losses.count(bytes, 0);
        }
        if now >= self.check_at {
            self.check();
            self.check_at = now + CHECK_INTERVAL;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let fitting = match self.opened() {
                Ok(()) => self.fitting(rest, now),
                Err(error) => {
                    self.losses.count(rest, 0);
                    return self.refuse(now, &error, reports);
                }
            };
            if fitting == 0 {
                self.rotate(now, reports);
                continue;
            }
            let (part, later) = rest.split_at(fitting);
            if let Err((written, error)) = self.append(part) {
                self.losses.count(rest, written);
                return self.refuse(now, &error, reports);
            }
            rest = later;
        }
        if self.refusing.take().is_some() {
            let lost = lines(std::mem::take(&mut self.losses.lines));
            let path = self.spec.path.display();
            reports.push(Level::WARN, format!("{path} can be written again, {lost} lost"));
        }
    }

    /// Empties the file; older files stay. A file that is not a regular file is not changed.
    pub(super) fn empty(&mut self, now: Instant) -> io::Result<()> {
        self.check();
        self.opened()?;
        if let Some(open) = self.open.as_mut().filter(|open| open.regular) {
            open.file.set_len(0)?;
            open.size = 0;
            self.losses.torn = false;
            // A full disk may have space now.
            self.refusing = self.refusing.map(|_| now);
        }
        Ok(())
    }

    /// Reports losses that were not reported yet, and closes the file. The older files may still be busy.
    pub(super) fn close(self: Box<Self>, reports: &mut Reports) -> Chain {
        if self.losses.lines > 0 {
            let lost = lines(self.losses.lines);
            reports.push(Level::WARN, format!("{} is closed, {lost} lost", self.spec.path.display()));
        }
        self.chain
    }

    /// The number of bytes of `lines`, in whole lines, that fit into the present file; 0: rotate first.
    fn fitting(&self, lines: &[u8], now: Instant) -> usize {
        let Some(open) = &self.open else { return lines.len() };
        let unrotatable = self.unrotated.is_some_and(|until| now < until);
        if !open.regular || self.spec.max_size == 0 || unrotatable {
            return lines.len();
        }
        let room = self.spec.max_size.saturating_sub(open.size);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        let whole = |end: Option<usize>| end.map_or(lines.len(), |end| end + 1);
        match memrchr(b'\n', &lines[..room]) {
            Some(end) => end + 1,
            // A line that is longer than the limit gets a file of its own.
            None if open.size == 0 || open.unfinished => whole(memchr(b'\n', lines)),
            None => 0,
        }
    }

    fn opened(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(open(&self.spec)?);
        }
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), (usize, io::Error)> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let end_torn: &[u8] = if self.losses.torn { b"\n" } else { b"" };
        for (part, counts) in [(end_torn, false), (lines, true)] {
            let result = write_all(open.file.as_fd(), part, |_| {}, || Err(Errno::EAGAIN));
            let written = result.map_or_else(|cut| cut.written, |()| part.len());
            open.size += written as u64;
            if let Err(cut) = result {
                // A FIFO without a reader is reopened, which shows whether there is another reader.
                if cut.errno == Errno::EPIPE {
                    self.open = None;
                }
                return Err((if counts { written } else { 0 }, cut.errno.into()));
            }
            self.losses.torn = false;
        }
        open.unfinished = lines.last() != Some(&b'\n');
        Ok(())
    }

    /// Drops the open file if its path no longer leads to it.
    fn check(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| open.regular) else { return };
        match fs::metadata(&self.spec.path) {
            Ok(found) if (found.dev(), found.ino()) == open.identity => open.size = found.len(),
            _ => {
                self.open = None;
                self.losses.torn = false;
            }
        }
    }

    fn rotate(&mut self, now: Instant, reports: &mut Reports) {
        // The path may lead to another file by now, which must not be rotated.
        self.check();
        if self.open.is_none() {
            return;
        }
        if let Err(error) = self.chain.rotate() {
            if self.unrotated.is_none() {
                let path = self.spec.path.display();
                reports.push(Level::ERROR, format!("cannot rotate {path}: {error}; it keeps growing"));
            }
            self.unrotated = Some(now + CHECK_INTERVAL);
            return;
        }
        self.unrotated = None;
        self.open = None;
        self.losses.torn = false;
        if let Err(error) = self.chain.compress() {
            let path = self.spec.path.display();
            reports.push(Level::WARN, format!("cannot compress the rotated files of {path}: {error}"));
        }
    }

    fn refuse(&mut self, now: Instant, error: &io::Error, reports: &mut Reports) {
        if self.refusing.is_none() {
            let path = self.spec.path.display();
            let why = match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::ENXIO => "a FIFO without a reader".to_owned(),
                Errno::EAGAIN => "its reader is too slow".to_owned(),
                Errno::EISDIR => "is a directory; name a file in it".to_owned(),
                _ => error.to_string(),
            };
            reports.push(
                Level::ERROR,
                format!(
                    "cannot write the log file {path}: {why}; its lines are lost until it can be written"
                ),
            );
        }
        self.refusing = Some(now + CHECK_INTERVAL);
    }
}

/// Opens for appending and creates missing directories. A FIFO without a reader is an error (ENXIO) and not a
/// hang.
fn open(spec: &FileSpec) -> io::Result<Open> {
    let _rights = FileRights::on(&spec.path, spec.owner.as_ref());
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    flags.set(OFlag::O_NOFOLLOW, spec.private);
    let mode = if spec.private { 0o600 } else { 0o666 };
    let try_open = || {
        OpenOptions::new().append(true).create(true).mode(mode).custom_flags(flags.bits()).open(&spec.path)
    };
    let file = match try_open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = spec.path.parent() {
                fs::create_dir_all(parent)?;
            }
            try_open()?
        }
        other => other?,
    };
    let found = file.metadata()?;
    if spec.private && !found.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    // A link is never rotated: it may lead to /dev/stdout.
    let regular = found.is_file() && fs::symlink_metadata(&spec.path)?.is_file();
    Ok(Open { unfinished: false, file, identity: (found.dev(), found.ino()), size: found.len(), regular })
}
