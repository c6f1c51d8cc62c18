//! The form of a line: prefix, raw, JSON record, key=value; on the console and in files.
//!
//! Pure: bytes in, bytes out. It reads neither the clock nor a file.

use super::{
    frame::{Edge, Piece},
    json::{self, Key, Object},
    put::Put,
    stream_kind::StreamKind,
};
use crate::shown;

/// The label of procrun's own lines.
pub(super) const OWN_NAME: &str = "procrun";

/// Maximum width of the label column, however long the name of an application is.
const MAX_COLUMNS: usize = 1024;

/// `id|name`, the label before each line of an instance. A name may be any string, so control characters are
/// escaped.
pub(super) fn label(id: u32, name: &str) -> String {
    format!("{id}|{}", shown::printable(name))
}

/// The column before a line: the label padded to this width, and `|`
/// between spaces.
pub(super) fn prefix(label: &str, columns: usize, colour: Option<u8>) -> Box<[u8]> {
    // Not by the formatter: it counts characters, of which some take two columns or none, and panics for a width
    // of more than 65,535.
    let padding = " ".repeat(columns.min(MAX_COLUMNS).saturating_sub(shown::width(label)));
    // The reset comes first: an earlier line may have left a colour behind.
    let text = match colour {
        Some(colour) => format!("\x1b[0;38;5;{colour}m{label}{padding} |\x1b[0m "),
        None => format!("{label}{padding} | "),
    };
    text.into_bytes().into()
}

/// One of the 256 terminal colours for each id, always the same one; all are readable on dark and on light.
pub(super) fn colour(id: u32) -> u8 {
    const PALETTE: [u8; 10] = [32, 34, 133, 166, 37, 136, 168, 69, 71, 173];
    PALETTE[id as usize % PALETTE.len()]
}

/// The parts of PM2's records that are constant for an instance.
#[derive(Debug)]
pub(super) struct Identity {
    id: u32,
    digits: Box<str>,
    name: Box<str>,
}

impl Identity {
    pub(super) fn new(id: u32, name: &str) -> Self {
        Self { id, digits: id.to_string().into(), name: name.into() }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn label(&self) -> String {
        label(self.id, &self.name)
    }
}

/// The text forms: each piece is a line. ` [...]` ends a piece that was cut, `[...] ` begins the continuation of a
/// line. A pause has no mark, because it is unknown whether anything follows: it may be a prompt.
#[inline]
pub(super) fn text(piece: Piece<'_>, to: &mut impl Put) {
    if piece.begin != Edge::Line {
        to.put(b"[...] ");
    }
    to.put(piece.bytes);
    to.put(match piece.end {
        Edge::Line | Edge::Pause => b"\n",
        Edge::Cut => b" [...]\n",
    });
}

/// In a file: as [`text`], but a line continues after a pause as if there had been none.
pub(super) fn file_text(piece: Piece<'_>, to: &mut impl Put) {
    if piece.begin == Edge::Cut {
        to.put(b"[...] ");
    }
    to.put(piece.bytes);
    match piece.end {
        Edge::Line => to.put(b"\n"),
        Edge::Cut => to.put(b" [...]\n"),
        Edge::Pause => {}
    }
}

/// `<stamp>: `, as PM2 puts a time before a line.
#[inline]
pub(super) fn stamp(stamp: &[u8], to: &mut impl Put) {
    to.put(stamp);
    to.put(b": ");
}

/// `timestamp=… app=main id=0 type=out message=…`, as PM2's `--format` prints it.
pub(super) fn key_value(
    identity: &Identity,
    kind: StreamKind,
    stamp: &[u8],
    piece: Piece<'_>,
    to: &mut impl Put,
) {
    to.put(b"timestamp=");
    logfmt(stamp, to);
    to.put(b" app=");
    logfmt(identity.name.as_bytes(), to);
    to.put(b" id=");
    to.put(identity.digits.as_bytes());
    to.put(b" type=");
    to.put(kind.key_value_type());
    to.put(b" message=");
    text(piece, to);
}

/// The value of a field, in quotes only where it could not be parsed without.
pub(super) fn logfmt(value: &[u8], to: &mut impl Put) {
    let plain = !value.is_empty() && value.iter().all(|byte| !matches!(byte, 0..=b' ' | b'"' | b'=' | 0x7F));
    if plain {
        to.put(value);
    } else {
        to.put(b"\"");
        json::escape(value, to);
        to.put(b"\"");
    }
}

/// PM2's JSON record. With `merge`, a line that is a JSON object keeps its own keys and text, and gets those of
/// `timestamp`, `type`, `process_id` and `app_name` that it lacks; a `message` is not added, because the object is
/// the message. Each piece of a line except the last has `"partial":true`.
pub(super) fn record(
    identity: &Identity,
    kind: StreamKind,
    stamp: &[u8],
    piece: Piece<'_>,
    merge: bool,
    to: &mut impl Put,
) {
    // A CR before the LF belongs to the end of the line, not to its text.
    let ends = piece.end == Edge::Line;
    let line = if ends { piece.bytes.strip_suffix(b"\r").unwrap_or(piece.bytes) } else { piece.bytes };
    if let Some(object) = (merge && piece.is_whole()).then(|| Object::read(line)).flatten() {
        return merged(identity, kind, stamp, line, object, to);
    }
    to.put(b"{\"message\":\"");
    json::escape(line, to);
    to.put(b"\",\"timestamp\":\"");
    json::escape(stamp, to);
    to.put(b"\",\"type\":\"");
    to.put(kind.json_type());
    to.put(b"\",\"process_id\":");
    to.put(identity.digits.as_bytes());
    to.put(b",\"app_name\":\"");
    json::escape(identity.name.as_bytes(), to);
    to.put(if ends { b"\"}\n" } else { b"\",\"partial\":true}\n" });
}

fn merged(
    identity: &Identity,
    kind: StreamKind,
    stamp: &[u8],
    line: &[u8],
    object: Object,
    to: &mut impl Put,
) {
    let line = line.trim_ascii();
    to.put(line.strip_suffix(b"}").unwrap_or(line));
    let mut comma = !object.is_empty();
    let fields: [(Key, &[u8], &[u8], bool); 4] = [
        (Key::Timestamp, b"timestamp", stamp, true),
        (Key::Type, b"type", kind.json_type(), true),
        (Key::ProcessId, b"process_id", identity.digits.as_bytes(), false),
        (Key::AppName, b"app_name", identity.name.as_bytes(), true),
    ];
    for (key, name, value, quoted) in fields {
        if object.has(key) {
            continue;
        }
        let quote: &[u8] = if quoted { b"\"" } else { b"" };
        to.put(if comma { b",\"" } else { b"\"" });
        to.put(name);
        to.put(b"\":");
        to.put(quote);
        json::escape(value, to);
        to.put(quote);
        comma = true;
    }
    to.put(b"}\n");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Edge, Identity, Piece, StreamKind, file_text, key_value, prefix, record, text};

