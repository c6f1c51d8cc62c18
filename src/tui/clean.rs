//! Any text → text that steers no terminal.
//!
//! Pure. Colours and other sequences that begin with ESC go; every other character that is not a
//! visible one is shown as `·`. What a process writes can so neither move the cursor nor turn text
//! around, nor hide a line.

use ratatui::text::Span;

/// Longer lines are cut here, in characters.
const LONGEST: usize = 4096;
/// More marks on one character are left out.
const MARKS: usize = 2;
const TAB: usize = 8;
/// What stands for a character that is not shown.
const HIDDEN: char = '·';

/// The text as it may be shown, on one line.
pub(super) fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LONGEST));
    let mut rest = text.chars();
    let (mut column, mut marks) = (0, MARKS);
    while let Some(c) = rest.next() {
        if column >= LONGEST {
            shown.push('…');
            break;
        }
        match c {
            '\x1b' => {
                rest = behind_sequence(rest.as_str()).chars();
            }
            '\t' => {
                let spaces = TAB - column % TAB;
                shown.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\r' if rest.as_str().is_empty() => {}
            ' '..='~' => {
                shown.push(c);
                column += 1;
                marks = 0;
            }
            c if c.is_control() || is_invisible(c) => {
                shown.push(HIDDEN);
                column += 1;
                marks = 0;
            }
            c if width(c) == 0 => {
                if marks < MARKS {
                    shown.push(c);
                }
                marks += 1;
            }
            c => {
                shown.push(c);
                column += width(c);
                marks = 0;
            }
        }
    }
    shown
}

fn width(c: char) -> usize {
    Span::raw(&*c.encode_utf8(&mut [0; 4])).width()
}

/// Characters that steer the text around them, or look like nothing.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}' | '\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// What comes behind a sequence whose ESC has been read (ECMA-48): CSI up to its last byte, OSC and
/// the like up to BEL or ST, others of one character.
fn behind_sequence(text: &str) -> &str {
    let mut chars = text.chars();
    match chars.next() {
        Some('[') => {
            let end = text.char_indices().skip(1).find(|(_, c)| !matches!(c, ' '..='?'));
            match end {
                Some((at, '@'..='~')) => &text[at + 1..],
                // Not a sequence after all: what breaks it is looked at by itself.
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
                // It has no end: better shown than lost.
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

    use super::{LONGEST, MARKS, clean, is_invisible};

    #[test]
    fn plain_text_stays_and_what_steers_goes() {
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
            assert_eq!(clean(text), shown, "{text:?}");
        }
        assert_eq!(clean(&"x".repeat(LONGEST + 10)).chars().count(), LONGEST + 1);
    }

    proptest! {
        #[test]
        fn nothing_that_steers_comes_out(text in "[\\x00-\\x7f\u{80}-\u{9f}\u{301}\u{200b}-\u{2030}a日\\x1b\\[\\];m]{0,60}") {
            let shown = clean(&text);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)), "{shown:?}");
            let marks = "\u{301}".repeat(MARKS + 1);
            prop_assert!(!shown.contains(&marks));
        }
    }
}
