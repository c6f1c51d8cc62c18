//! `/api/v1/logs`: recent log lines and new ones, with filters.

use std::{collections::VecDeque, io};

use hyper::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::{sync::mpsc, time::timeout};

use super::{
    answer::Answer,
    link::Link,
    problem::Problem,
    queries::{Queries, refused},
    query::{Query, bad},
    severity::{self, Severity},
    sse::{self, COMMENT, KEEP_ALIVE, Messages},
};
use crate::control::{self, Edge, LogLine, Request};

const PARAMETERS: [&str; 8] = ["target", "lines", "since", "level", "text", "stream", "own", "follow"];
/// Recent lines of each instance without another number.
const LINES: u32 = 100;
const MAX_LINES: u32 = 10_000;
/// Maximum bytes of the recent lines that a client gets. The oldest ones beyond it count as missed.
const MAX_BYTES: usize = 1024 * 1024;

/// Lines that are dropped together.
const PIECE: usize = 100;

/// Which lines a client gets.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent parameters")]
struct Wanted {
    targets: Vec<String>,
    lines: u32,
    /// In milliseconds since 1970.
    since: Option<i64>,
    level: Option<Severity>,
    /// In lower case.
    text: Option<String>,
    out: bool,
    err: bool,
    own: bool,
    follow: bool,
}

/// A line as it is sent.
#[derive(Serialize)]
struct Sent<'a> {
    at: String,
    app: &'a str,
    id: Option<u32>,
    stream: &'static str,
    level: Severity,
    text: &'a str,
    /// The line continues in the next message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl Wanted {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let query = Query::read(query, &PARAMETERS)?;
        let (out, err) = match query.text("stream") {
            None | Some("all") => (true, true),
            Some("out") => (true, false),
            Some("err") => (false, true),
            Some(_) => return Err(bad("`stream` must be out, err or all")),
        };
        let since = query.text("since").map(|text| {
            let milliseconds = text.parse::<i64>().ok();
            let time = || text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
            milliseconds.or_else(time).ok_or_else(|| {
                bad("`since` must be a time such as 2026-01-31T14:30:00Z, or milliseconds since 1970")
            })
        });
        let level = query.text("level").map(|word| {
            word.parse().map_err(|_| bad("`level` must be trace, debug, info, warn, error or fatal"))
        });
        Ok(Self {
            targets: query.all("target").map(str::to_owned).collect(),
            lines: query.number("lines", "a number of lines")?.unwrap_or(LINES).min(MAX_LINES),
            since: since.transpose()?,
            level: level.transpose()?,
            text: query.text("text").filter(|text| !text.is_empty()).map(str::to_lowercase),
            out,
            err,
            own: query.switch("own", true)?,
            follow: query.switch("follow", true)?,
        })
    }

    fn request(&self) -> Request {
        Request::Logs {
            targets: self.targets.clone(),
            lines: self.lines,
            out: self.out,
            err: self.err,
            own: self.own,
            stream: self.follow,
        }
    }

    fn takes(&self, line: &LogLine) -> bool {
        self.since.is_none_or(|since| line.at >= since)
            && self.level.is_none_or(|least| level(line) >= least)
            && self.text.as_ref().is_none_or(|text| line.text.to_lowercase().contains(text))
            && !line.is_bare_end()
    }

    fn add_lines(&self, messages: &mut Messages, lines: &[LogLine]) {
        for line in lines.iter().filter(|line| self.takes(line)) {
            let sent = Sent {
                at: time(line.at),
                app: &line.name,
                id: line.id,
                stream: if line.err { "err" } else { "out" },
                level: level(line),
                text: line.text.trim_end_matches('\r'),
                partial: line.end != Edge::Line,
            };
            messages.add(None, None, &serde_json::to_string(&sent).unwrap_or_default());
        }
    }

    fn message(&self, missed: u64, lines: &[LogLine]) -> Messages {
        let mut messages = Messages::default();
        add_missed(&mut messages, missed);
        self.add_lines(&mut messages, lines);
        messages
    }
}

/// The level of a line. The supervisor writes all its own lines to stderr.
fn level(line: &LogLine) -> Severity {
    severity::of_line(&line.text, line.err && line.id.is_some())
}

fn add_missed(messages: &mut Messages, missed: u64) {
    if missed > 0 {
        messages.add(None, Some("missed"), &format!("{{\"missed\":{missed}}}"));
    }
}

/// The recent lines of a client, the oldest first.
#[derive(Debug, Default)]
struct RecentLines {
    missed: u64,
    /// Each with the number of its lines.
    pieces: VecDeque<(u64, Bytes)>,
    bytes: usize,
}

impl RecentLines {
    fn add(&mut self, wanted: &Wanted, missed: u64, lines: &[LogLine]) {
        self.missed += missed;
        for lines in lines.chunks(PIECE) {
            let mut messages = Messages::default();
            wanted.add_lines(&mut messages, lines);
            let piece = messages.into_bytes();
            if piece.is_empty() {
                continue;
            }
            self.bytes += piece.len();
            self.pieces.push_back((lines.iter().filter(|line| wanted.takes(line)).count() as u64, piece));
            while self.bytes > MAX_BYTES && self.pieces.len() > 1 {
                let Some((lines, piece)) = self.pieces.pop_front() else { break };
                self.bytes -= piece.len();
                self.missed += lines;
            }
        }
    }
}

fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

