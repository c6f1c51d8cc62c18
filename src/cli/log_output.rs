//! Log lines of the supervisor as commands print them.

use std::io;

use super::{
    connect::{Supervisor, unexpected},
    failure::Failure,
    parsed_args::ParsedArgs,
};
use crate::{
    config::EX_USAGE,
    control::{Answer, Edge, LogLine},
    logs::{Line, StreamKind, View},
};

/// PM2's default.
const LINES: u32 = 15;

/// The number of recent lines: all since a time, unless a number is given.
pub(super) fn line_count(args: &ParsedArgs, has_since: bool) -> Result<u32, Failure> {
    match args.value("tail").or_else(|| args.value("lines")) {
        None if has_since => Ok(u32::MAX),
        None => Ok(LINES),
        Some("all") => Ok(u32::MAX),
        Some(text) => text.parse().map_err(|_| {
            Failure::new(EX_USAGE, format!("`{text}` is not a number of lines"))
                .hint("`--lines 100`, or `--lines all` for all lines in memory")
        }),
    }
}

/// All lines in memory.
pub(super) fn recent(supervisor: &mut Supervisor) -> Result<Vec<LogLine>, Failure> {
    let mut recent = Vec::new();
    loop {
        match supervisor.answer()? {
            Answer::Lines { lines, .. } => recent.extend(lines),
            Answer::Live | Answer::Done { .. } => return Ok(recent),
            other => return Err(unexpected(&other)),
        }
    }
}

/// Lines on their way out.
pub(super) struct Output {
    pub(super) view: View,
    pub(super) bytes: Vec<u8>,
}

impl Output {
    pub(super) fn new(view: View) -> Self {
        Self { view, bytes: Vec::new() }
    }

    pub(super) fn show(&mut self, missed: u64, lines: &[LogLine]) {
        if missed > 0 {
            let plural = if missed == 1 { "line was" } else { "lines were" };
            let text =
                format!("{missed} {plural} missed: the output of the apps was faster than this command");
            let at = lines.first().map_or(0, |line| line.at);
            let bytes = text.as_bytes();
            let (begin, end) = (Edge::Line, Edge::Line);
            let line = Line { id: None, name: "procrun", kind: StreamKind::Err, at, bytes, begin, end };
            self.view.line(line, &mut self.bytes);
        }
        for line in lines {
            let kind = if line.err { StreamKind::Err } else { StreamKind::Out };
            let LogLine { id, at, .. } = *line;
            let (begin, end) = (line.begin, line.end);
            let line = Line { id, name: &line.name, kind, at, bytes: line.text.as_bytes(), begin, end };
            self.view.line(line, &mut self.bytes);
        }
    }

    pub(super) fn write(&mut self, mut to: impl io::Write) -> io::Result<()> {
        to.write_all(&self.bytes)?;
        self.bytes.clear();
        to.flush()
    }
}
