//! The tree into which every format is parsed: values with their positions.
//!
//! It does not know the keys, and never reads a file.

use std::{cell::Cell, collections::HashMap, fmt, path::Path, sync::Arc};

use crate::shown::printable;

/// The maximum nesting of lists and tables. No real file needs more, and recursion over the tree stays bounded.
pub(super) const MAX_DEPTH: usize = 64;

/// A position in a text. Line and column count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLocation {
    /// The name of the file on the command line or in the including file.
    pub file: Arc<str>,
    /// The position. Evaluated formats (JavaScript) have none.
    pub position: Option<Position>,
}

impl SourceLocation {
    pub(super) fn of(path: &Path, position: Option<Position>) -> Self {
        Self { file: path.to_string_lossy().into(), position }
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file))?;
        match self.position {
            Some(Position { line, column }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// An error in a text: its position, the message and the hint.
pub(super) type Flaw = (Option<Position>, String, Option<String>);

/// An environment variable in a string, which the file writes as `${PORT}` or `${PORT:-3000}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpandedVariable {
    /// Its name.
    pub name: String,
    /// Whether the variable is unset or empty, so that the string has the default of the file.
    pub is_default: bool,
}

/// `$PORT`, `the default of $PORT`.
impl fmt::Display for ExpandedVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}${}", if self.is_default { "the default of " } else { "" }, self.name)
    }
}

/// A value and its position.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Option<Position>,
    /// The environment variables that were expanded in this string.
    pub(super) expanded: Vec<ExpandedVariable>,
    /// A number in octal (`0o27`), which only TOML has.
    pub(super) octal: bool,
}

/// A value of any format.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    /// The error of the value is reported already.
    Broken,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// A date or time of TOML, as it is written.
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table. The keys of a table are unique.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Option<Position>,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn new(value: Value, at: Option<Position>) -> Self {
        Self { value, at, expanded: Vec::new(), octal: false }
    }

    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// Removes all positions, for trees of generated text.
    pub(super) fn without_positions(mut self) -> Self {
        self.at = None;
        match &mut self.value {
            Value::List(items) => {
                *items = std::mem::take(items).into_iter().map(Self::without_positions).collect();
            }
            Value::Table(entries) => {
                for entry in entries {
                    entry.at = None;
                    let node = std::mem::replace(&mut entry.node, Self::new(Value::Null, None));
                    entry.node = node.without_positions();
                }
            }
            _ => {}
        }
        self
    }
}

impl Value {
    /// The value for an error message: ``the string `abc` ``, `the number 3`, `a list`.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null | Self::Broken => "null".to_owned(),
            Self::Bool(value) => format!("{value}"),
            Self::Integer(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Text(text) if text.is_empty() => "an empty string".to_owned(),
            Self::Text(text) => format!("the string `{}`", shorten(text)),
            Self::Date(date) => format!("the date `{date}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// The beginning of a string for one line of an error message, with control characters escaped.
pub(super) fn shorten(text: &str) -> String {
    const MAX_LENGTH: usize = 60;
    let short: String = text.chars().take(MAX_LENGTH).collect();
    let mut short = printable(&short).into_owned();
    if text.chars().nth(MAX_LENGTH).is_some() {
        short.push('…');
    }
    short
}

/// Collects the entries of a table. The caller decides whether a repeated key is an error.
#[derive(Default)]
pub(super) struct TableBuilder {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl TableBuilder {
    /// Inserts an entry. Returns the earlier entry with the same key.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        if let Some(&at) = self.index.get(&entry.key) {
            return Some(std::mem::replace(&mut self.entries[at], entry));
        }
        self.index.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
        None
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    pub(super) fn finish(self) -> Value {
        Value::Table(self.entries)
    }
}

/// Finds the line and column of byte offsets.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// The offset of the start of each line.
    starts: Vec<usize>,
    /// The last offset, with its line and column from 0. Values are looked up in order, and a line may have
    /// megabytes: counting from its start each time would be quadratic.
    last: Cell<(usize, usize, usize)>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        Self { text, starts: starts.collect(), last: Cell::default() }
    }

    /// The position of a byte offset. An offset after the end is the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let (from, before) = match self.last.get() {
            (last, last_line, column) if last_line == line - 1 && last <= offset => (last, column),
            _ => (self.starts[line - 1], 0),
        };
        let column = before + self.text[from..offset].chars().count();
        self.last.set((offset, line - 1, column));
        let column = column + 1;
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_in_one_long_line_are_found_in_their_order() {
        let text = "ü".repeat(2_000_000);
        let lines = Lines::new(&text);
        // Counting from the start of the line each time would take hours.
        for number in (0..2_000_000).step_by(2) {
            assert_eq!(lines.position(2 * number).column as usize, number + 1);
        }
        assert_eq!(lines.position(0).column, 1, "and backwards");
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let lines = Lines::new("ab\nüx\n");
        let at = |offset| {
            let Position { line, column } = lines.position(offset);
            (line, column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(2), (1, 3));
        assert_eq!(at(3), (2, 1));
        assert_eq!(at(4), (2, 1), "the middle of a character is the character");
        assert_eq!(at(5), (2, 2));
        assert_eq!(at(99), (3, 1));
    }

    #[test]
    fn the_last_value_of_a_key_applies() {
        let entry = |value| Entry { key: "a".into(), at: None, node: Node::new(value, None) };
        let mut table = TableBuilder::default();
        assert_eq!(table.insert(entry(Value::Integer(1))), None);
        assert_eq!(table.insert(entry(Value::Integer(2))), Some(entry(Value::Integer(1))));
        let Value::Table(entries) = table.finish() else { panic!("a table") };
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].node.value, Value::Integer(2));
    }
}
