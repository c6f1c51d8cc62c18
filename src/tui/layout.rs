//! The layout of the screen.
//!
//! Pure: drawing and clicks use the same layout.

use ratatui::layout::Rect;

/// The rectangles of one screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ScreenLayout {
    /// The summary: two rows.
    pub(super) head: Rect,
    /// The names of the columns.
    pub(super) columns: Rect,
    /// A row for each process.
    pub(super) rows: Rect,
    /// The title of the log.
    pub(super) title: Rect,
    /// The lines of the log.
    pub(super) log: Rect,
    /// The keys, or a question.
    pub(super) foot: Rect,
}

impl ScreenLayout {
    /// The layout for a screen of this size and this number of processes. A part without room has no height.
    pub(super) fn new(width: u16, height: u16, processes: usize) -> Self {
        let head = height.min(2).min(height.saturating_sub(4));
        let foot = 1.min(height.saturating_sub(head));
        let left = height - head - foot;
        let columns = 1.min(left);
        let title = 1.min(left - columns);
        let room = left - columns - title;
        // Half for the processes, and the rows that they do not need for the log.
        let wanted = u16::try_from(processes).unwrap_or(u16::MAX).max(1);
        let rows = wanted.min(room.div_ceil(2)).min(room);
        let mut at = 0;
        let mut next = |height| {
            let area = Rect { x: 0, y: at, width, height };
            at += height;
            area
        };
        Self {
            head: next(head),
            columns: next(columns),
            rows: next(rows),
            title: next(title),
            log: next(room - rows),
            foot: next(foot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ScreenLayout;

    #[test]
    fn the_layout_fills_every_screen() {
        for height in 0..60 {
            for processes in [0, 1, 5, 1000] {
                let layout = ScreenLayout::new(80, height, processes);
                let all = [layout.head, layout.columns, layout.rows, layout.title, layout.log, layout.foot];
                let mut at = 0;
                for area in all {
                    assert_eq!(area.y, at);
                    at += area.height;
                }
                assert_eq!(at, height, "{processes} processes on {height} rows");
                assert!(height < 5 || layout.rows.height > 0, "{processes} processes on {height} rows");
            }
        }
    }
}
