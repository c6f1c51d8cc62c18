//! `procrun logs` and `flush`: recent log lines, and new ones as they are written.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, stdout},
};

use super::{
    commands::ParsedArgs,
    connect::Supervisor,
    failure::Failure,
    list::{details, look, unexpected},
    process_commands::wait,
    say, since,
};
use crate::{
    config::EX_USAGE,
    control::{Answer, Edge, LogLine, Request, snapshot::Detail},
    logs::{Kind, Line, View, frame},
    spec::{ExitCode, LogStyle},
};

/// PM2's.
const LINES: u32 = 15;
const TIMESTAMP: &str = "YYYY-MM-DDTHH:mm:ss";
/// The most that is read of a log file for its last lines.
const TAIL: u64 = 4 * 1024 * 1024;

pub(super) fn logs(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let wish = LogQuery::new(typed)?;
    let mut supervisor = typed.supervisor()?;
    let details = details(&mut supervisor, typed.words.clone())?;
    let mut view = wish.view();
    for detail in &details {
        view.widen(Some(detail.brief.id), &detail.brief.name);
    }
    // `--raw` with targets is what these wrote and nothing else.
    let wants_own = wish.style != LogStyle::Raw || typed.words.is_empty();
    if wants_own && wish.err {
        view.widen(None, "");
    }
    let mut out = Output::new(view);
    supervisor.ask(&Request::Logs {
        targets: typed.words.clone(),
        lines: wish.lines,
        out: wish.out,
        err: wish.err,
        own: wants_own,
        stream: wish.stream,
    })?;
    let mut recent = recent(&mut supervisor)?;
    if let Some(since) = wish.since {
        recent.retain(|line| line.at >= since);
    } else {
        for detail in &details {
            older(detail, &wish, &recent, &mut out);
        }
    }
    out.show(0, &recent);
    if out.write(stdout().lock()).is_err() || !wish.stream {
        return Ok(0);
    }
    loop {
        match supervisor.answer_or_end()? {
            None => return Ok(0),
            Some(Answer::Lines { missed, lines }) => {
                out.show(missed, &lines);
                // The reader has closed the pipe.
                if out.write(stdout().lock()).is_err() {
                    return Ok(0);
                }
            }
            Some(other) => return Err(unexpected(&other)),
        }
    }
}

pub(super) fn flush(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let request = Request::Flush { targets: typed.words.clone() };
    let ids = wait(&mut typed.supervisor()?, &request, |_| {})?;
    let processes = if ids.len() == 1 { "process" } else { "processes" };
    Ok(say(&format!("emptied the logs of {} {processes}\n", ids.len())))
}

/// How many of the recent lines: all since a time, unless a number is given.
pub(super) fn line_count(typed: &ParsedArgs, has_since: bool) -> Result<u32, Failure> {
    match typed.value("tail").or_else(|| typed.value("lines")) {
        None if has_since => Ok(u32::MAX),
        None => Ok(LINES),
        Some("all") => Ok(u32::MAX),
        Some(text) => text.parse().map_err(|_| {
            Failure::new(EX_USAGE, format!("`{text}` is not a number of lines"))
                .hint("`--lines 100`, or `--lines all` for all lines in memory")
        }),
    }
}

/// Which lines, and how they are to look.
struct LogQuery {
    lines: u32,
    /// Milliseconds since 1970. The time of lines in files is not known: they are left out.
    since: Option<i64>,
    out: bool,
    err: bool,
    stream: bool,
    style: LogStyle,
    date_format: Option<String>,
    highlight: Option<String>,
}

impl LogQuery {
    fn new(typed: &ParsedArgs) -> Result<Self, Failure> {
        let since = typed.value("since").map(since::parse).transpose()?;
        let lines = line_count(typed, since.is_some())?;
        let (only_out, only_err) = (typed.has("out"), typed.has("err"));
        if only_out && only_err {
            let failure = Failure::new(EX_USAGE, "`--out` and `--err` exclude each other");
            return Err(failure.hint("without either, the command shows both"));
        }
        let style = if typed.has("json") {
            LogStyle::Json
        } else if typed.has("format") {
            LogStyle::KeyValue
        } else if typed.has("raw") {
            LogStyle::Raw
        } else {
            LogStyle::Prefix
        };
        let date_format = typed.value("timestamp").map(|format| match format {
            "" => TIMESTAMP.to_owned(),
            format => format.to_owned(),
        });
        Ok(Self {
            lines,
            since,
            out: !only_err,
            err: !only_out,
            stream: !typed.has("nostream"),
            style,
            date_format,
            highlight: typed.value("highlight").map(str::to_owned),
        })
    }