/// Answers a client with the lines that it wants.
pub(super) async fn follow(
    queries: &Queries,
    query: Option<&str>,
    place: impl Send + 'static,
) -> Result<Answer, Problem> {
    let wanted = Wanted::read(query)?;
    // The supervisor prepares the recent lines of one client at a time. New lines have a rate of their own.
    let (link, (recent, end)) =
        queries.open(&wanted.request(), async |link| recent_lines(&wanted, link).await).await?;
    if let control::Answer::Failed(error) = end {
        return Err(refused(error).of_target());
    }
    let (sender, answer) = sse::stream();
    tokio::spawn(async move {
        let _place = place;
        pass_on(&wanted, link, recent, end, &sender).await;
    });
    Ok(answer)
}

/// Reads the recent lines of a client, and the answer after them.
async fn recent_lines(wanted: &Wanted, link: &mut Link) -> io::Result<(RecentLines, control::Answer)> {
    let mut recent = RecentLines::default();
    loop {
        match link.answer().await? {
            control::Answer::Lines { missed, lines } => recent.add(wanted, missed, &lines),
            end => return Ok((recent, end)),
        }
        // Other requests have their turn.
        tokio::task::yield_now().await;
    }
}

/// Sends a client its lines until it is gone, or there are no more.
async fn pass_on(
    wanted: &Wanted,
    mut link: Link,
    recent: RecentLines,
    end: control::Answer,
    sender: &mpsc::Sender<Bytes>,
) {
    let mut missed = Messages::default();
    add_missed(&mut missed, recent.missed);
    if !missed.is_empty() && sender.send(missed.into_bytes()).await.is_err() {
        return;
    }
    for (_, piece) in recent.pieces {
        if sender.send(piece).await.is_err() {
            return;
        }
    }
    let mut answer = end;
    loop {
        let mut messages = Messages::default();
        let is_over = match answer {
            control::Answer::Lines { missed, lines } => {
                messages = wanted.message(missed, &lines);
                false
            }
            control::Answer::Live => {
                messages.add(None, Some("live"), "{}");
                false
            }
            _ => {
                messages.add(None, Some("end"), "{}");
                true
            }
        };
        if !messages.is_empty() && sender.send(messages.into_bytes()).await.is_err() || is_over {
            return;
        }
        let mut next = std::pin::pin!(link.answer());
        answer = loop {
            tokio::select! {
                received = timeout(KEEP_ALIVE, next.as_mut()) => match received {
                    Ok(Ok(answer)) => break answer,
                    Ok(Err(_)) => return,
                    Err(_) => {
                        if sender.send(COMMENT).await.is_err() {
                            return;
                        }
                    }
                },
                () = sender.closed() => return,
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, err: bool, at: i64) -> LogLine {
        LogLine {
            id: Some(3),
            name: "api".to_owned(),
            err,
            at,
            text: text.to_owned(),
            begin: Edge::Line,
            end: Edge::Line,
        }
    }

    #[test]
    fn lines_are_selected_by_time_level_and_text() {
        let lines = [
            line("started", false, 1000),
            line("Failed\r", true, 2000),
            line(r#"{"level":40,"msg":"slow"}"#, false, 3000),
        ];
        let texts = |query| {
            let sent = String::from_utf8(
                Wanted::read(Some(query)).unwrap().message(0, &lines).into_bytes().to_vec(),
            );
            let sent = sent.unwrap();
            ["started", "Failed", "slow"].map(|text| sent.contains(text))
        };
        for (query, expected) in [
            ("", [true, true, true]),
            ("since=2000", [false, true, true]),
            ("since=1970-01-01T00:00:02.500Z", [false, false, true]),
            ("level=warn", [false, true, true]),
            ("level=error", [false, true, false]),
            ("text=FAIL", [false, true, false]),
            ("text=s&since=0&level=info", [true, false, true]),
        ] {
            assert_eq!(texts(query), expected, "{query}");
        }
    }

    #[test]
    fn a_line_is_one_message_of_json() {
        let wanted = Wanted::read(None).unwrap();
        let piece = LogLine { end: Edge::Cut, ..line("a\u{1b}[31m\"", false, 1500) };
        let sent = wanted.message(2, &[piece]).into_bytes();
        assert_eq!(
            String::from_utf8_lossy(&sent),
            "event: missed\ndata: {\"missed\":2}\n\n\
             data: {\"at\":\"1970-01-01T00:00:01.500Z\",\"app\":\"api\",\"id\":3,\"stream\":\"out\",\
             \"level\":\"info\",\"text\":\"a\\u001b[31m\\\"\",\"partial\":true}\n\n"
        );
        for wrong in ["since=soon", "level=loud", "stream=both", "lines=x", "follow=x", "tail=1"] {
            assert!(Wanted::read(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_recent_lines_of_a_client_are_bounded_in_bytes() {
        let wanted = Wanted::read(Some("text=kept")).unwrap();
        let mut recent = RecentLines::default();
        let text = format!("kept {}", "x".repeat(1000));
        let lines = [line(&text, false, 0), line("other", false, 0)];
        for _ in 0..2 * MAX_BYTES / 1000 {
            recent.add(&wanted, 0, &lines);
        }
        let kept: u64 = recent.pieces.iter().map(|(lines, _)| lines).sum();
        assert!(recent.bytes <= MAX_BYTES && recent.bytes > MAX_BYTES / 2, "{}", recent.bytes);
        assert_eq!(recent.missed + kept, 2 * MAX_BYTES as u64 / 1000, "each line is sent or counted");
    }
}
