//! JSON as Node's `util.inspect(value, false, null, false)` prints it: the form of PM2's `prettylist`.
//!
//! After `lib/internal/util/inspect.js` with its defaults: 80 columns, three levels on a line where they
//! fit, 100 entries of an array, 10,000 characters of a text.

use std::fmt::Write as _;

use serde_json::{Map, Value};

const BREAK_LENGTH: usize = 80;
/// An object with at most this many levels is printed on one line.
const COMPACT: usize = 3;
/// Longer arrays are put into columns.
const GROUPED: usize = 6;
const MAX_ARRAY: usize = 100;
const MAX_STRING: usize = 10_000;
/// Text up to this length is never split.
const MIN_LINE_WIDTH: usize = 16;
/// Between two entries: a comma and a space.
const SEPARATOR: usize = 2;

/// The text of a value.
pub(super) fn inspect(value: &Value) -> String {
    Inspector { indentation: 0, depth: 0 }.value(value, 0)
}

struct Inspector {
    indentation: usize,
    /// The level of the object that was begun last.
    depth: usize,
}

impl Inspector {
    fn value(&mut self, value: &Value, level: usize) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number_text(number),
            Value::String(text) => self.text(text),
            Value::Array(entries) => self.array(entries, level),
            Value::Object(entries) => self.object(entries, level),
        }
    }

    fn array(&mut self, entries: &[Value], level: usize) -> String {
        if entries.is_empty() {
            return "[]".to_owned();
        }
        self.depth = level;
        let mut output: Vec<String> =
            entries.iter().take(MAX_ARRAY).map(|entry| self.nested(entry, level)).collect();
        let more = entries.len().saturating_sub(MAX_ARRAY);
        if more > 0 {
            output.push(format!("... {more} more item{}", if more == 1 { "" } else { "s" }));
        }
        let before = output.len();
        if before > GROUPED {
            output = self.grouped(output, entries);
        }
        let is_grouped = output.len() != before;
        self.joined(&output, ["[", "]"], level, is_grouped)
    }

    fn object(&mut self, entries: &Map<String, Value>, level: usize) -> String {
        if entries.is_empty() {
            return "{}".to_owned();
        }
        self.depth = level;
        let entry =
            |(name, value): (&String, &Value)| format!("{}: {}", key(name), self.nested(value, level));
        let output: Vec<String> = entries.iter().map(entry).collect();
        self.joined(&output, ["{", "}"], level, false)
    }

    fn nested(&mut self, value: &Value, level: usize) -> String {
        self.indentation += 2;
        let text = self.value(value, level + 1);
        self.indentation -= 2;
        text
    }

    /// A long text is taken apart at its ends of lines.
    fn text(&self, text: &str) -> String {
        let units = width(text);
        let (text, more) = if units > MAX_STRING { cut(text, MAX_STRING) } else { (text, 0) };
        let shown = width(text);
        let quoted_text = if shown > MIN_LINE_WIDTH && shown + self.indentation + 4 > BREAK_LENGTH {
            let lines: Vec<String> = text.split_inclusive('\n').map(quoted).collect();
            lines.join(&format!(" +\n{}", " ".repeat(self.indentation + 2)))
        } else {
            quoted(text)
        };
        match more {
            0 => quoted_text,
            1 => quoted_text + "... 1 more character",
            more => format!("{quoted_text}... {more} more characters"),
        }
    }

    fn joined(&self, output: &[String], [open, close]: [&str; 2], level: usize, is_grouped: bool) -> String {
        if self.depth - level < COMPACT && !is_grouped {
            let start = output.len() + self.indentation + open.len() + 10;
            let length = output.len() + start + output.iter().map(|entry| width(entry)).sum::<usize>();
            let is_short = length <= BREAK_LENGTH && start + 2 * output.len() <= BREAK_LENGTH;
            if is_short && !output.iter().any(|entry| entry.contains('\n')) {
                return format!("{open} {} {close}", output.join(", "));
            }
        }
        let line = format!("\n{}", " ".repeat(self.indentation));
        format!("{open}{line}  {}{line}{close}", output.join(&format!(",{line}  ")))
    }

    /// The entries of a long array in columns, a row each.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers of characters, and as Node computes"
    )]
    fn grouped(&self, output: Vec<String>, entries: &[Value]) -> Vec<String> {
        let count = output.len() - usize::from(output.len() > MAX_ARRAY);
        let widths: Vec<usize> = output[..count].iter().map(|entry| width(entry)).collect();
        let total: usize = widths.iter().map(|width| width + SEPARATOR).sum();
        let longest = widths.iter().copied().max().unwrap_or(0);
        let widest = longest + SEPARATOR;
        let is_even = total as f64 / widest as f64 > 5.0 || longest <= 6;
        if widest * 3 + self.indentation >= BREAK_LENGTH || !is_even {
            return output;
        }
        let bias = (widest as f64 - total as f64 / output.len() as f64).sqrt();
        let biased = (widest as f64 - 3.0 - bias).max(1.0);
        let square = ((2.5 * biased * count as f64).sqrt() / biased).round() as usize;
        let columns = square.min((BREAK_LENGTH - self.indentation) / widest).min(COMPACT * 4).min(15);
        if columns <= 1 {
            return output;
        }
        let column =
            |at: usize| widths.iter().skip(at).step_by(columns).max().map_or(0, |width| width + SEPARATOR);
        let columns_width: Vec<usize> = (0..columns).map(column).collect();
        let are_numbers =
            output.len() <= entries.len() && entries[..output.len()].iter().all(Value::is_number);
        let mut rows = Vec::new();
        for (entries, widths) in output[..count].chunks(columns).zip(widths.chunks(columns)) {
            let mut row = String::new();
            for (at, (entry, width)) in entries.iter().zip(widths).enumerate() {
                let is_last = at + 1 == entries.len();
                let separator = if is_last { "" } else { ", " };
                let padding = " ".repeat(columns_width[at].saturating_sub(width + SEPARATOR));
                let parts = match (are_numbers, is_last) {
                    (true, _) => [&*padding, entry, separator],
                    (false, true) => [entry, "", ""],
                    (false, false) => [entry, separator, &padding],
                };
                row.extend(parts);
            }
            rows.push(row);
        }
        rows.extend(output.into_iter().skip(count));
        rows
    }
}

