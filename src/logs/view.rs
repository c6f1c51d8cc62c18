//! The form of the lines of a follower, as on the console, for `procrun logs`.
//!
//! Pure: bytes in, bytes out; the caller writes them.

use std::collections::HashMap;

use super::{
    batch::Line,
    dayjs,
    format::{self, Identity, OWN_NAME},
    frame::Piece,
    own_line::OwnLine,
    put::Put,
    stamp::{StampId, Stamps},
};
use crate::{shown, spec::LogStyle};

/// Formats lines.
#[derive(Debug)]
pub struct View {
    style: LogStyle,
    stamps: Stamps,
    stamp: Option<StampId>,
    key_value_stamp: StampId,
    width: usize,
    /// Maximum width of the label column.
    max_width: usize,
    colours: bool,
    highlight: Option<Vec<u8>>,
    identities: HashMap<u32, Identity>,
}

/// Swaps foreground and background, and back.
const HIGHLIGHT: [&[u8]; 2] = [b"\x1b[7m", b"\x1b[27m"];

impl View {
    /// `date_format` is a day.js pattern for a time before each line. `highlight` is a string to highlight, if
    /// there are colours.
    pub fn new(style: LogStyle, date_format: Option<&str>, colours: bool, highlight: Option<&str>) -> Self {
        let mut stamps = Stamps::new();
        let stamp = date_format.map(|pattern| stamps.find(pattern));
        let key_value_stamp = stamp.unwrap_or_else(|| stamps.find(dayjs::KEY_VALUE));
        let highlight = highlight.filter(|text| colours && !text.is_empty());
        let highlight = highlight.map(|text| text.as_bytes().to_vec());
        Self {
            style,
            stamps,
            stamp,
            key_value_stamp,
            width: 0,
            max_width: usize::MAX,
            colours,
            highlight,
            identities: HashMap::new(),
        }
    }

    /// Widens the label column for an instance.
    pub fn widen(&mut self, id: Option<u32>, name: &str) {
        let label = id.map_or_else(|| OWN_NAME.to_owned(), |id| format::label(id, name));
        self.width = self.width.max(shown::width(&label));
    }

    /// Limits the label column for a terminal of this width: most columns are for the lines.
    pub fn fit(&mut self, columns: usize) {
        self.max_width = columns / 3;
    }

    /// Appends a line in this form.
    pub fn line(&mut self, line: Line<'_>, to: &mut Vec<u8>) {
        let Some(id) = line.id else { return self.own_line(line, to) };
        let piece = Piece { bytes: line.bytes, begin: line.begin, end: line.end };
        if piece.is_bare_end() && self.style != LogStyle::Json {
            return;
        }
        let Self { style, stamps, stamp, .. } = self;
        let identity = self.identities.entry(id).or_insert_with(|| Identity::new(id, line.name));
        if identity.name() != line.name {
            *identity = Identity::new(id, line.name);
        }
        match style {
            LogStyle::Prefix => {
                let label = identity.label();
                self.width = self.width.max(shown::width(&label));
                let colour = self.colours.then(|| format::colour(id));
                to.put(&format::prefix(&label, self.width.min(self.max_width), colour));
                if let Some(id) = *stamp {
                    format::stamp(stamps.text(id, line.at), to);
                }
                highlighted(self.highlight.as_deref(), piece, to);
            }
            LogStyle::Raw => {
                if let Some(id) = *stamp {
                    format::stamp(stamps.text(id, line.at), to);
                }
                highlighted(self.highlight.as_deref(), piece, to);
            }
            LogStyle::Json => {
                let time = stamps.text(stamp.unwrap_or(StampId::ISO), line.at);
                format::record(identity, line.kind, time, piece, false, to);
            }
            LogStyle::KeyValue => {
                let time = stamps.text(self.key_value_stamp, line.at);
                format::key_value(identity, line.kind, time, piece, to);
            }
        }
    }

