//! State → frame: the two rows at the top, the row at the bottom, and the help.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{
    pane,
    state::{Field, Mode, State},
    table,
};
use crate::{
    shown::{cut, log_line, width},
    spec::ByteSize,
};

/// The keys and their actions.
const KEYS: [(&str, &str); 16] = [
    ("↑ ↓ PgUp PgDn", "select a process, or scroll the log"),
    ("Home End", "to the first, to the last; the end of the log is followed"),
    ("Tab", "from the processes to the log, and back"),
    ("← →", "move the log to the side"),
    ("/", "search in the log; Enter jumps to the last hit"),
    ("n N", "the hit before it, after it"),
    ("f", "show only lines of the log with this text"),
    ("p", "show only processes with this name"),
    ("Esc", "forget search and filters"),
    ("r", "restart the selected process"),
    ("R", "reload it"),
    ("s", "stop it"),
    ("+ -", "one instance more or less of its application"),
    ("mouse", "select and scroll"),
    ("? h", "this help"),
    ("q Ctrl-C", "leave; the processes go on"),
];

/// The keys in the last row, as many as fit.
const FOOT: [&str; 3] = [
    "? help  r restart  R reload  s stop  +- scale  Tab log  / find  f filter  q quit",
    "? help  r restart  s stop  Tab log  / find  q quit",
    "? help  / find  q quit",
];
/// After this number of seconds without an answer the view reports it.
const SILENT: u64 = 2;

/// Draws everything. The frame has the last size that the state received.
pub fn draw(state: &State, frame: &mut Frame<'_>) {
    let buffer = frame.buffer_mut();
    let places = state.places();
    // The terminal may have become smaller since then.
    let on_screen = |place: Rect| place.intersection(buffer.area);
    let (head, columns, rows) = (on_screen(places.head), on_screen(places.columns), on_screen(places.rows));
    let (title, log, foot) = (on_screen(places.title), on_screen(places.log), on_screen(places.foot));
    let paint = Paint { colours: state.colours };
    self::head(state, head, buffer, paint);
    table::draw(state, columns, rows, buffer, paint);
    pane::draw(state, title, log, buffer, paint);
    self::foot(state, foot, buffer, paint);
    if state.mode == Mode::Help {
        help(buffer);
    }
}

