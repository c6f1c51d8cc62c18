//! An application in a TOML file: its keys and tables, and how they are written.

use std::fmt::Write as _;

use super::super::{
    draft::Draft,
    keys::{APP_KEYS, find},
    tree::Entry,
    write,
};

/// A sub-table such as `[apps.env]`: its key and its lines.
pub(super) type Section = (String, Vec<String>);

/// An application that is being converted.
#[derive(Default)]
pub(super) struct App {
    pub(super) draft: Draft,
    /// Keys and values in TOML.
    pub(super) lines: Vec<(String, String)>,
    pub(super) sections: Vec<Section>,
    /// Variables that look like secrets and have their value in the file.
    pub(super) secrets: Vec<String>,
}

impl App {
    /// Sets a key in its place, or appends it.
    pub(super) fn set(&mut self, key: &'static str, value: &str) {
        let is_it = |(existing, _): &&mut (String, String)| {
            find(APP_KEYS, existing).is_some_and(|existing| existing.name == key)
        };
        match self.lines.iter_mut().find(is_it) {
            Some((_, existing)) => value.clone_into(existing),
            None => self.lines.push((key.to_owned(), value.to_owned())),
        }
    }
}

pub(super) fn push_lines(text: &mut String, lines: &[(String, String)]) {
    for (key, value) in lines {
        writeln!(text, "{} = {value}", write::key(key)).expect("writing to a String cannot fail");
    }
}

/// Writes the lines of an app, then its tables below `table`.
pub(super) fn push_app(text: &mut String, app: App, table: &str) {
    push_lines(text, &app.lines);
    for (key, lines) in app.sections {
        writeln!(text, "\n[{table}.{}]", write::key(&key)).expect("writing to a String cannot fail");
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
}

pub(super) fn variable_line(name: &str, value: &str) -> String {
    format!("{} = {value}", write::key(name))
}

pub(super) fn table_lines(entries: &[Entry]) -> Vec<String> {
    let lines = entries.iter().filter_map(|entry| {
        Some(format!("{} = {}", write::key(&entry.key), write::value(&entry.node.value)?))
    });
    lines.collect()
}
