//! The last lines of the selected process: scroll, search, filter.
//!
//! Pure. Lines have numbers, so the visible lines stay in place while others arrive and go.

use std::collections::VecDeque;

use crate::shown::log_line;

/// Maximum number of lines in memory.
const MAX_LINES: usize = 2000;

/// A line with escaped control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EscapedLine {
    pub(super) err: bool,
    pub(super) text: String,
}

#[derive(Debug, Default)]
pub(super) struct Logs {
    lines: VecDeque<EscapedLine>,
    /// The number of the oldest line.
    first: u64,
    /// The number of the line at the bottom; `None`: the newest line.
    bottom: Option<u64>,
    /// Only lines that contain this string are shown.
    pub(super) filter: String,
    /// The string that is searched and highlighted.
    pub(super) search: String,
    /// The number of lines that arrived too fast to be shown.
    pub(super) missed: u64,
    /// The number of hidden characters at the left.
    pub(super) left: usize,
}

impl Logs {
    /// Clears the lines for another process. The search text stays.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        (self.first, self.bottom, self.missed, self.left) = (0, None, 0, 0);
    }

    pub(super) fn push(&mut self, err: bool, text: &str) {
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
            self.first += 1;
        }
        self.lines.push_back(EscapedLine { err, text: log_line(text) });
    }

    /// The lines that pass the filter, with their numbers, oldest first.
    fn matching(&self) -> impl DoubleEndedIterator<Item = (u64, &EscapedLine)> {
        let lines = (self.first..).zip(&self.lines).collect::<Vec<_>>();
        lines.into_iter().filter(|(_, line)| contains(&line.text, &self.filter))
    }

    /// The lines that fit into these rows, oldest first.
    pub(super) fn page(&self, rows: usize) -> Vec<&EscapedLine> {
        let bottom = self.bottom.unwrap_or(u64::MAX);
        let mut page: Vec<&EscapedLine> = self
            .matching()
            .rev()
            .skip_while(|(number, _)| *number > bottom)
            .take(rows)
            .map(|(_, it)| it)
            .collect();
        page.reverse();
        if page.len() < rows && self.bottom.is_some() {
            // There are no more lines above: the page is filled from there.
            page = self.matching().take(rows).map(|(_, it)| it).collect();
        }
        page
    }

    /// Whether new lines are shown as they arrive.
    pub(super) fn follows(&self) -> bool {
        self.bottom.is_none()
    }

    /// Scrolls up by this number of lines (down if negative), of which `rows` are visible.
    pub(super) fn scroll(&mut self, up: isize, rows: usize) {
        let numbers: Vec<u64> = self.matching().map(|(number, _)| number).collect();
        let Some(last) = numbers.len().checked_sub(1) else { return };
        let at = match self.bottom {
            None => last,
            Some(bottom) => numbers.partition_point(|number| *number <= bottom).saturating_sub(1),
        };
        let top = rows.saturating_sub(1).min(last);
        let at = at.max(top).saturating_add_signed(-up).clamp(top, last);
        self.bottom = (at < last).then(|| numbers[at]);
    }

    /// Scrolls to the newest line and follows from then on.
    pub(super) fn end(&mut self) {
        self.bottom = None;
    }

    /// Scrolls to the next line upwards (or downwards) with the searched text. Returns whether there is one.
    pub(super) fn find(&mut self, upwards: bool, rows: usize) -> bool {
        if self.search.is_empty() {
            return false;
        }
        let matches = self.matching().filter(|(_, line)| contains(&line.text, &self.search));
        let here = self.bottom.unwrap_or(u64::MAX);
        let found = if upwards {
            matches.map(|(number, _)| number).rfind(|number| *number < here)
        } else {
            matches.map(|(number, _)| number).find(|number| *number > here)
        };
        if let Some(found) = found {
            self.bottom = Some(found);
            // It may be on the first page, whose bottom is another line.
            self.scroll(0, rows);
        }
        found.is_some()
    }
}

/// Whether `text` contains `part`, whatever the case of ASCII letters.
pub(super) fn contains(text: &str, part: &str) -> bool {
    position(text, part).is_some()
}

/// Where `part` begins in `text`.
pub(super) fn position(text: &str, part: &str) -> Option<usize> {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    if part.is_empty() {
        return Some(0);
    }
    text.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::{Logs, MAX_LINES};

    fn logs(count: usize) -> Logs {
        let mut logs = Logs::default();
        (0..count).for_each(|number| logs.push(false, &format!("line {number}")));
        logs
    }

    fn visible(logs: &Logs, rows: usize) -> Vec<&str> {
        logs.page(rows).into_iter().map(|line| &*line.text).collect()
    }

    #[test]
    fn the_newest_lines_are_followed_until_the_user_scrolls() {
        let mut logs = logs(10);
        assert_eq!(visible(&logs, 3), ["line 7", "line 8", "line 9"]);
        logs.scroll(2, 3);
        assert_eq!(visible(&logs, 3), ["line 5", "line 6", "line 7"]);
        logs.push(true, "new");
        assert_eq!(visible(&logs, 3), ["line 5", "line 6", "line 7"], "the visible lines stay");
        logs.scroll(100, 3);
        assert_eq!(visible(&logs, 3), ["line 0", "line 1", "line 2"]);
        logs.scroll(-1, 3);
        assert_eq!(visible(&logs, 3), ["line 1", "line 2", "line 3"]);
        logs.scroll(-100, 3);
        assert!(logs.follows());
        assert_eq!(visible(&logs, 3), ["line 8", "line 9", "new"]);
    }

    #[test]
    fn old_lines_are_dropped_and_the_page_is_filled() {
        let mut logs = logs(MAX_LINES);
        logs.scroll(isize::MAX, 2);
        assert_eq!(visible(&logs, 2), ["line 0", "line 1"]);
        (0..5).for_each(|_| logs.push(false, "new"));
        assert_eq!(visible(&logs, 2), ["line 5", "line 6"]);
    }

    #[test]
    fn a_filter_selects_lines_and_a_search_scrolls() {
        let mut logs = logs(40);
        logs.filter = "LINE 3".to_owned();
        assert_eq!(visible(&logs, 2), ["line 38", "line 39"]);
        assert_eq!(visible(&logs, 99).len(), 11);
        logs.filter.clear();
        logs.search = "5".to_owned();
        assert!(logs.find(true, 3));
        assert_eq!(visible(&logs, 3).last(), Some(&"line 35"));
        assert!(logs.find(true, 3) && logs.find(true, 3));
        assert_eq!(visible(&logs, 3).last(), Some(&"line 15"));
        assert!(logs.find(false, 3));
        assert_eq!(visible(&logs, 3).last(), Some(&"line 25"));
        logs.search = "nowhere".to_owned();
        assert!(!logs.find(true, 3));
        assert_eq!(visible(&logs, 3).last(), Some(&"line 25"));
    }
}
