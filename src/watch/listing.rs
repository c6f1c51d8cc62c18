//! Reads directories: their entries, and the .gitignore files that apply to them.

use std::{ffi::OsString, fs, path::Path};

use super::{ignore::Ignore, watched::Watched};
use crate::sys::regular_file;

/// The name of git's ignore files.
pub(super) const GITIGNORE: &str = ".gitignore";
/// Maximum size of a .gitignore; a larger file is not read.
const MAX_GITIGNORE_BYTES: u64 = 1 << 20;

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryType {
    Directory,
    Link,
    File,
    /// A socket, a pipe, a device.
    Other,
}

impl From<fs::FileType> for EntryType {
    fn from(found: fs::FileType) -> Self {
        if found.is_dir() {
            Self::Directory
        } else if found.is_symlink() {
            Self::Link
        } else if found.is_file() {
            Self::File
        } else {
            Self::Other
        }
    }
}

/// The entries of a directory; none if it cannot be read.
pub(super) fn entries(directory: &Path) -> Vec<(OsString, EntryType)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let kinds =
        entries.flatten().filter_map(|entry| Some((entry.file_name(), entry.file_type().ok()?.into())));
    kinds.collect()
}

/// Reads the .gitignore of a directory if it is among its entries.
pub(super) fn read_gitignore(ignore: &mut Ignore, directory: &Path, entries: &[(OsString, EntryType)]) {
    if entries.iter().any(|(name, kind)| name == GITIGNORE && *kind != EntryType::Directory)
        && let Some(text) = read(directory)
    {
        ignore.add_layer(directory, &text);
    }
}

/// Reads the .gitignore files above the watched directory: up to the top of the repository, or to the
/// application's `cwd`. A .gitignore that would hide everything watched is skipped.
pub(super) fn read_gitignores_above(ignore: &mut Ignore, start: &Path, watched: &Watched) {
    let above: Vec<&Path> = start.ancestors().skip(1).collect();
    let top = above.iter().position(|directory| directory.join(".git").exists());
    let of_repository = if start.join(".git").exists() { None } else { top };
    let last = of_repository.or_else(|| above.iter().position(|directory| *directory == watched.cwd));
    let Some(last) = last else { return };
    for directory in &above[..=last] {
        if let Some(text) = read(directory)
            && !Ignore::would_hide(directory, &text, start)
        {
            ignore.add_layer(directory, &text);
        }
    }
}

fn read(directory: &Path) -> Option<Vec<u8>> {
    let text = regular_file::read_start(&directory.join(GITIGNORE), MAX_GITIGNORE_BYTES + 1).ok()?;
    (text.len() as u64 <= MAX_GITIGNORE_BYTES).then_some(text)
}
