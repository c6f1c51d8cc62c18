//! The chain of the rotated files of a log: `name.1` is the newest, `name.2` the one before it.
//!
//! Everything happens by rename, so each line is in some file at every moment. Compression works on a copy in a
//! separate thread, which finds the file again by its inode before it replaces it by the copy. Files are never
//! truncated; only the end waits for compression, for a bounded time.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};

use super::file_spec::FileSpec;
use crate::sys::file_rights::{FileOwner, FileRights};

/// The rotated files of one log. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    path: PathBuf,
    keep: u32,
    compress: bool,
    /// See [`FileSpec::owner`].
    owner: Option<FileOwner>,
    /// Held while files are renamed, never while one is compressed.
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a thread is compressing.
    compressing: bool,
    /// Whether that thread must leave everything as it is.
    abandoned: bool,
}

impl Chain {
    pub(super) fn new(spec: &FileSpec) -> Self {
        Self {
            path: spec.path.clone(),
            keep: spec.keep,
            compress: spec.compress,
            owner: spec.owner.clone(),
            shared: Arc::default(),
        }
    }

    /// The chain of the same path as `earlier`, whose thread may still be compressing.
    pub(super) fn continued(earlier: &Self, spec: &FileSpec) -> Self {
        Self { shared: earlier.shared.clone(), ..Self::new(spec) }
    }

