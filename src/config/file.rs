//! Reads small text files: never blocks on a FIFO, and limits the size.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::sys::{regular_file, shortage::is_file_shortage};

/// The maximum size of a configuration file in bytes.
pub(super) const MAX_SIZE: u64 = 1024 * 1024;

/// The reason for a missing file.
pub(super) const MISSING: &str = "does not exist";

/// Why a file cannot be used, as a clause that follows its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) why: String,
    pub(super) hint: Option<&'static str>,
    /// The cause is a shortage: a later read may succeed.
    pub(super) is_shortage: bool,
}

impl Unreadable {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None, is_shortage: false }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    fn of_error(what: &str, error: &io::Error) -> Self {
        Self { is_shortage: is_file_shortage(error), ..Self::new(format!("{what}: {error}")) }
    }
}

/// Opens a regular file of at most [`MAX_SIZE`]. A FIFO or device is an error.
pub(super) fn open(path: &Path) -> Result<File, Unreadable> {
    let file = regular_file::open(path).map_err(|error| cannot_open(&error))?;
    let metadata = file.metadata().map_err(|error| Unreadable::of_error("cannot be read", &error))?;
    if metadata.len() > MAX_SIZE {
        return Err(Unreadable::new(format!("is too large: {} bytes, the maximum is 1 MiB", metadata.len())));
    }
    Ok(file)
}

fn cannot_open(error: &io::Error) -> Unreadable {
    match error.kind() {
        io::ErrorKind::NotFound => Unreadable::new(MISSING),
        io::ErrorKind::IsADirectory => Unreadable::new("is a directory").hint("name the file in it"),
        io::ErrorKind::InvalidInput => Unreadable::new("is not a regular file"),
        io::ErrorKind::PermissionDenied => Unreadable::new("cannot be read: permission denied")
            .hint("check the owner and mode of the file and of the directories above it"),
        _ => Unreadable::of_error("cannot be opened", error),
    }
}

/// Reads UTF-8 text without NUL bytes, at most [`MAX_SIZE`]. A byte order mark is removed.
pub(super) fn read(path: &Path) -> Result<String, Unreadable> {
    let file = open(path)?;
    // With one byte more than the file has, a single read reaches its end.
    let length = file.metadata().map_or(0, |metadata| metadata.len().min(MAX_SIZE));
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Unreadable::of_error("cannot be read", &error))?;
    text(bytes)
}

/// Reads stdin to its end.
pub(super) fn stdin() -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Unreadable::new(format!("cannot be read: {error}")))?;
    if bytes.trim_ascii().is_empty() {
        return Err(
            Unreadable::new("is empty").hint("an ecosystem file is expected there: JSON, TOML or YAML")
        );
    }
    text(bytes)
}

/// Checks that `bytes` are the text of a configuration.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    if bytes.len() as u64 > MAX_SIZE {
        return Err(Unreadable::new("is too large: the maximum is 1 MiB"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Unreadable::new("is UTF-16").hint("save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = memchr::memchr_iter(b'\n', valid).count() + 1;
        Unreadable::new(format!("is not UTF-8: line {line} has other bytes")).hint("save it as UTF-8")
    })?;
    if let Some(at) = memchr::memchr(0, text.as_bytes()) {
        let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count() + 1;
        return Err(Unreadable::new(format!("has a NUL byte in line {line}")));
    }
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_limited_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&fifo).unwrap_err().why, "is not a regular file");
        assert_eq!(read(dir.path()).unwrap_err().why, "is a directory");
        assert_eq!(read(&dir.path().join("none")).unwrap_err().why, MISSING);
        let big = dir.path().join("big");
        File::create(&big).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert!(read(&big).unwrap_err().why.starts_with("is too large"));
    }

    #[test]
    fn bytes_that_are_not_text_are_errors() {
        assert_eq!(text(b"\xef\xbb\xbfa".to_vec()).unwrap(), "a");
        assert_eq!(text(b"a\n\xff".to_vec()).unwrap_err().why, "is not UTF-8: line 2 has other bytes");
        assert_eq!(text(b"\xff\xfea\0".to_vec()).unwrap_err().why, "is UTF-16");
        assert_eq!(text(b"a\n\nb\0".to_vec()).unwrap_err().why, "has a NUL byte in line 3");
    }
}
