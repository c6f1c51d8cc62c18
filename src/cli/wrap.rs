//! Folds text to the width of a terminal.
//!
//! Pure. Lines end only at spaces, so that a path can be copied as a whole.

use crate::shown::width;

/// A narrower terminal folds lines itself.
const NARROWEST: usize = 40;

/// Text whose first line begins at this column and whose other lines are indented to it. Without a terminal
/// (`None`) nothing is folded.
pub(super) fn folded(text: &str, terminal: Option<usize>, before: usize) -> String {
    let room = match terminal {
        Some(columns) if columns >= NARROWEST => columns.saturating_sub(before),
        _ => return text.to_owned(),
    };
    let (mut folded, mut column) = (String::new(), 0);
    for (number, word) in text.split(' ').enumerate() {
        let wide = width(word);
        if column > 0 && column + 1 + wide > room {
            folded.push('\n');
            folded.extend(std::iter::repeat_n(' ', before));
            column = 0;
        } else if number > 0 {
            folded.push(' ');
            column += 1;
        }
        folded.push_str(word);
        column += wide;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn values_are_folded_at_spaces_where_the_terminal_ends() {
        let value = "--port 3000 --name アプリ /a/path/that/is/longer/than/there/is/room --end";
        let indent = " ".repeat(22);
        let expected = format!(
            "--port 3000 --name\n{indent}アプリ\n{indent}/a/path/that/is/longer/than/there/is/room\n{indent}--end"
        );
        assert_eq!(folded(value, Some(40), 22), expected);
        for width in [None, Some(39), Some(200)] {
            assert_eq!(folded(value, width, 22), value);
        }
        assert_eq!(folded("", Some(80), 22), "");
    }
}
