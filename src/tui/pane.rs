//! The log of the selected process.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::{
    logs::position,
    paint::{Paint, put},
    state::{Focus, State},
};
use crate::shown::{log_line, printable};

pub(super) fn draw(state: &State, title: Rect, log: Rect, buffer: &mut Buffer, paint: Paint) {
    if let Some(row) = title.rows().next() {
        self::title(state, row, buffer, paint);
    }
    for (mut row, line) in log.rows().zip(state.logs.page(usize::from(log.height))) {
        let text = skip(&line.text, state.logs.left);
        let style = if line.err { paint.bad() } else { Style::new() };
        put_highlighted(&mut row, buffer, text, &state.logs.search, style);
    }
}

fn title(state: &State, row: Rect, buffer: &mut Buffer, paint: Paint) {
    let style = match state.focus {
        Focus::Log => Style::new().add_modifier(Modifier::REVERSED),
        Focus::Processes => Style::new().add_modifier(Modifier::UNDERLINED),
    };
    buffer.set_style(row, style);
    let mut left = row;
    let logs = &state.logs;
    match state.process() {
        Some(process) => {
            put(&mut left, buffer, &format!(" log of {}|{}", process.id, printable(&process.name)), style);
        }
        None => put(&mut left, buffer, " log", style),
    }
    if !logs.follows() {
        put(&mut left, buffer, "  scrolled (End: newest)", style);
    }
    for (label, text) in [("filter", &logs.filter), ("search", &logs.search)] {
        if !text.is_empty() {
            put(&mut left, buffer, &format!("  {label}: {}", log_line(text)), style);
        }
    }
    if logs.missed > 0 {
        let noun = if logs.missed == 1 { "line" } else { "lines" };
        put(&mut left, buffer, &format!("  {} {noun} dropped", logs.missed), style.patch(paint.warning()));
    }
}

/// The text without this number of characters at the left.
fn skip(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or("", |(at, _)| &text[at..])
}

/// Writes the text, with the search matches in reverse video.
fn put_highlighted(row: &mut Rect, buffer: &mut Buffer, text: &str, search: &str, style: Style) {
    let mut rest = text;
    while !search.is_empty()
        && let Some(at) = position(rest, search)
    {
        let (matched, end) = (&rest[at..at + search.len()], at + search.len());
        put(row, buffer, &rest[..at], style);
        put(row, buffer, matched, style.add_modifier(Modifier::REVERSED));
        rest = &rest[end..];
    }
    put(row, buffer, rest, style);
}
