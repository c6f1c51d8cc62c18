//! Reads the small files of `/proc/PID` (proc(5)) for process trees, samples of memory and CPU, and single facts
//! about processes.
//!
//! Files that need the memory of the process (command line, environment, PSS) may block the reader. The module
//! `process_memory` reads those.

use std::{
    fmt::{self, Write as _},
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::reap::Pid;

/// The maximum number of bytes of one read: more than the 52 fields of a `stat` file need.
pub const READ_SIZE: usize = 2048;

/// The room that [`text`] begins with: most files fit.
const TEXT_SIZE: usize = 8192;

/// The ids of all processes of this PID namespace; none where `/proc` cannot be read.
pub fn pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The value of a line of `/proc/PID/status`, such as `Uid`. `None`: the process has ended, or there is no such line.
pub fn status(pid: impl fmt::Display, key: &str) -> Option<String> {
    // The name of a process may contain any bytes.
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

/// Reads a whole file. `/proc` shows no sizes, so `fs::read_to_string` would begin with a small buffer and ask the
/// kernel to write the text again and again.
///
/// # Errors
///
/// The error of open(2) or read(2), or `InvalidData` if it is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let mut text = String::with_capacity(TEXT_SIZE);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Reads many files one after the other without an allocation for each.
#[derive(Debug)]
pub struct Reader {
    path: String,
    text: [u8; READ_SIZE],
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// Creates a reader with its buffer.
    pub fn new() -> Self {
        Self { path: String::new(), text: [0; READ_SIZE] }
    }

    /// Opens a file.
    ///
    /// # Errors
    /// The error of open(2).
    pub fn open(&mut self, path: fmt::Arguments<'_>) -> io::Result<File> {
        self.path.clear();
        // Writing to a string cannot fail.
        let _ = self.path.write_fmt(path);
        File::open(&self.path)
    }

    /// Reads the start of a file, at most [`READ_SIZE`] bytes. Makes one read(2), where `fs::read` makes four system
    /// calls.
    ///
    /// # Errors
    ///
    /// The error of open(2) or read(2).
    pub fn read(&mut self, path: fmt::Arguments<'_>) -> io::Result<&[u8]> {
        let count = self.open(path)?.read(&mut self.text)?;
        Ok(&self.text[..count])
    }

    /// Reads the start of an open file again, at most [`READ_SIZE`] bytes.
    ///
    /// # Errors
    ///
    /// The error of pread(2): ESRCH if the process has ended.
    pub fn read_again(&mut self, file: &File) -> io::Result<&[u8]> {
        let count = file.read_at(&mut self.text, 0)?;
        Ok(&self.text[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, pids, status};

    #[test]
    fn the_files_of_this_process_are_read() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(pids().any(|pid| pid == me));
        assert_eq!(status(me, "Pid"), Some(me.to_string()));
        assert_eq!(status("self", "No such line"), None);
        let mut reader = Reader::new();
        let file = reader.open(format_args!("/proc/{me}/stat")).unwrap();
        let begin = format!("{me} (");
        assert!(reader.read_again(&file).unwrap().starts_with(begin.as_bytes()));
        assert!(reader.read(format_args!("/proc/{me}/stat")).unwrap().starts_with(begin.as_bytes()));
        assert!(reader.read(format_args!("/proc/{}/stat", i32::MAX)).is_err());
    }
}
