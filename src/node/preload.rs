//! The scripts that run in a Node worker before the application: one that reports why it fails, one so that the
//! workers of a cluster can be drained, and one that tells whether a loop turns.
//!
//! Node's `--require` takes nothing but the path of a file, so there has to be one for as long as a
//! worker may start or make a thread: `/dev/shm` first, which is memory and is there and writable
//! also where the root is read-only. It is not there before the first worker that needs it, and is
//! removed in the end. A procrun that was killed leaves it; the next one finds it unlocked and
//! removes it.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, unistd::geteuid};

use crate::{spec::PACKAGE_RUNNERS, sys::lock::FileLock};

/// Lets a worker of a cluster finish its connections, and accept them for itself; reports why it fails.
pub(super) const DRAIN: &str =
    concat!(include_str!("drain.cjs"), include_str!("accept.cjs"), include_str!("faults.cjs"));
/// Reports why a worker fails.
pub(super) const FAULTS: &str = include_str!("faults.cjs");
/// Tells again and again that the loop of a worker turns.
pub(super) const BEAT: &str = include_str!("beat.cjs");

/// Leaves the channel of package runners to what they start.
pub(super) fn forward() -> String {
    let packages = serde_json::json!(PACKAGE_RUNNERS).to_string();
    include_str!("forward.cjs").replacen("PACKAGE_RUNNERS", &packages, 1)
}

/// A script's file, if there is one yet.
#[derive(Debug, Default)]
pub(super) struct Preload {
    file: Option<File>,
    /// Why there is none has been said.
    said: bool,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// By which it is told from another one in its place: device and inode.
    id: (u64, u64),
    /// Marks it as needed.
    _lock: FileLock,
}

impl Preload {
    /// Its path. The file is made, or made anew when somebody has removed it.
    ///
    /// # Errors
    /// All places that were tried, and why none of them will do; that only the first time.
    pub(super) fn path(&mut self, script: &str) -> Result<&Path, Option<String>> {
        if self.file.as_ref().is_some_and(|file| !file.is_there()) {
            self.file = None;
        }
        match &mut self.file {
            Some(file) => Ok(&file.path),
            none => {
                let say = |why| (!std::mem::replace(&mut self.said, true)).then_some(why);
                Ok(&none.insert(File::make(script).map_err(say)?).path)
            }
        }
    }

    /// Removes the file.
    pub(super) fn remove(&mut self) {
        if let Some(file) = self.file.take_if(|file| file.is_there()) {
            let _ = fs::remove_file(file.path);
        }
    }
}

impl File {
    fn make(script: &str) -> Result<Self, String> {
        let mut refused = Vec::new();
        for place in [Path::new("/dev/shm"), Path::new("/run"), &env::temp_dir()] {
            match Self::make_in(place, script) {
                Ok(file) => {
                    remove_unlocked(place);
                    return Ok(file);
                }
                Err(error) => refused.push(format!("{}: {error}", place.display())),
            }
        }
        Err(refused.join(", "))
    }

    fn make_in(place: &Path, script: &str) -> io::Result<Self> {
        let path = place.join(format!("procrun-{:016x}.cjs", RandomState::new().hash_one(place)));
        // Never a file or a link that somebody has put there.
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let made = file
            .write_all(script.as_bytes())
            // Whoever the workers run as; the umask has no say in this.
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o444)))
            .and_then(|()| file.metadata())
            .and_then(|meta| Ok((meta, lock(file)?)));
        match made {
            Ok((meta, lock)) => {
                let file = Self { path, id: (meta.dev(), meta.ino()), _lock: lock };
                // Another procrun that tidies up may have come before the lock.
                if file.is_there() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
            }
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.id)
    }
}

/// Never waits: whoever may read the file may hold a lock.
fn lock(file: fs::File) -> io::Result<FileLock> {
    FileLock::take(file)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

/// Removes what those have left who had no time to.
fn remove_unlocked(place: &Path) {
    let is_one = |name: &str| name.strip_suffix(".cjs").is_some_and(|name| name.starts_with("procrun-"));
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_one) {
            continue;
        }
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let Ok(file) = fs::OpenOptions::new().read(true).custom_flags(flags).open(entry.path()) else {
            continue;
        };
        let is_ours = file.metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == geteuid().as_raw());
        if is_ours && let Ok(_until_it_is_gone) = lock(file) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_and_anew_when_it_is_gone() {
        let mut preload = Preload::default();
        let first = preload.path(DRAIN).unwrap().to_owned();
        assert_eq!(preload.path(DRAIN).unwrap(), first);
        assert_eq!(fs::read_to_string(&first).unwrap(), DRAIN);
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o777, 0o444);

        fs::remove_file(&first).unwrap();
        fs::write(&first, "left by somebody").unwrap();
        let second = preload.path(DRAIN).unwrap().to_owned();
        assert_ne!(first, second);
        assert!(!first.exists(), "nobody needs it");
        let third = Preload::default().path(DRAIN).unwrap().to_owned();
        assert!(second.exists() && third.exists(), "what somebody needs stays");
        preload.remove();
        assert!(!second.exists());
        fs::remove_file(third).unwrap();
    }
}