    fn whole(bytes: &[u8]) -> Piece<'_> {
        Piece::whole(bytes)
    }

    fn string(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut to = Vec::new();
        write(&mut to);
        String::from_utf8(to).unwrap()
    }

    const STAMP: &[u8] = b"2026-01-01T00:00:00.000Z";

    #[test]
    fn a_record_is_pm2s() {
        let identity = Identity::new(3, "ma\"in");
        let line = string(|to| {
            record(&identity, StreamKind::Err, STAMP, whole(b"h\xe9 \"x\"\r"), false, to);
        });
        assert_eq!(
            line,
            "{\"message\":\"h\\\\xe9 \\\"x\\\"\",\"timestamp\":\"2026-01-01T00:00:00.000Z\",\
             \"type\":\"err\",\"process_id\":3,\"app_name\":\"ma\\\"in\"}\n"
        );
        serde_json::from_str::<Value>(&line).unwrap();
    }

    #[test]
    fn a_json_line_is_merged_and_overwrites_nothing() {
        let identity = Identity::new(0, "main");
        let merge = |line: &str| -> Value {
            let text =
                string(|to| record(&identity, StreamKind::Out, STAMP, whole(line.as_bytes()), true, to));
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        let stamp = "2026-01-01T00:00:00.000Z";
        assert_eq!(
            merge(r#" {"level":30,"type":"own","n":1.0} "#),
            json!({"level":30,"type":"own","n":1.0,"timestamp":stamp,"process_id":0,"app_name":"main"})
        );
        assert_eq!(merge("{ }\r"), json!({"timestamp":stamp,"type":"out","process_id":0,"app_name":"main"}));
        assert_eq!(
            merge(r#"{"timestamp":1,"type":2,"process_id":3,"app_name":4}"#),
            json!({"timestamp":1,"type":2,"process_id":3,"app_name":4})
        );
        assert_eq!(merge("[1]")["message"], json!("[1]"));
    }

    #[test]
    fn pieces_are_marked() {
        use Edge::{Cut, Line, Pause};
        let piece = |begin, end| Piece { bytes: b"abc", begin, end };
        for (begin, end, on_console, in_file) in [
            (Line, Cut, "abc [...]\n", "abc [...]\n"),
            (Cut, Cut, "[...] abc [...]\n", "[...] abc [...]\n"),
            (Cut, Line, "[...] abc\n", "[...] abc\n"),
            (Line, Pause, "abc\n", "abc"),
            (Pause, Pause, "[...] abc\n", "abc"),
            (Pause, Line, "[...] abc\n", "abc\n"),
        ] {
            assert_eq!(string(|to| text(piece(begin, end), to)), on_console);
            assert_eq!(string(|to| file_text(piece(begin, end), to)), in_file);
            let identity = Identity::new(0, "main");
            let line = string(|to| record(&identity, StreamKind::Out, STAMP, piece(begin, end), true, to));
            let partial = serde_json::from_str::<Value>(&line).unwrap().get("partial").cloned();
            assert_eq!(partial, (end != Line).then_some(json!(true)), "each but the last one");
        }
    }

    #[test]
    fn key_value_is_pm2s() {
        let line = string(|to| {
            key_value(
                &Identity::new(0, "main"),
                StreamKind::Err,
                b"2026-01-01-00:00:00+0000",
                whole(b"a b"),
                to,
            );
        });
        assert_eq!(line, "timestamp=2026-01-01-00:00:00+0000 app=main id=0 type=error message=a b\n");
    }

    #[test]
    fn a_prefix_is_padded_by_characters() {
        assert_eq!(&*prefix("0|müsli", 8, None), "0|müsli  | ".as_bytes());
        assert_eq!(&*prefix("0|a", 3, Some(32)), b"\x1b[0;38;5;32m0|a |\x1b[0m ");
    }
}
