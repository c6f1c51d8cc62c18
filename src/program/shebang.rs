//! The `#!` line: what the kernel executes, and the program after `env`.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The interpreter of a `#!` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shebang {
    /// The program that the kernel executes; empty if the line names none.
    pub(super) kernel: PathBuf,
    /// The line ends with a carriage return, which the kernel treats as a part of the name.
    pub(super) carriage_return: bool,
    /// The program that runs the script.
    pub(super) requested: RequestedProgram,
}

/// The program that a `#!` line requests, with its first arguments and variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RequestedProgram {
    /// A path, or after `env` a name in `PATH`. Empty if it cannot be found.
    pub(super) program: OsString,
    /// The arguments before the script.
    pub(super) args: Vec<OsString>,
    /// `NAME=value` before the program, as `env` accepts them.
    pub(super) vars: Vec<(OsString, OsString)>,
}

impl Shebang {
    /// Parses the first line of a file that begins with `head`; `None` if it is not a `#!` line.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let line = head.strip_prefix(b"#!")?;
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let carriage_return = line.ends_with(b"\r");
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (kernel, rest) = line.split_at(end);
        let kernel = PathBuf::from(OsStr::from_bytes(kernel));
        let rest = rest.trim_ascii();
        let requested = if kernel.file_name() == Some(OsStr::new("env")) {
            after_env(&words(rest))
        } else {
            // The kernel passes the whole rest as one argument.
            let args = (!rest.is_empty()).then(|| OsStr::from_bytes(rest).to_owned());
            RequestedProgram {
                program: kernel.clone().into_os_string(),
                args: args.into_iter().collect(),
                vars: Vec::new(),
            }
        };
        Some(Self { kernel, carriage_return, requested })
    }

    /// Whether `env` searches the program.
    pub(super) fn is_by_env(&self) -> bool {
        Path::new(&self.requested.program) != self.kernel
    }

    /// The line without `#!`, for messages.
    pub(super) fn shown(&self) -> String {
        let words = [self.kernel.display().to_string()].into_iter();
        let words = words.chain(self.is_by_env().then(|| self.requested.program.display().to_string()));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The program that `env` executes. Options that change more than variables make it unknown.
fn after_env(words: &[OsString]) -> RequestedProgram {
    let mut requested = RequestedProgram::default();
    for word in words {
        let bytes = word.as_bytes();
        if !requested.program.is_empty() {
            requested.args.push(word.clone());
        } else if matches!(bytes, b"-S" | b"--split-string" | b"-vS" | b"--") {
            // All words are split here, even where the kernel would pass them as one.
        } else if bytes.starts_with(b"-") {
            return RequestedProgram::default();
        } else if let Some(at) = bytes.iter().position(|byte| *byte == b'=') {
            let (name, value) = (&bytes[..at], &bytes[at + 1..]);
            requested.vars.push((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()));
        } else {
            requested.program.clone_from(word);
        }
    }
    requested
}

/// Splits as `env -S` does: at white space outside of quotes.
fn words(line: &[u8]) -> Vec<OsString> {
    // `-Snode` is `-S node`.
    let line = line.strip_prefix(b"-S").or_else(|| line.strip_prefix(b"--split-string=")).unwrap_or(line);
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    for byte in line {
        match (quote, byte) {
            (Some(open), _) if *byte == open => quote = None,
            (None, b'\'' | b'"') => {
                quote = Some(*byte);
                word.get_or_insert_default();
            }
            (None, _) if byte.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(*byte),
        }
    }
    words.extend(word);
    words.iter().map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(line: &str) -> (String, Vec<String>, Vec<String>) {
        let RequestedProgram { program, args, vars } = Shebang::parse(line.as_bytes()).unwrap().requested;
        let text = |it: &OsString| it.to_str().unwrap().to_owned();
        let vars = vars.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
        (text(&program), args.iter().map(text).collect(), vars.collect())
    }

    #[test]
    fn the_program_after_env_is_found() {
        let none = Vec::<String>::new;
        for (line, program, args, vars) in [
            ("#!/usr/bin/node\n", "/usr/bin/node", none(), none()),
            ("#! /usr/bin/node --flag --other\n", "/usr/bin/node", vec!["--flag --other".into()], none()),
            ("#!/usr/bin/env node", "node", none(), none()),
            ("#!/usr/bin/env node\r\n", "node", none(), none()),
            ("#!/usr/bin/env -S node --flag\n", "node", vec!["--flag".into()], none()),
            ("#!/usr/bin/env -Snode --flag\n", "node", vec!["--flag".into()], none()),
            ("#!/bin/env node --flag\n", "node", vec!["--flag".into()], none()),
            ("#!/usr/bin/env -S A=1 B='x y' node\n", "node", none(), vec!["A=1".into(), "B=x y".into()]),
            ("#!/usr/bin/env -S -i node\n", "", none(), none()),
            ("#!/bin/sh", "/bin/sh", none(), none()),
            ("#!\n", "", none(), none()),
        ] {
            assert_eq!(requested(line), (program.to_owned(), args, vars), "{line:?}");
        }
        assert_eq!(Shebang::parse(b"const x = 1\n#!/bin/sh"), None);
    }

    #[test]
    fn a_carriage_return_is_detected() {
        assert!(Shebang::parse(b"#!/bin/sh\r\necho\r\n").unwrap().carriage_return);
        assert!(!Shebang::parse(b"#!/bin/sh\necho\r\n").unwrap().carriage_return);
    }
}
