//! The saved list of apps: `dump.json` in the home of the background supervisor.
//!
//! The file is written under a temporary name and renamed: it is complete or does not exist.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt},
    path::Path,
};

use nix::{fcntl::OFlag, unistd::geteuid};
use serde::{Deserialize, Serialize};

use super::{
    background::home,
    failure::Failure,
    output::{print, print_notices},
};
use crate::{
    config::EX_CONFIG,
    control::{SavedApp, own_directory},
    spec::ExitCode,
    sys::lock::FileLock,
};

/// The version of the file format.
const FORMAT: u32 = 1;
pub(super) const FILE: &str = "dump.json";
/// The list that was saved before.
const BACKUP: &str = "dump.json.bak";
const WHAT: &str = "procrun's saved list";
const OF_PM2: &str = "this looks like a dump of PM2: start the apps from their ecosystem file, then run `procrun save`; nothing was started";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dump {
    /// [`WHAT`]: distinguishes the file from other JSON files.
    what: String,
    format: u32,
    procrun: String,
    apps: Vec<SavedApp>,
}

/// Saves the list and prints where.
pub(super) fn save_list(apps: Vec<SavedApp>) -> Result<ExitCode, Failure> {
    let count = apps.len();
    let dump =
        Dump { what: WHAT.to_owned(), format: FORMAT, procrun: env!("CARGO_PKG_VERSION").to_owned(), apps };
    let text = serde_json::to_vec_pretty(&dump).expect("a list is made of text, numbers and lists");
    let home = home()?;
    let path = home.join(FILE);
    write(&home, &path, &text)
        .map_err(|error| Failure::not_done(format!("cannot save to {}: {error}", path.display())))?;
    let apps = if count == 1 { "app" } else { "apps" };
    Ok(print(&format!("saved {count} {apps} to {}\n", path.display())))
}

/// Only the owner can read it, because it contains secrets. The previous list is kept, unless it is damaged.
fn write(home: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    own_directory(home)?;
    // One `save` at a time, so that the temporary file has a fixed name. The next `save` replaces the file of a
    // killed one.
    let _one = FileLock::wait(File::open(home)?)?;
    let beside = path.with_extension("json.new");
    let result = (|| {
        let _ = fs::remove_file(&beside);
        // A new file: neither another user's file nor a link.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        if read(path).is_ok() {
            let before = home.join(BACKUP);
            let _ = fs::remove_file(&before);
            // Not every file system has links.
            fs::hard_link(path, &before).or_else(|_| fs::copy(path, &before).map(drop))?;
        }
        fs::rename(&beside, path)?;
        File::open(home)?.sync_all()
    })();
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Why a saved list cannot be used.
enum SavedListError {
    /// It is missing or damaged: the previous one can be used.
    Lost(Failure),
    /// It is another user's, or another program's.
    Refused(Failure),
}

/// The saved list, or the previous one if the file is missing or damaged.
pub(super) fn read_or_backup(home: &Path) -> Result<Vec<SavedApp>, Failure> {
    let failure = match read(&home.join(FILE)) {
        Ok(apps) => return Ok(apps),
        Err(SavedListError::Refused(failure)) => return Err(failure),
        Err(SavedListError::Lost(failure)) => failure,
    };
    let before = home.join(BACKUP);
    let Ok(apps) = read(&before) else { return Err(failure) };
    failure.print();
    print_notices(&[format!("using the previous saved list: {}", before.display())]);
    Ok(apps)
}

/// The list in a file.
fn read(path: &Path) -> Result<Vec<SavedApp>, SavedListError> {
    let failure = |what: String| Failure::new(EX_CONFIG, format!("{}: {what}", path.display()));
    let refuse = |what: String, hint: &str| SavedListError::Refused(failure(what).hint(hint));
    let lose = |what: String, hint: &str| SavedListError::Lost(failure(what).hint(hint));
    let read = |path| {
        // Never waits for the writer of a FIFO.
        let mut file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut text = Vec::new();
        let file_is = file.metadata()?;
        file.read_to_end(&mut text)?;
        io::Result::Ok((file_is.uid(), file_is.mode(), text))
    };
    let (owner, mode, text) = read(path).map_err(|error| {
        lose(error.to_string(), "`procrun save` saves the list of the running supervisor")
    })?;
    // The content of the file runs as this user.
    if owner != 0 && owner != geteuid().as_raw() {
        let hint = "the file must belong to this user or to root; nothing was started";
        return Err(refuse(format!("the file belongs to user {owner}"), hint));
    }
    if mode & 0o022 != 0 {
        let hint = "check its content, then run `chmod go-w` on it; nothing was started";
        return Err(refuse("other users can write to the file".to_owned(), hint));
    }
    let hint = "the file is damaged or was not written by `procrun save`; nothing was started";
    let dump: Dump = match serde_json::from_slice(&text) {
        Ok(dump) => dump,
        Err(error) if error.is_eof() => {
            return Err(lose(format!("the file is incomplete: {error}"), hint));
        }
        Err(error) => {
            // PM2's own dump is a list.
            let is_pm2s = text.trim_ascii_start().starts_with(b"[");
            let what = format!("not a list of `procrun save`: {error}");
            return Err(if is_pm2s { refuse(what, OF_PM2) } else { lose(what, hint) });
        }
    };
    if dump.what != WHAT || dump.format != FORMAT {
        let message = format!("the file has format {1} of procrun {0}", dump.procrun, dump.format);
        return Err(refuse(message, &format!("this procrun reads format {FORMAT}")));
    }
    Ok(dump.apps)
}
