//! Styles, text and bars on the screen.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

/// Styles, with colours or without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) colours: bool,
}

impl Paint {
    pub(super) fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn warning(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red)
    }

    /// The style for a share of a resource.
    pub(super) fn share(self, share: f64) -> Style {
        match share {
            share if share >= 0.9 => self.bad(),
            share if share >= 0.7 => self.warning(),
            _ => self.good(),
        }
    }
}

/// The style of secondary information.
pub(super) fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// Writes text at the left of the rest of a row, and shortens the rest.
pub(super) fn put(row: &mut Rect, buffer: &mut Buffer, text: &str, style: Style) {
    if row.is_empty() {
        return;
    }
    let (end, _) = buffer.set_stringn(row.x, row.y, text, usize::from(row.width), style);
    row.width -= end - row.x;
    row.x = end;
}

/// A bar of this number of cells: a share from 0 to 1 is full, to an eighth of a cell.
pub(super) fn bar(share: f64, cells: u16) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and cells * 8"
    )]
    let eighths = (share.clamp(0.0, 1.0) * f64::from(cells) * 8.0).round() as usize;
    let cells = usize::from(cells);
    let mut text: String = std::iter::repeat_n('█', eighths / 8).collect();
    if eighths / 8 < cells {
        text.push(PARTS[eighths % 8]);
        text.extend(std::iter::repeat_n(' ', cells - eighths / 8 - 1));
    }
    text
}