    fn view(&self) -> View {
        let look = look();
        let mut view =
            View::new(self.style, self.date_format.as_deref(), look.colours, self.highlight.as_deref());
        if let Some(columns) = look.width {
            view.fit(columns);
        }
        view
    }
}

/// The lines that are in memory.
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

/// Older lines from the log files of a process, as far as they are requested. Their time is unknown, so they
/// are not in JSON records.
fn older(of: &Detail, wish: &LogQuery, recent: &[LogLine], out: &mut Output) {
    if matches!(wish.style, LogStyle::Json | LogStyle::KeyValue) {
        return;
    }
    let (wanted, id) = (wish.lines as usize, Some(of.brief.id));
    if recent.iter().filter(|line| line.id == id && line.end == Edge::Line).count() >= wanted {
        return;
    }
    let files = [(wish.out, &of.out_file, false), (wish.err, &of.error_file, true)];
    for (_, file, err) in files.into_iter().filter(|(wished, ..)| *wished) {
        let Some(file) = file else { continue };
        let in_memory = lines_of_file(recent.iter().filter(|line| line.id == id && line.err == err));
        // A file that cannot be read has nothing to add.
        let lines = tail(file, wanted).unwrap_or_default();
        let before = &lines[..lines.len().saturating_sub(in_memory)];
        for text in before {
            let kind = if err { Kind::Err } else { Kind::Out };
            let (begin, end) = (frame::Edge::Line, frame::Edge::Line);
            let line = Line { id, name: &of.brief.name, kind, at: 0, bytes: text, begin, end };
            out.view.undated(line, &mut out.bytes);
        }
    }
}

/// How many lines of a log file these pieces are. In a file a line goes on behind a pause.
fn lines_of_file<'a>(pieces: impl Iterator<Item = &'a LogLine>) -> usize {
    let (mut lines, mut is_open) = (0, false);
    for piece in pieces {
        is_open = piece.end == Edge::Pause;
        lines += usize::from(!is_open);
    }
    lines + usize::from(is_open)
}

/// The last lines of a file.
fn tail(path: &str, count: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // The first one may be a part only.
    let first = lines.len().saturating_sub(count).max(usize::from(from > 0));
    Ok(lines.into_iter().skip(first).collect())
}

/// Lines on their way out.
pub(super) struct Output {
    view: View,
    bytes: Vec<u8>,
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
            let (begin, end) = (frame::Edge::Line, frame::Edge::Line);
            let line = Line { id: None, name: "procrun", kind: Kind::Err, at, bytes, begin, end };
            self.view.line(line, &mut self.bytes);
        }
        for line in lines {
            let kind = if line.err { Kind::Err } else { Kind::Out };
            let LogLine { id, at, .. } = *line;
            let (begin, end) = (edge(line.begin), edge(line.end));
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

fn edge(edge: Edge) -> frame::Edge {
    match edge {
        Edge::Line => frame::Edge::Line,
        Edge::Cut => frame::Edge::Cut,
        Edge::Pause => frame::Edge::Pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_file_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let tail = |count| {
            let lines = tail(path.to_str().unwrap(), count).unwrap();
            lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect::<Vec<_>>()
        };
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail(5), [""; 0]);
        std::fs::write(&path, "one\ntwo\n\nthree").unwrap();
        assert_eq!(tail(2), ["", "three"]);
        assert_eq!(tail(9), ["one", "two", "", "three"]);
        let long = "x".repeat(usize::try_from(TAIL).unwrap());
        std::fs::write(&path, format!("{long}\nlast\n")).unwrap();
        assert_eq!(tail(9), ["last"]);
    }
}
