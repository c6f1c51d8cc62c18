//! The processes: one row each, with bars and a sparkline.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{
    model::Process,
    paint::{Paint, bar, faint, put},
    state::{Focus, State},
};
use crate::{
    shown::{cut, printable, width},
    spec::{ByteSize, HumanDuration},
};

/// The columns after the name: heading and width. Without room, the last ones are left out first.
const COLUMNS: [(usize, &str, u16); 7] = [
    (3, "   cpu", 7),
    (5, "memory", 7),
    (7, "  uptime", 9),
    (8, "restarts", 9),
    (4, "", 9),
    (6, "", 9),
    (9, "cpu", SPARKS),
];
const ID: u16 = 5;
/// The minimum width of a name, and its width before bars are shown.
const NAME: (u16, u16) = (10, 25);
/// The width of the status column, and its width on a narrow screen.
const STATUS: (u16, u16) = (16, 10);
const WIDE: u16 = 100;
const SPARKS: u16 = 20;
const MIN_SPARKS: u16 = 8;

pub(super) fn draw(state: &State, columns: Rect, rows: Rect, buffer: &mut Buffer, paint: Paint) {
    let names = state.shown.iter().map(|at| width(&printable(&state.snapshot.processes[*at].name)));
    let widths = widths(columns.width, names.max().unwrap_or(0));
    if let Some(row) = columns.rows().next() {
        let mut texts = [""; 10];
        (texts[0], texts[1], texts[2]) = ("  id", "name", "status");
        for (at, text, _) in COLUMNS {
            texts[at] = text;
        }
        let mut left = row;
        for (text, width) in texts.iter().zip(widths) {
            cell(&mut left, buffer, text, width, faint());
        }
    }
    let memory_total = state.snapshot.container.memory_limit.unwrap_or(state.snapshot.machine.memory);
    let processes = state.shown.iter().skip(state.top).map(|at| &state.snapshot.processes[*at]);
    for (area, process) in rows.rows().zip(processes) {
        let mut row = area;
        process_row(state, process, memory_total, &mut row, buffer, widths, paint);
        if state.selected == Some(process.id) {
            let style = match state.focus {
                Focus::Processes => Style::new().add_modifier(Modifier::REVERSED),
                Focus::Log => Style::new().add_modifier(Modifier::UNDERLINED),
            };
            buffer.set_style(area, style);
        }
    }
    if state.shown.is_empty()
        && let Some(mut row) = rows.rows().next()
    {
        let text = if state.snapshot.processes.is_empty() {
            "no processes"
        } else {
            "no process matches the filter"
        };
        put(&mut row, buffer, text, faint());
    }
}

/// The width of each column for a longest name: id, name, status, CPU and its bar, memory and its bar, uptime, restarts,
/// sparkline.
fn widths(width: u16, name: usize) -> [u16; 10] {
    let mut widths = [0; 10];
    let mut left = width;
    let mut give = |at: usize, wanted: u16, min: u16| {
        let got = if left >= wanted {
            wanted
        } else if left >= min {
            left
        } else {
            0
        };
        left -= got;
        widths[at] += got;
    };
    give(0, ID, 1);
    give(1, NAME.0, 1);
    give(2, if width < WIDE { STATUS.1 } else { STATUS.0 }, 4);
    let name = u16::try_from(name + 1).unwrap_or(u16::MAX).clamp(NAME.0, NAME.1) - NAME.0;
    for (number, (at, _, wanted)) in COLUMNS.into_iter().enumerate() {
        if number == 4 {
            give(1, name, 0);
        }
        give(at, wanted, if at == 9 { MIN_SPARKS } else { wanted });
    }
    widths[1] += left;
    widths
}

/// Text in a column of this width, followed by a space.
fn cell(row: &mut Rect, buffer: &mut Buffer, text: &str, width: u16, style: Style) {
    let width = width.min(row.width);
    if width > 0 {
        let mut part = Rect { width: width.saturating_sub(1).max(1), height: 1, ..*row };
        let text = cut(text, part.width.into());
        put(&mut part, buffer, &text, style);
        row.x += width;
        row.width -= width;
    }
}

fn process_row(
    state: &State,
    process: &Process,
    memory_total: u64,
    row: &mut Rect,
    buffer: &mut Buffer,
    widths: [u16; 10],
    paint: Paint,
) {
    let plain = Style::new();
    let status = match &*process.status {
        "online" => paint.good(),
        "errored" => paint.bad(),
        "stopped" => faint(),
        _ => paint.warning(),
    };
    let word = match &*process.status {
        "waiting restart" if widths[2] < STATUS.0 => "waiting".into(),
        word => printable(word),
    };
    let cpu = process.cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.1}%"));
    let memory = process.memory.map_or("-".to_owned(), |bytes| ByteSize(bytes).short());
    // A full bar is one core.
    let cpu_share = process.cpu.unwrap_or(0.0) / 100.0;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let memory_share =
        if memory_total == 0 { 0.0 } else { process.memory.unwrap_or(0) as f64 / memory_total as f64 };
    let uptime = process.uptime.map_or("-".to_owned(), |ms| HumanDuration::from_millis(ms).short());
    let cells: [(String, Style); 10] = [
        (format!("{:>4}", process.id), plain),
        (printable(&process.name).into_owned(), plain.add_modifier(Modifier::BOLD)),
        (word.into_owned(), status),
        (format!("{cpu:>6}"), plain),
        (bar(cpu_share, widths[4].saturating_sub(1)), paint.share(cpu_share)),
        (format!("{memory:>6}"), plain),
        (bar(memory_share, widths[6].saturating_sub(1)), paint.share(memory_share)),
        (format!("{uptime:>8}"), plain),
        (format!("{:>8}", process.restarts), if process.restarts > 0 { paint.warning() } else { plain }),
        (sparks(state, process.id, widths[9].saturating_sub(1)), paint.colour(Color::Cyan)),
    ];
    for ((text, style), width) in cells.iter().zip(widths) {
        cell(row, buffer, text, width, *style);
    }
}

/// The last CPU figures, the newest at the right; the highest of them is full.
fn sparks(state: &State, id: u32, cells: u16) -> String {
    const PARTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(history) = state.cpu_history.get(&id) else { return String::new() };
    let cells = usize::from(cells);
    let figures = history.cpu.iter().skip(history.cpu.len().saturating_sub(cells));
    // Figures below ten percent are never drawn as high.
    let highest = figures.clone().copied().fold(10.0, f32::max);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 7")]
    let spark = |figure: &f32| PARTS[(figure.max(0.0) / highest * 7.0).round() as usize % 8];
    let text: String = figures.map(spark).collect();
    format!("{text:>cells$}")
}
