//! A table as wide as the terminal: less important columns are left out first, then names are cut.
//!
//! Pure: the width and the use of colours are arguments.

use crate::shown::{cut, printable, width};

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) align: Align,
    /// The order in which columns are left out on a narrow terminal; 0: never.
    pub(super) drop_order: u8,
    /// The width to which its text can be cut; 0: it is not cut.
    pub(super) min_width: usize,
    /// Other columns are left out before its text is cut to less than this.
    pub(super) preferred_width: usize,
}

/// The alignment of the text in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A cell: text without control characters, and its colour (SGR).
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    text: String,
    colour: &'static str,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self::coloured(text, "")
    }

    /// `colour` as in `ESC [ … m`.
    pub(super) fn coloured(text: impl AsRef<str>, colour: &'static str) -> Self {
        Self { text: printable(text.as_ref()).into_owned(), colour }
    }

    fn width(&self) -> usize {
        width(&self.text)
    }
}

/// The width and colours of the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutputStyle {
    /// Columns of the terminal; `None`: no limit.
    pub(super) width: Option<usize>,
    pub(super) colours: bool,
}

const HEADING: &str = "1;36";
/// `│ `, ` ` around each cell, and the last `│`.
const AROUND_CELL: usize = 3;

/// The table as text.
pub(super) fn table(columns: &[Column], rows: &[Vec<Cell>], style: OutputStyle) -> String {
    let natural = |at: usize| {
        let cells = rows.iter().map(|row| row[at].width()).max().unwrap_or(0);
        cells.max(width(columns[at].heading))
    };
    let mut widths: Vec<Option<usize>> = (0..columns.len()).map(|at| Some(natural(at))).collect();
    if let Some(limit) = style.width {
        fit(columns, &mut widths, limit);
    }
    let mut text = String::new();
    rule(&mut text, &widths, ['┌', '┬', '┐']);
    let headings = columns.iter().map(|column| Cell::coloured(column.heading, HEADING)).collect::<Vec<_>>();
    line(&mut text, columns, &widths, &headings, style.colours);
    rule(&mut text, &widths, ['├', '┼', '┤']);
    for row in rows {
        line(&mut text, columns, &widths, row, style.colours);
    }
    rule(&mut text, &widths, ['└', '┴', '┘']);
    text
}

/// Leaves columns out and cuts others until the table fits.
fn fit(columns: &[Column], widths: &mut [Option<usize>], limit: usize) {
    let total = |widths: &[Option<usize>]| {
        widths.iter().flatten().map(|width| width + AROUND_CELL).sum::<usize>() + 1
    };
    let min_width = |at: usize, natural: usize| match columns[at].min_width {
        0 => natural,
        min => natural.min(min.max(width(columns[at].heading))),
    };
    let min_total = |widths: &[Option<usize>]| {
        let widths = widths.iter().enumerate().map(|(at, width)| {
            width.map(|width| min_width(at, width).max(columns[at].preferred_width.min(width)))
        });
        total(&widths.collect::<Vec<_>>())
    };
    while min_total(widths) > limit {
        let dropped = (0..columns.len()).filter(|at| columns[*at].drop_order > 0 && widths[*at].is_some());
        let Some(at) = dropped.min_by_key(|at| columns[*at].drop_order) else { break };
        widths[at] = None;
    }
    // The widest column is cut first.
    while total(widths) > limit {
        let cuttable =
            (0..columns.len()).filter(|at| widths[*at].is_some_and(|width| width > min_width(*at, width)));
        let Some(at) = cuttable.max_by_key(|at| widths[*at]) else { break };
        widths[at] = widths[at].map(|width| width - 1);
    }
}

fn rule(text: &mut String, widths: &[Option<usize>], [left, middle, right]: [char; 3]) {
    for (number, width) in widths.iter().flatten().enumerate() {
        text.push(if number == 0 { left } else { middle });
        text.extend(std::iter::repeat_n('─', width + AROUND_CELL - 1));
    }
    text.push(right);
    text.push('\n');
}

