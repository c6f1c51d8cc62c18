//! `procrun logs`: recent log lines, and new ones as they are written.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, stdout},
};

use crate::{
    cli::{
        command::{Command, Group, JSON_LINES, OPTIONAL_TARGETS, OptionSpec, Run},
        connect::unexpected,
        failure::Failure,
        log_output::{Output, line_count, recent},
        output::stdout_style,
        parsed_args::ParsedArgs,
        since,
    },
    config::EX_USAGE,
    control::{Answer, Edge, LogLine, Request, snapshot::InstanceDetails},
    logs::{Line, StreamKind, View},
    spec::{ExitCode, LogStyle},
};

pub(super) static LOGS: Command = Command {
    words: &["logs", "log"],
    group: Group::Output,
    arguments: OPTIONAL_TARGETS,
    options: &[
        OptionSpec::with_value("lines", "N", "Last N lines of each, or all [default: 15]"),
        OptionSpec::with_value("tail", "N", "Alias of --lines").short('n'),
        OptionSpec::with_value("since", "TIME", "Show lines since 5m, 14:30, 2026-01-31T14:30:00"),
        OptionSpec::switch("nostream", "Do not follow new lines"),
        OptionSpec::switch("out", "Show only stdout"),
        OptionSpec::switch("err", "Show only stderr"),
        OptionSpec::switch("raw", "Print lines as the apps wrote them"),
        JSON_LINES,
        OptionSpec::switch("format", "Print each line as key=value pairs"),
        OptionSpec::with_value("timestamp", "[=FORMAT]", "Prefix each line with the time"),
        OptionSpec::with_value("highlight", "TEXT", "Highlight TEXT in the lines"),
    ],
    summary: "Show recent log lines and follow new ones",
    description: "Show the last lines of all processes, or of some, and follow new lines until\n\
                  Ctrl-C. The lines come from memory and from log files. They include the\n\
                  supervisor's lines about these processes, except with --raw. If the output is\n\
                  too slow, a line reports how many lines were missed.\n\
                  The default FORMAT of --timestamp is YYYY-MM-DD HH:mm:ss.",
    examples: &[
        ("procrun logs api", "the app api"),
        ("procrun logs --err --since 5m --nostream", "stderr of the last 5 minutes"),
        ("procrun logs --lines 100 --timestamp", "more lines, with their time"),
    ],
    run: Run::Function(logs),
    ..Command::DEFAULT
};

const TIMESTAMP: &str = "YYYY-MM-DDTHH:mm:ss";
/// The maximum number of bytes that are read of a log file for its last lines.
const TAIL: u64 = 4 * 1024 * 1024;

fn logs(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let query = LogQuery::new(args)?;
    let mut supervisor = args.supervisor()?;
    let details = supervisor.details(args.words.clone())?;
    let mut view = query.view();
    for detail in &details {
        view.widen(Some(detail.brief.id), &detail.brief.name);
    }
    // `--raw` with targets shows only what the targets wrote.
    let wants_own = query.style != LogStyle::Raw || args.words.is_empty();
    if wants_own && query.err {
        view.widen(None, "");
    }
    let mut out = Output::new(view);
    supervisor.send(&Request::Logs {
        targets: args.words.clone(),
        lines: query.lines,
        out: query.out,
        err: query.err,
        own: wants_own,
        stream: query.stream,
    })?;
    let mut recent = recent(&mut supervisor)?;
    if let Some(since) = query.since {
        recent.retain(|line| line.at >= since);
    } else {
        for detail in &details {
            older(detail, &query, &recent, &mut out);
        }
    }
    out.show(0, &recent);
    if out.write(stdout().lock()).is_err() || !query.stream {
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

/// The lines to show, and their format.
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
    fn new(args: &ParsedArgs) -> Result<Self, Failure> {
        let since = args.value("since").map(since::parse).transpose()?;
        let lines = line_count(args, since.is_some())?;
        let (only_out, only_err) = (args.has("out"), args.has("err"));
        if only_out && only_err {
            let failure = Failure::new(EX_USAGE, "`--out` and `--err` exclude each other");
            return Err(failure.hint("without either, the command shows both"));
        }
        let style = if args.has("json") {
            LogStyle::Json
        } else if args.has("format") {
            LogStyle::KeyValue
        } else if args.has("raw") {
            LogStyle::Raw
        } else {
            LogStyle::Prefix
        };
        let date_format = args.value("timestamp").map(|format| match format {
            "" => TIMESTAMP.to_owned(),
            format => format.to_owned(),
        });
        Ok(Self {
            lines,
            since,
            out: !only_err,
            err: !only_out,
            stream: !args.has("nostream"),
            style,
            date_format,
            highlight: args.value("highlight").map(str::to_owned),
        })
    }

    fn view(&self) -> View {
        let style = stdout_style();
        let mut view =
            View::new(self.style, self.date_format.as_deref(), style.colours, self.highlight.as_deref());
        if let Some(columns) = style.width {
            view.fit(columns);
        }
        view
    }
}

/// Older lines from the log files of a process, if they are requested. Their time is unknown, so they are not in JSON
/// records.
fn older(of: &InstanceDetails, query: &LogQuery, recent: &[LogLine], out: &mut Output) {
    if matches!(query.style, LogStyle::Json | LogStyle::KeyValue) {
        return;
    }
    let (wanted, id) = (query.lines as usize, Some(of.brief.id));
    if recent.iter().filter(|line| line.id == id && line.end == Edge::Line).count() >= wanted {
        return;
    }
    let files = [(query.out, &of.out_file, false), (query.err, &of.error_file, true)];
    for (_, file, err) in files.into_iter().filter(|(is_shown, ..)| *is_shown) {
        let Some(file) = file else { continue };
        let in_memory = lines_of_file(recent.iter().filter(|line| line.id == id && line.err == err));
        // A file that cannot be read has nothing to add.
        let lines = tail(file, wanted).unwrap_or_default();
        let before = &lines[..lines.len().saturating_sub(in_memory)];
        for text in before {
            let kind = if err { StreamKind::Err } else { StreamKind::Out };
            let (begin, end) = (Edge::Line, Edge::Line);
            let line = Line { id, name: &of.brief.name, kind, at: 0, bytes: text, begin, end };
            out.view.line_without_time(line, &mut out.bytes);
        }
    }
}

/// The number of lines of a log file in these pieces. In a file, a line continues after a pause.
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
