//! A log line of a process in the control protocol.

pub use crate::logs::frame::Edge;

/// A line, or a part of a line that is very long or was written with a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The id of the instance; `None`: the supervisor itself.
    pub id: Option<u32>,
    /// The name of its application.
    pub name: String,
    /// Whether it was written to stderr.
    pub err: bool,
    /// When it was read, in milliseconds since 1970.
    pub at: i64,
    /// The text without a line end. Bytes that are not UTF-8 are replaced.
    pub text: String,
    /// What precedes this part in its line.
    pub begin: Edge,
    /// What follows this part in its line.
    pub end: Edge,
}

impl LogLine {
    /// Whether this is only the end of a line after a pause.
    pub fn is_bare_end(&self) -> bool {
        self.begin == Edge::Pause && self.end == Edge::Line && matches!(&*self.text, "" | "\r")
    }
}

/// The encoding of several lines. Lines that an instance wrote at the same time are one batch, because the fields of
/// a short line are larger than its text.
pub(super) mod batches {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Edge, LogLine};

    /// Lines that differ only in their text.
    #[derive(Serialize, Deserialize)]
    struct Batch<'a> {
        id: Option<u32>,
        name: std::borrow::Cow<'a, str>,
        err: bool,
        at: i64,
        /// The lines, joined by `\n`.
        text: String,
        begin: Edge,
        end: Edge,
    }

    pub(in crate::control) fn serialize<S: Serializer>(lines: &[LogLine], to: S) -> Result<S::Ok, S::Error> {
        let is_same = |one: &LogLine, other: &LogLine| {
            // A part of a line is a batch of its own.
            let is_whole = |line: &LogLine| (line.begin, line.end) == (Edge::Line, Edge::Line);
            (one.id, one.err, one.at) == (other.id, other.err, other.at)
                && is_whole(one)
                && is_whole(other)
                && one.name == other.name
        };
        to.collect_seq(lines.chunk_by(is_same).map(|lines| {
            let LogLine { id, ref name, err, at, begin, end, .. } = lines[0];
            let mut text = String::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
            for (number, line) in lines.iter().enumerate() {
                if number > 0 {
                    text.push('\n');
                }
                text.push_str(&line.text);
            }
            Batch { id, name: name.into(), err, at, text, begin, end }
        }))
    }

    pub(in crate::control) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<LogLine>, D::Error> {
        let batches = Vec::<Batch<'_>>::deserialize(from)?;
        let lines = batches.iter().flat_map(|batch| {
            let Batch { id, err, at, begin, end, .. } = *batch;
            batch.text.split('\n').map(move |text| LogLine {
                id,
                name: batch.name.clone().into_owned(),
                err,
                at,
                text: text.to_owned(),
                begin,
                end,
            })
        });
        Ok(lines.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            framing::{decode, encode},
            message::Answer,
        },
        *,
    };

    #[test]
    fn batches_preserve_every_line() {
        let line = |id, at, text: &str| LogLine {
            id,
            name: "api".to_owned(),
            err: false,
            at,
            text: text.to_owned(),
            begin: Edge::Line,
            end: Edge::Line,
        };
        let piece = |begin, end| LogLine { begin, end, ..line(Some(0), 1, "piece") };
        let lines = vec![
            line(Some(0), 1, "one"),
            line(Some(0), 1, ""),
            line(Some(0), 1, "three\r"),
            line(Some(0), 2, "later"),
            line(None, 2, ""),
            piece(Edge::Line, Edge::Cut),
            piece(Edge::Cut, Edge::Pause),
            piece(Edge::Pause, Edge::Line),
            line(Some(0), 1, "after"),
        ];
        let answer = Answer::Lines { missed: 3, lines };
        let sent = encode(&answer);
        assert_eq!(decode::<Answer>(&sent[..sent.len() - 1]), Ok(answer));
        assert_eq!(sent.windows(6).filter(|part| part == b"\"name\"").count(), 7, "three went together");
    }
}
