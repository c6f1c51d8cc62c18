//! The first bytes of a file, and the kind of file that they indicate.

use std::{io, path::Path};

use super::shebang::Shebang;
use crate::sys::regular_file;

/// The number of bytes that are read: as PM2 reads, and more than the kernel reads of a `#!` line.
const HEAD_SIZE: u64 = 512;
/// Maximum size of a package manager's shell script.
const MAX_SHIM: u64 = 16 * 1024;

/// The kind of a file by its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// An ELF binary.
    Elf,
    /// A script that names its interpreter.
    Script(Shebang),
    /// Text without `#!`, or an empty file.
    Text,
    /// Binary data other than ELF.
    Binary,
}

/// Reads the first bytes.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    regular_file::read_start(path, HEAD_SIZE)
}

/// Whether a file is text by its first bytes.
pub(super) fn is_text(path: &Path) -> io::Result<bool> {
    Ok(!read(path)?.contains(&0))
}

/// The content of a script that may be a shim.
pub(super) fn read_script(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&regular_file::read_start(path, MAX_SHIM)?).into_owned())
}

impl Content {
    pub(super) fn of(head: &[u8]) -> Self {
        if head.starts_with(b"\x7fELF") {
            Self::Elf
        } else if let Some(shebang) = Shebang::parse(head) {
            Self::Script(shebang)
        } else if head.contains(&0) {
            Self::Binary
        } else {
            Self::Text
        }
    }
}

/// Whether all of its lines end as on Windows.
pub(super) fn has_windows_lines(head: &[u8]) -> bool {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    head.contains(&b'\n') && lines.all(|line| line.ends_with(b"\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_show_the_kind_of_a_file() {
        assert_eq!(Content::of(b"\x7fELF\x02"), Content::Elf);
        assert!(matches!(Content::of(b"#!/bin/sh\n"), Content::Script(_)));
        assert_eq!(Content::of("'use strict' // \u{e4}".as_bytes()), Content::Text);
        assert_eq!(Content::of(b""), Content::Text);
        assert_eq!(Content::of(b"PK\x03\x04\0\0"), Content::Binary);
    }

    #[test]
    fn only_files_with_windows_line_endings_throughout_are_detected() {
        assert!(has_windows_lines(b"#!/bin/sh\r\necho\r\n"));
        assert!(!has_windows_lines(b"#!/bin/sh\r\necho\n"));
        assert!(!has_windows_lines(b"#!/bin/sh"));
    }
}
