//! The version of an application: that of the nearest `package.json` above its script, as in PM2.
//!
//! Read when a process starts, because that is the version that runs; a file that has not changed is
//! not read again. Reads regular files only, and no more than [`MAX_PACKAGE`] of one.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;

use crate::{spec::Exec, sys::regular_file};

/// The largest `package.json` that is read, in bytes.
const MAX_PACKAGE: u64 = 1024 * 1024;
/// The maximum number of files that are remembered.
const MAX_KNOWN: usize = 1024;
/// The maximum number of characters of a version that are kept.
const MAX_VERSION: usize = 128;

/// The versions that were read so far. Several threads may use it; none reads a file under the lock.
#[derive(Debug, Default)]
pub(super) struct Packages(Mutex<Known>);

type Known = HashMap<PathBuf, (Identity, Option<Arc<str>>)>;

/// Identifies a file and its state: device, inode, size and time of change.
type Identity = (u64, u64, u64, i64, i64);

#[derive(Deserialize)]
struct Package {
    version: Option<String>,
}

impl Packages {
    /// The current version of the app. `None`: there is no `package.json`, or it has no version.
    pub(super) fn version(&self, exec: &Exec) -> Option<Arc<str>> {
        let script = exec.cwd.join(&exec.script);
        // A program of PATH belongs to no package; the directory that it runs in may.
        let from = if script.is_file() { script.parent()? } else { &exec.cwd };
        let (path, found) = from.ancestors().find_map(|directory| {
            let path = directory.join("package.json");
            let found = fs::metadata(&path).ok().filter(Metadata::is_file)?;
            Some((path, found))
        })?;
        let identity = (found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec());
        if let Some((known, version)) = self.known().get(&path)
            && *known == identity
        {
            return version.clone();
        }
        let version = read(&path);
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(path, (identity, version.clone()));
        version
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Option<Arc<str>> {
    let text = regular_file::read_start(path, MAX_PACKAGE).ok()?;
    let version = serde_json::from_slice::<Package>(&text).ok()?.version?;
    Some(version.chars().take(MAX_VERSION).collect::<String>().into())
        .filter(|text: &Arc<str>| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::Packages;
    use crate::spec::{Exec, Interpreter, Stdin};

    fn exec(cwd: &Path, script: &str) -> Exec {
        Exec {
            script: script.to_owned(),
            args: Vec::new(),
            cwd: cwd.to_owned(),
            interpreter: Interpreter::Auto,
            interpreter_args: Vec::new(),
            source_maps: None,
            stdin: Stdin::Open,
        }
    }

    #[test]
    fn the_nearest_package_above_the_script_counts_and_is_read_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("app/dist")).unwrap();
        fs::write(root.join("app/dist/main.js"), "").unwrap();
        fs::write(root.join("package.json"), r#"{"version":"9.9.9"}"#).unwrap();
        let packages = Packages::default();
        let version = |cwd: &str, script: &str| {
            packages.version(&exec(&root.join(cwd), script)).map(|version| version.to_string())
        };
        assert_eq!(version("app", "dist/main.js").as_deref(), Some("9.9.9"));
        fs::write(root.join("app/package.json"), r#"{"name":"app","version":"1.2.3"}"#).unwrap();
        assert_eq!(version(".", "app/dist/main.js").as_deref(), Some("1.2.3"));
        assert_eq!(version("app", "npm").as_deref(), Some("1.2.3"), "a program of PATH");
        fs::write(root.join("app/package.json"), r#"{"version":"1.2.10"}"#).unwrap();
        assert_eq!(version("app", "dist/main.js").as_deref(), Some("1.2.10"));
        for wrong in ["{", "[]", "{}", r#"{"version":5}"#, r#"{"version":""}"#] {
            fs::write(root.join("app/package.json"), wrong).unwrap();
            assert_eq!(version("app", "dist/main.js"), None, "{wrong}");
        }
        fs::remove_file(root.join("app/package.json")).unwrap();
        nix::unistd::mkfifo(&root.join("app/package.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(version("app", "dist/main.js").as_deref(), Some("9.9.9"), "a FIFO is no package");
    }
}