fn line(text: &mut String, columns: &[Column], widths: &[Option<usize>], cells: &[Cell], colours: bool) {
    for ((column, wide), cell) in columns.iter().zip(widths).zip(cells) {
        let Some(wide) = *wide else { continue };
        let shown = cut(&cell.text, wide);
        let gap = wide.saturating_sub(width(&shown));
        let (before, after) = if column.align == Align::Right { (gap, 0) } else { (0, gap) };
        text.push_str("│ ");
        text.extend(std::iter::repeat_n(' ', before));
        if colours && !cell.colour.is_empty() {
            text.push_str("\x1b[");
            text.push_str(cell.colour);
            text.push('m');
            text.push_str(&shown);
            text.push_str("\x1b[0m");
        } else {
            text.push_str(&shown);
        }
        text.extend(std::iter::repeat_n(' ', after + 1));
    }
    text.push_str("│\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { heading: "id", align: Align::Right, drop_order: 0, min_width: 0, preferred_width: 0 },
        Column { heading: "name", align: Align::Left, drop_order: 0, min_width: 4, preferred_width: 6 },
        Column { heading: "more", align: Align::Left, drop_order: 1, min_width: 0, preferred_width: 0 },
    ];

    fn shown(width: Option<usize>) -> String {
        let rows = [
            vec![Cell::new("0"), Cell::coloured("application", "32"), Cell::new("x")],
            vec![Cell::new("10"), Cell::new("b\x1b[2J"), Cell::new("yy")],
        ];
        table(&COLUMNS, &rows, OutputStyle { width, colours: false })
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let expected = "\
┌────┬─────────────┬──────┐
│ id │ name        │ more │
├────┼─────────────┼──────┤
│  0 │ application │ x    │
│ 10 │ b\\u{1b}[2J  │ yy   │
└────┴─────────────┴──────┘
";
        assert_eq!(shown(None), expected);
        assert_eq!(shown(Some(27)), expected);
    }

    #[test]
    fn a_narrow_table_leaves_out_columns_and_then_cuts_text() {
        let all_at_most = |text: &str, width| text.lines().all(|line| line.chars().count() <= width);
        let cut = shown(Some(22));
        assert!(cut.contains("│ appli… │ x    │"), "{cut}");
        for width in [21, 18, 13] {
            let narrow = shown(Some(width));
            assert!(all_at_most(&narrow, width) && !narrow.contains("more"), "{narrow}");
        }
        assert!(shown(Some(3)).contains("name"), "this column is never left out");
    }

    #[test]
    fn wide_characters_take_two_columns_and_hidden_ones_are_escaped() {
        let rows = [
            vec![Cell::new("0"), Cell::new("日本語"), Cell::new("x")],
            vec![Cell::new("1"), Cell::new("a\u{202e}b"), Cell::new("👍")],
            vec![Cell::new("2"), Cell::new("e\u{301}te\u{301}"), Cell::new("")],
        ];
        let at = |width| table(&COLUMNS, &rows, OutputStyle { width, colours: false });
        let expected = "\
┌────┬────────────┬──────┐
│ id │ name       │ more │
├────┼────────────┼──────┤
│  0 │ 日本語     │ x    │
│  1 │ a\\u{202e}b │ 👍   │
│  2 │ e\u{301}te\u{301}        │      │
└────┴────────────┴──────┘
";
        assert_eq!(at(None), expected);
        for columns in [13, 15, 20, 27] {
            let narrow = at(Some(columns));
            assert!(narrow.lines().all(|line| width(line) <= columns), "{narrow}");
            let wide = width(narrow.lines().next().unwrap());
            assert!(narrow.lines().all(|line| width(line) == wide), "{narrow}");
        }
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let rows = [vec![Cell::new("0"), Cell::coloured("a", "32"), Cell::new("x")]];
        let text = table(&COLUMNS, &rows, OutputStyle { width: None, colours: true });
        assert!(text.contains("│ \x1b[32ma\x1b[0m    │"), "{text}");
    }
}