    /// As [`View::line`] for a line whose time is unknown.
    pub fn line_without_time(&mut self, line: Line<'_>, to: &mut Vec<u8>) {
        let stamp = self.stamp.take();
        self.line(line, to);
        self.stamp = stamp;
    }

    /// One of procrun's own lines, of which only the text is known.
    fn own_line(&mut self, line: Line<'_>, to: &mut Vec<u8>) {
        let message = String::from_utf8_lossy(line.bytes);
        let own = OwnLine { at: line.at, ..OwnLine::from_recent(&message) };
        self.width = self.width.max(OWN_NAME.len());
        match self.style {
            LogStyle::Prefix | LogStyle::Raw => {
                let time = self.stamp.map(|id| self.stamps.text(id, line.at));
                own.text(self.width.min(self.max_width), self.colours, time, to);
            }
            LogStyle::Json => own.record(self.stamps.text(self.stamp.unwrap_or(StampId::ISO), line.at), to),
            LogStyle::KeyValue => own.key_value(self.stamps.text(self.key_value_stamp, line.at), to),
        }
    }
}

fn highlighted(highlight: Option<&[u8]>, piece: Piece<'_>, to: &mut Vec<u8>) {
    let Some(wanted) = highlight else { return format::text(piece, to) };
    let mut bytes = Vec::with_capacity(piece.bytes.len());
    let mut rest = 0;
    for at in memchr::memmem::find_iter(piece.bytes, wanted) {
        bytes.extend_from_slice(&piece.bytes[rest..at]);
        bytes.extend_from_slice(HIGHLIGHT[0]);
        bytes.extend_from_slice(wanted);
        bytes.extend_from_slice(HIGHLIGHT[1]);
        rest = at + wanted.len();
    }
    bytes.extend_from_slice(&piece.bytes[rest..]);
    format::text(Piece { bytes: &bytes, ..piece }, to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{frame::Edge, stream_kind::StreamKind};

    fn line(id: Option<u32>, name: &'static str, bytes: &'static [u8]) -> Line<'static> {
        Line { id, name, kind: StreamKind::Out, at: 0, bytes, begin: Edge::Line, end: Edge::Line }
    }

    fn shown(view: &mut View, line: Line<'_>) -> String {
        let mut to = Vec::new();
        view.line(line, &mut to);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn lines_have_the_form_of_the_console() {
        let mut view = View::new(LogStyle::Prefix, Some("x"), false, Some("x"));
        view.widen(Some(10), "worker");
        assert_eq!(shown(&mut view, line(Some(0), "api", b"text")), "0|api     | 0: text\n");
        assert_eq!(shown(&mut view, line(None, "", b"warn: odd")), "procrun   | 0: warn: odd\n");
        assert_eq!(shown(&mut view, line(Some(1), "日本", b"text")), "1|日本    | 0: text\n");
        view.widen(Some(2), "a\u{202e}b");
        assert_eq!(shown(&mut view, line(Some(2), "a\u{202e}b", b"text")), "2|a\\u{202e}b | 0: text\n");
        view.fit(30);
        assert_eq!(shown(&mut view, line(Some(0), "api", b"text")), "0|api      | 0: text\n");
        let mut view = View::new(LogStyle::Raw, None, true, Some("ERR"));
        assert_eq!(
            shown(&mut view, line(Some(0), "api", b"ERR and ERR")),
            "\x1b[7mERR\x1b[27m and \x1b[7mERR\x1b[27m\n"
        );
        let mut view = View::new(LogStyle::Json, None, false, None);
        let record: serde_json::Value =
            serde_json::from_str(&shown(&mut view, line(Some(3), "api", b"a\"b"))).unwrap();
        assert_eq!((&record["message"], &record["process_id"]), (&"a\"b".into(), &3.into()));
        let record: serde_json::Value =
            serde_json::from_str(&shown(&mut view, line(None, "", b"error: odd"))).unwrap();
        assert_eq!((&record["message"], &record["level"]), (&"odd".into(), &"error".into()));
    }
}