    fn rights(&self) -> FileRights {
        FileRights::on(&self.path, self.owner.as_ref())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a thread is compressing.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().compressing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic, the names of the files are still the truth.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renames the log to `name.1` and increments the number of each rotated file; files beyond `keep` are
    /// removed. Afterwards no file has the log's own name.
    pub(super) fn rotate(&self) -> io::Result<()> {
        let _rights = self.rights();
        let guard = self.lock();
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        // Up to the first gap, which an interrupted rotation may have left: files beyond it stay.
        let count = self.count();
        // Beyond `keep` as well: it may have been larger before.
        for number in self.keep..=count {
            remove(&self.plain(number))?;
            remove(&self.compressed(number))?;
        }
        for number in (1..=count.min(self.keep - 1)).rev() {
            // Both exist: compression was interrupted after the copy was in place. The copy is complete.
            if self.compressed(number).try_exists()? {
                remove(&self.plain(number))?;
            }
            rename(&self.plain(number), &self.plain(number + 1))?;
            rename(&self.compressed(number), &self.compressed(number + 1))?;
        }
        fs::rename(&self.path, self.plain(1))?;
        drop(guard);
        Ok(())
    }

    /// Starts to compress uncompressed files, unless a thread does already or it is off.
    pub(super) fn compress(&self) -> io::Result<()> {
        if !self.compress || self.keep == 0 {
            return Ok(());
        }
        let mut state = self.lock();
        if !state.compressing {
            let chain = self.clone();
            thread::Builder::new().name("gzip".into()).spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| chain.compress_all())).is_err() {
                    // The files stay as they are; the next rotation tries again.
                    chain.has_ended(chain.lock());
                }
            })?;
            state.compressing = true;
        }
        Ok(())
    }

    /// Waits at most this time for a running compression, then leaves its file as it is and removes the incomplete
    /// copy. The next rotation compresses the file.
    pub(super) fn abandon(&self, after: Duration) {
        let wait = self.shared.1.wait_timeout_while(self.lock(), after, |state| state.compressing);
        let (mut state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        if state.compressing {
            state.abandoned = true;
            let _rights = self.rights();
            // Under the lock: the copy is created and put in place under it, too.
            let _ = fs::remove_file(self.temporary());
        }
    }

    /// Compresses all files. After a failure the plain file stays; the next rotation tries again.
    fn compress_all(&self) {
        // Kept during the whole work: the owner of the directory does not change by what happens in it.
        let _rights = self.rights();
        loop {
            let state = self.lock();
            let mut originals = (1..=self.count()).rev().map(|number| self.plain(number));
            let next = originals.find(|path| path.is_file());
            let opened = next.and_then(|path| File::open(path).ok());
            let wanted = opened.filter(|_| !state.abandoned);
            let pair = wanted.and_then(|source| Some((source, create_private(&self.temporary()).ok()?)));
            let Some((source, copy)) = pair else {
                return self.has_ended(state);
            };
            drop(state);
            if self.compress_one(&source, copy).is_err() {
                let state = self.lock();
                let _ = fs::remove_file(self.temporary());
                return self.has_ended(state);
            }
        }
    }

    fn has_ended(&self, mut state: MutexGuard<'_, State>) {
        state.compressing = false;
        state.abandoned = false;
        self.shared.1.notify_all();
    }

    /// `copy` is the file of the temporary name.
    fn compress_one(&self, mut source: &File, copy: File) -> io::Result<()> {
        let mut encoder = GzEncoder::new(copy, Compression::default());
        io::copy(&mut source, &mut encoder)?;
        let copy = encoder.finish()?;
        let original = source.metadata()?;
        copy.set_permissions(original.permissions())?;
        // The plain file is removed only when its copy is on the disk.
        copy.sync_all()?;
        let state = self.lock();
        if state.abandoned {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let is_original = |path: &Path| {
            fs::symlink_metadata(path)
                .is_ok_and(|found| (found.dev(), found.ino()) == (original.dev(), original.ino()))
        };
        // It may have been renamed in the meantime, even out of the chain.
        match (1..=self.count()).find(|number| is_original(&self.plain(*number))) {
            Some(number) => {
                fs::rename(self.temporary(), self.compressed(number))?;
                fs::remove_file(self.plain(number))
            }
            None => fs::remove_file(self.temporary()),
        }
    }

    /// The number of rotated files before the first gap.
    fn count(&self) -> u32 {
        let missing = |number: &u32| {
            [self.plain(*number), self.compressed(*number)]
                .iter()
                .all(|path| path.symlink_metadata().is_err())
        };
        (1..u32::MAX).find(missing).unwrap_or(u32::MAX) - 1
    }

    fn plain(&self, number: u32) -> PathBuf {
        self.with_suffix(&format!(".{number}"))
    }

    fn compressed(&self, number: u32) -> PathBuf {
        self.with_suffix(&format!(".{number}.gz"))
    }

    fn temporary(&self) -> PathBuf {
        self.with_suffix(".gz.tmp")
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }
}

/// Creates a new file and never opens an existing one: a link in its place would lead elsewhere. It gets the
/// permissions of the original when the copy is complete; until then only its owner may read it.
fn create_private(path: &Path) -> io::Result<File> {
    remove(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_file(path))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    ignore_missing(fs::rename(from, to))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::Read,
        path::PathBuf,
        time::Duration,
    };

    use flate2::read::GzDecoder;

    use super::Chain;
    use crate::logs::FileSpec;

    /// A directory with these files, and the chain of its `log`.
    fn chain(keep: u32, files: &[(&str, &str)]) -> (tempfile::TempDir, Chain) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let chain = Chain::new(&FileSpec {
            path: dir.path().join("log"),
            max_size: 0,
            keep,
            compress: true,
            private: false,
            owner: None,
        });
        (dir, chain)
    }

    fn copy(chain: &Chain) -> File {
        File::create(chain.temporary()).unwrap()
    }

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(dir.path()).unwrap().map(name).collect();
        names.sort();
        names
    }

    fn decompressed(path: PathBuf) -> String {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_rotation_removes_the_oldest_file_and_renumbers_the_others() {
        let (dir, chain) = chain(2, &[("log", "new"), ("log.1", "one"), ("log.2", "two"), ("log.3.gz", "")]);
        chain.rotate().unwrap();
        assert_eq!(names(&dir), ["log.1", "log.2"]);
        assert_eq!(fs::read_to_string(dir.path().join("log.1")).unwrap(), "new");
        assert_eq!(fs::read_to_string(dir.path().join("log.2")).unwrap(), "one");
    }

    #[test]
    fn a_rotation_fills_a_gap_and_accepts_any_keep() {
        let (dir, chain) = chain(u32::MAX, &[("log", "new"), ("log.1", "one"), ("log.3", "three")]);
        chain.rotate().unwrap();
        assert_eq!(names(&dir), ["log.1", "log.2", "log.3"]);
        assert_eq!(fs::read_to_string(dir.path().join("log.2")).unwrap(), "one");
        assert_eq!(fs::read_to_string(dir.path().join("log.3")).unwrap(), "three");
    }

    #[test]
    fn with_keep_0_no_file_is_kept() {
        let (dir, chain) = chain(0, &[("log", "new")]);
        chain.rotate().unwrap();
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn a_complete_compressed_copy_replaces_its_original() {
        let (dir, chain) = chain(3, &[("log", "new"), ("log.1", "one"), ("log.1.gz", "packed one")]);
        chain.rotate().unwrap();
        assert_eq!(names(&dir), ["log.1", "log.2.gz"]);
        assert_eq!(fs::read_to_string(dir.path().join("log.2.gz")).unwrap(), "packed one");
    }

    #[test]
    fn files_of_an_interrupted_run_are_compressed() {
        let (dir, chain) =
            chain(9, &[("log.1", "one"), ("log.2.gz", ""), ("log.3", "three"), ("log.gz.tmp", "half")]);
        chain.compress_all();
        assert_eq!(names(&dir), ["log.1.gz", "log.2.gz", "log.3.gz"]);
        assert_eq!(decompressed(dir.path().join("log.1.gz")), "one");
        assert_eq!(decompressed(dir.path().join("log.3.gz")), "three");
    }

    #[test]
    fn a_file_that_is_rotated_during_its_compression_is_found_again() {
        let (dir, chain) = chain(2, &[("log", "new"), ("log.1", "one")]);
        let source = File::open(dir.path().join("log.1")).unwrap();
        chain.rotate().unwrap();
        chain.compress_one(&source, copy(&chain)).unwrap();
        assert_eq!(names(&dir), ["log.1", "log.2.gz"]);
        assert_eq!(decompressed(dir.path().join("log.2.gz")), "one");
        // The file was removed: no copy of it is left, and no other file is touched.
        let source = File::open(dir.path().join("log.1")).unwrap();
        for text in ["newer", "newest"] {
            fs::write(dir.path().join("log"), text).unwrap();
            chain.rotate().unwrap();
        }
        chain.compress_one(&source, copy(&chain)).unwrap();
        assert_eq!(names(&dir), ["log.1", "log.2"]);
    }

    /// The state of the thread when it is abandoned in the middle of a file.
    #[test]
    fn an_abandoned_compression_keeps_the_plain_file_and_no_copy() {
        let (dir, chain) = chain(2, &[("log.1", "one"), ("log.2", "two")]);
        chain.lock().compressing = true;
        let source = File::open(dir.path().join("log.2")).unwrap();
        let half = copy(&chain);
        chain.abandon(Duration::from_millis(1));
        assert_eq!(names(&dir), ["log.1", "log.2"]);
        assert!(chain.compress_one(&source, half).is_err());
        chain.compress_all();
        assert_eq!(names(&dir), ["log.1", "log.2"]);
        assert!(!chain.is_busy(), "the thread has ended");
        chain.compress().unwrap();
        chain.abandon(Duration::from_secs(20));
        assert_eq!(names(&dir), ["log.1.gz", "log.2.gz"]);
        assert_eq!(decompressed(dir.path().join("log.2.gz")), "two");
    }
}
