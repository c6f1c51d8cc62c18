//! Makes text safe to print on a terminal, and measures its width.
//!
//! Pure, and the only place that decides which characters may be printed: `list`, `describe`, `monit`, messages
//! on stderr and the prefixes of log lines use it. So the output of a process or the name of an app can neither
//! move the cursor nor reverse text nor hide a part of it. Lines that are passed on unchanged (`logs`, the
//! console) do not use it.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Maximum width of a log line, in columns; longer lines are cut.
const MAX_LOG_COLUMNS: usize = 4096;
/// Maximum number of combining marks on one character; others are left out.
const MAX_MARKS: usize = 2;
const TAB_WIDTH: usize = 8;
/// Replaces a character of a log line that is not printed.
const PLACEHOLDER: char = '·';

/// The width of safe text on a terminal, in columns.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A name, a value or a message, on one line. Invisible characters are escaped (`\u{202e}`, `\n`), so that nothing
/// is lost.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut marks = MAX_MARKS;
    for c in text.chars() {
        let is_mark = columns(c) == 0;
        marks = if is_mark { marks + 1 } else { 0 };
        if is_invisible(c) || is_style(c) || is_mark && marks > MAX_MARKS {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// As [`printable`] for a message of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Safe text, filled with spaces to this number of columns.
pub(crate) fn padded(text: Cow<'_, str>, columns: usize) -> String {
    let mut text = text.into_owned();
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&text))));
    text
}

/// At most this number of columns of safe text, with `…` at the end if it is cut.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return text.into();
    }
    let Some(room) = columns.checked_sub(1) else { return "".into() };
    // Marks belong to the character before them.
    let ends = text.char_indices().map(|(at, _)| at);
    let end = ends.take_while(|at| width(&text[..*at]) <= room).last().unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

/// A line of a log, on one line. Escape sequences are left out, and other invisible characters become `·`.
pub(crate) fn log_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_LOG_COLUMNS));
    let mut rest = text.chars();
    let (mut column, mut marks) = (0, MAX_MARKS);
    while let Some(c) = rest.next() {
        if column >= MAX_LOG_COLUMNS {
            shown.push('…');
            break;
        }
        match c {
            '\x1b' => {
                rest = skip_sequence(rest.as_str()).chars();
            }
            '\t' => {
                let spaces = TAB_WIDTH - column % TAB_WIDTH;
                shown.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\r' if rest.as_str().is_empty() => {}
            ' '..='~' => {
                shown.push(c);
                column += 1;
                marks = 0;
            }
            c if is_style(c) => {}
            c if is_invisible(c) => {
                shown.push(PLACEHOLDER);
                column += 1;
                marks = 0;
            }
            c if columns(c) == 0 => {
                if marks < MAX_MARKS {
                    shown.push(c);
                }
                marks += 1;
            }
            c => {
                shown.push(c);
                column += columns(c);
                marks = 0;
            }
        }
    }
    shown
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Control characters, characters that change the direction of text, and characters without a glyph.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A character that selects another form of the one before it; terminals disagree about its width.
fn is_style(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}')
}

/// The text after an escape sequence (ECMA-48) whose ESC has been read: CSI ends with its final byte, OSC and similar
/// sequences with BEL or ST, the others have one character.
fn skip_sequence(text: &str) -> &str {
    let mut chars = text.chars();
    match chars.next() {
        Some('[') => {
            let end = text.char_indices().skip(1).find(|(_, c)| !matches!(c, ' '..='?'));
            match end {
                Some((at, '@'..='~')) => &text[at + 1..],
                // An invalid sequence: its characters are checked separately.
                Some((at, _)) => &text[at..],
                None => "",
            }
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let text = chars.as_str();
            match text.find(['\x07', '\x1b']) {
                Some(at) if text[at..].starts_with("\x1b\\") => &text[at + 2..],
                Some(at) if text[at..].starts_with('\x1b') => &text[at..],
                Some(at) => &text[at + 1..],
                // An unterminated sequence is shown rather than lost.
                None => text,
            }
        }
        Some(' '..='/') => {
            chars.next();
            chars.as_str()
        }
        Some('0'..='~') => chars.as_str(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_is_kept_and_control_sequences_are_removed() {
        for (text, shown) in [
            ("hello wörld 日本 👍", "hello wörld 日本 👍"),
            ("a\tb", "a       b"),
            ("windows\r", "windows"),
            ("over\rwritten", "over·written"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1bPq#0\x1b\\sixel", "sixel"),
            ("\x1b(Bx\x1bcy", "xy"),
            ("\x1b]0;no end", "0;no end"),
            ("\x1b[2", ""),
            ("\x1b[1\x1b[2Jx", "x"),
            ("\x1b", ""),
            ("\u{9b}2J\x07\x08\x7f\0", "·2J····"),
            ("\u{202e}evil\u{2066}", "·evil·"),
            ("a\u{200b}b\u{feff}", "a·b·"),
            ("e\u{301}\u{302}\u{303}\u{304}x", "e\u{301}\u{302}x"),
            ("\u{301}x", "x"),
        ] {
            assert_eq!(log_line(text), shown, "{text:?}");
        }
        assert_eq!(log_line(&"x".repeat(MAX_LOG_COLUMNS + 10)).chars().count(), MAX_LOG_COLUMNS + 1);
    }

    #[test]
    fn invisible_characters_of_names_are_escaped() {
        for (text, shown) in [
            ("api", "api"),
            ("日本 👍 wörld", "日本 👍 wörld"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("two\nlines\t", "two\\nlines\\t"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("a\u{200b}b", "a\\u{200b}b"),
            ("\u{2764}\u{fe0f}", "\u{2764}\\u{fe0f}"),
            ("e\u{301}\u{302}\u{303}", "e\u{301}\u{302}\\u{303}"),
            ("\u{301}", "\\u{301}"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
        assert_eq!(printable_lines("a\x07\nb"), "a\\u{7}\nb");
    }

    #[test]
    fn cut_text_fills_the_available_width() {
        for (text, columns, shown) in [
            ("application", 11, "application"),
            ("application", 6, "appli…"),
            ("日本語アプリ", 12, "日本語アプリ"),
            ("日本語アプリ", 7, "日本語…"),
            ("日本語アプリ", 6, "日本…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("日", 1, "…"),
            ("ab", 0, ""),
        ] {
            assert_eq!(cut(text, columns), shown, "{text:?}");
            assert!(width(&cut(text, columns)) <= columns);
        }
    }

    proptest! {
        #[test]
        fn cut_text_never_exceeds_the_width(text in "[a日👍e\u{301}\u{200d}]{0,20}", columns in 0..12_usize) {
            let text = printable(&text);
            prop_assert!(width(&cut(&text, columns)) <= columns);
        }

        #[test]
        fn no_control_character_is_left(text in "[\\x00-\\x7f\u{80}-\u{9f}\u{301}\u{200b}-\u{2030}a日\\x1b\\[\\];m]{0,60}") {
            let shown = log_line(&text);
            prop_assert!(!shown.chars().any(|c| is_invisible(c) || is_style(c)), "{shown:?}");
            let marks = "\u{301}".repeat(MAX_MARKS + 1);
            prop_assert!(!shown.contains(&marks));
        }
    }
}