/// The length of a text as JavaScript counts it.
fn width(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The beginning of a text, and how many more characters it has.
fn cut(text: &str, most: usize) -> (&str, usize) {
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > most
    });
    let end = end.map_or(text.len(), |(at, _)| at);
    (&text[..end], width(&text[end..]))
}

/// As JavaScript prints it: a whole number has no fraction.
fn number_text(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

fn key(name: &str) -> String {
    let mut chars = name.chars();
    let is_plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// In the first kind of quotes that the text does not hold.
fn quoted(text: &str) -> String {
    let quote = match text {
        _ if !text.contains('\'') => '\'',
        _ if !text.contains('"') => '"',
        _ if !text.contains('`') && !text.contains("${") => '`',
        _ => '\'',
    };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '\\' => quoted.push_str("\\\\"),
            '\'' if quote == '\'' => quoted.push_str("\\'"),
            '\0'..=' ' | '\u{7f}'..='\u{9f}' if c != ' ' => {
                write!(quoted, "\\x{:02X}", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::inspect;

    /// What Node 20 prints.
    const EXPECTED: &str = r#"[
  {
    args: [],
    deep: {
      a: {
        b: { c: { d: [ true ] } }
      }
    },
    env: {
      A: `"'`,
      B: 'line one\n' +
        'line two that is so long that it does not fit beside the other one',
      C: null
    },
    'exec-mode': 'a',
    monit: { cpu: 0.5, memory: 1048576 },
    name: "it's",
    pid: 12,
    ports: [
      1, 2,   3, 4,
      5, 6, 700
    ]
  },
  {}
]"#;

    #[test]
    fn it_is_what_node_prints() {
        let long = "line one\nline two that is so long that it does not fit beside the other one";
        let value = json!([
            {
                "args": [],
                "deep": { "a": { "b": { "c": { "d": [true] } } } },
                "env": { "A": "\"'", "B": long, "C": null },
                "exec-mode": "a",
                "monit": { "cpu": 0.5, "memory": 1_048_576 },
                "name": "it's",
                "pid": 12,
                "ports": [1, 2, 3, 4, 5, 6, 700],
            },
            {},
        ]);
        assert_eq!(inspect(&value), EXPECTED);
        assert_eq!(inspect(&json!([])), "[]");
        assert_eq!(inspect(&json!("\u{1b}[0m\u{e9}")), "'\\x1B[0m\u{e9}'");
        let many = inspect(&json!(vec!["x"; 101]));
        assert!(many.ends_with("\n  ... 1 more item\n]"), "{many}");
    }
}