/// Styles, with colours or without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    pub(super) fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn odd(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red)
    }

    /// The style for a share of a resource.
    pub(super) fn share(self, share: f64) -> Style {
        match share {
            share if share >= 0.9 => self.bad(),
            share if share >= 0.7 => self.odd(),
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

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Pieces of a row, each with its own style.
type Pieces = Vec<(String, Style)>;

/// Shows the first form of a row that fits; otherwise the last one, cut.
fn put_first_that_fits(row: &mut Rect, buffer: &mut Buffer, forms: &[Pieces]) {
    let wide = |form: &Pieces| form.iter().map(|(text, _)| width(text)).sum::<usize>();
    let Some(form) = forms.iter().find(|form| wide(form) <= usize::from(row.width)).or(forms.last()) else {
        return;
    };
    for (text, style) in form {
        let room = usize::from(row.width);
        put(row, buffer, &cut(text, room), *style);
    }
}

fn head(state: &State, place: Rect, buffer: &mut Buffer, paint: Paint) {
    let mut rows = place.rows();
    if let Some(mut row) = rows.next() {
        put_first_that_fits(&mut row, buffer, &processes(state, paint));
        put_first_that_fits(&mut row, buffer, &machine(state, paint));
    }
    if let Some(mut row) = rows.next() {
        put_first_that_fits(&mut row, buffer, &container(state, paint));
    }
}

/// The number of processes, by status.
fn processes(state: &State, paint: Paint) -> [Pieces; 3] {
    let processes = &state.snapshot.processes;
    let count = processes.len();
    let noun = if count == 1 { "process" } else { "processes" };
    let mut states: Pieces = vec![];
    for (word, style) in
        [("online", paint.good()), ("waiting restart", paint.odd()), ("errored", paint.bad())]
    {
        let with = processes.iter().filter(|process| process.status == word).count();
        if with > 0 {
            states.push((format!(", {with} {word}"), style));
        }
    }
    let own = ("procrun".to_owned(), Style::new().add_modifier(Modifier::BOLD));
    let with = |before: Pieces| before.into_iter().chain(states.iter().cloned()).collect();
    [
        with(vec![own, (format!("  {count} {noun}"), Style::new())]),
        with(vec![(format!("{count} {noun}"), Style::new())]),
        // Problems come first on a narrow screen.
        states.iter().rev().map(|(text, style)| (text.replacen(", ", "", 1) + " ", *style)).collect(),
    ]
}

/// The figures of the machine, behind the container's.
fn machine(state: &State, paint: Paint) -> [Pieces; 6] {
    let machine = &state.snapshot.machine;
    let [one, five, fifteen] = machine.load;
    let cpus = machine.cpus;
    let used = machine.memory.saturating_sub(machine.available);
    let of = format!("{} of {}", ByteSize(used).short(), ByteSize(machine.memory).short());
    let memory = (of, paint.share(share(used, machine.memory)));
    let with = |text: String| vec![(text, Style::new()), memory.clone()];
    [
        with(format!("   machine: {cpus} CPUs, load {one:.2} {five:.2} {fifteen:.2}, memory ")),
        with(format!("   machine: {cpus} CPUs, load {one:.2}, memory ")),
        with(format!("   {cpus} CPUs, load {one:.2}, memory ")),
        with(format!("   load {one:.2}, memory ")),
        with(format!("   load {one:.2}, ")),
        vec![],
    ]
}

fn container(state: &State, paint: Paint) -> [Pieces; 3] {
    let whole = container_with(state, paint, true);
    let mut unnamed = whole.clone();
    unnamed.remove(0);
    [whole, unnamed, container_with(state, paint, false).split_off(1)]
}

fn container_with(state: &State, paint: Paint, bars: bool) -> Pieces {
    let it = &state.snapshot.container;
    let mut pieces = vec![("container: ".to_owned(), Style::new())];
    let mut comma = "";
    if let Some(cpu) = it.cpu {
        let whole = it.cpu_quota.unwrap_or(f64::from(state.snapshot.machine.cpus)) * 100.0;
        let style = paint.share(if whole > 0.0 { cpu / whole } else { 0.0 });
        pieces.push((format!("CPU {cpu:.0}%"), style));
        comma = ", ";
    }
    if let Some(quota) = it.cpu_quota {
        pieces.push((format!(" of {:.0}%", quota * 100.0), Style::new()));
    }
    if let Some(memory) = it.memory {
        pieces.push((format!("{comma}memory "), Style::new()));
        comma = ", ";
        match it.memory_limit {
            Some(limit) => {
                let style = paint.share(share(memory, limit));
                if bars {
                    pieces.push((bar(share(memory, limit), 10) + " ", style));
                }
                pieces.push((format!("{} of {}", ByteSize(memory).short(), ByteSize(limit).short()), style));
            }
            None => pieces.push((ByteSize(memory).short(), Style::new())),
        }
    }
    if let Some(tasks) = it.tasks {
        pieces.push((format!("{comma}{tasks} tasks"), Style::new()));
        comma = ", ";
    }
    if comma.is_empty() {
        pieces.push(("no figures".to_owned(), faint()));
    }
    pieces
}

fn foot(state: &State, place: Rect, buffer: &mut Buffer, paint: Paint) {
    let Some(mut row) = place.rows().next() else { return };
    match &state.mode {
        Mode::Typing(field) => {
            let (what, text) = match field {
                Field::Search => ("search", &state.logs.search),
                Field::Filter => ("only lines with", &state.logs.filter),
                Field::Processes => ("only processes with", &state.wanted),
            };
            // The cursor is at its end.
            let typed = log_line(text);
            let room = usize::from(row.width).saturating_sub(what.len() + 3);
            let from = typed.char_indices().map(|(at, _)| at).find(|at| width(&typed[*at..]) <= room);
            let end = &typed[from.unwrap_or(typed.len())..];
            put(&mut row, buffer, &format!("{what}: {end}█"), Style::new());
            put(&mut row, buffer, "  Enter: keep, Esc: forget", faint());
        }
        Mode::Confirm(_, question) => {
            let text = asked(question, row.width.into());
            put(&mut row, buffer, &text, paint.odd().add_modifier(Modifier::BOLD));
        }
        Mode::Normal | Mode::Help => {
            let (text, style) = match (&state.lost, state.silent, &state.notice) {
                (Some(why), ..) => (why.clone(), paint.bad()),
                (None, SILENT.., _) => {
                    let text =
                        format!("no answer for {} s: the supervisor is stopped, or very busy", state.silent);
                    (text, paint.bad())
                }
                (None, _, Some((true, text))) => (text.clone(), paint.good()),
                (None, _, Some((false, text))) => (text.clone(), paint.bad()),
                (None, _, None) => {
                    let room = usize::from(row.width);
                    let text = FOOT.into_iter().find(|text| width(text) <= room).unwrap_or("? help  q quit");
                    (text.to_owned(), faint())
                }
            };
            let text = cut(&text, row.width.into());
            put(&mut row, buffer, &text, style);
        }
    }
}

/// A question within this width: its subject is cut, not its keys.
fn asked(question: &str, columns: usize) -> String {
    const ANSWERS: &str = "? y/n";
    format!("{}{ANSWERS}", cut(question, columns.saturating_sub(ANSWERS.len())))
}

fn help(buffer: &mut Buffer) {
    let area = buffer.area;
    let wide = KEYS.iter().map(|(_, text)| width(text)).max().unwrap_or(0) + 18;
    let width = u16::try_from(wide).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(KEYS.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    let style = Style::new().add_modifier(Modifier::REVERSED);
    for (number, mut row) in place.rows().enumerate() {
        let line = number.checked_sub(1).and_then(|at| KEYS.get(at));
        let text = line.map_or(String::new(), |(keys, text)| format!(" {keys:<14} {text}"));
        let text = cut(&text, row.width.into());
        put(&mut row, buffer, &text, style);
        while !row.is_empty() {
            put(&mut row, buffer, " ", style);
        }
    }
}
