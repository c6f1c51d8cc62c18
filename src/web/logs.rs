//! `/api/v1/logs`: recent log lines and new ones, with filters.

use hyper::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::{sync::mpsc, time::timeout};

use super::{
    answer::Answer,
    link::{Connector, Link},
    problem::Problem,
    queries::{refused, within_patience},
    query::{Query, bad},
    severity::{self, Severity},
    sse::{self, COMMENT, KEEP_ALIVE, Messages},
};
use crate::control::{self, Edge, LogLine, Request};

const PARAMETERS: [&str; 8] = ["target", "lines", "since", "level", "text", "stream", "own", "follow"];
/// Recent lines of each instance without another number.
const LINES: u32 = 100;
const MAX_LINES: u32 = 10_000;

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

    fn message(&self, missed: u64, lines: &[LogLine]) -> Messages {
        let mut messages = Messages::default();
        if missed > 0 {
            messages.add(None, Some("missed"), &format!("{{\"missed\":{missed}}}"));
        }
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
        messages
    }
}

/// The level of a line. The supervisor writes all its own lines to stderr.
fn level(line: &LogLine) -> Severity {
    severity::of_line(&line.text, line.err && line.id.is_some())
}

fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

/// Answers a client with the lines that it wants.
pub(super) async fn follow(
    connector: &Connector,
    query: Option<&str>,
    place: impl Send + 'static,
) -> Result<Answer, Problem> {
    let wanted = Wanted::read(query)?;
    let first = async {
        let mut link = connector.ask(&wanted.request()).await?;
        let answer = link.answer().await?;
        Ok((link, answer))
    };
    let (link, first) = within_patience(first).await?;
    if let control::Answer::Failed(error) = first {
        return Err(refused(error));
    }
    let (sender, answer) = sse::stream();
    tokio::spawn(async move {
        let _place = place;
        pass_on(&wanted, link, first, &sender).await;
    });
    Ok(answer)
}

/// Sends a client its lines until it is gone, or there are no more.
async fn pass_on(wanted: &Wanted, mut link: Link, first: control::Answer, sender: &mpsc::Sender<Bytes>) {
    let mut answer = first;
    loop {
        let mut messages = match answer {
            control::Answer::Lines { missed, lines } => wanted.message(missed, &lines),
            control::Answer::Live => {
                let mut messages = Messages::default();
                messages.add(None, Some("live"), "{}");
                messages
            }
            _ => {
                let mut messages = Messages::default();
                messages.add(None, Some("end"), "{}");
                let _ = sender.send(messages.into_bytes()).await;
                return;
            }
        };
        if !messages.is_empty() && sender.send(std::mem::take(&mut messages).into_bytes()).await.is_err() {
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
}
