//! State → frame: the summary at the top, the row at the bottom, and the help.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::{
    paint::{Paint, bar, faint, put},
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
    ("↑ ↓ PgUp PgDn", "select or scroll"),
    ("Home End", "go to the first or last"),
    ("Tab", "switch processes and log"),
    ("← →", "scroll the log left or right"),
    ("/", "search the log"),
    ("n N", "previous or next match"),
    ("f", "filter the log lines"),
    ("p", "filter the processes"),
    ("Esc", "clear search and filters"),
    ("r", "restart the process"),
    ("R", "reload the process"),
    ("s", "stop the process"),
    ("+ -", "scale the app up or down"),
    ("mouse", "select and scroll"),
    ("? h", "show this help"),
    ("q Ctrl-C", "quit; apps keep running"),
];
/// The width of the first column of the help.
const KEY_WIDTH: usize = 13;

/// The keys in the last row, as many as fit.
const FOOT: [&str; 4] = [
    "? help  r restart  R reload  s stop  +- scale  Tab log  / search  p f filter  q quit",
    "? help  r restart  R reload  s stop  +- scale  / search  f filter  q quit",
    "? help  r restart  s stop  Tab log  / search  q quit",
    "? help  r restart  s stop  q quit",
];
/// The number of seconds without an answer after which the view reports it.
const SILENCE_LIMIT: u64 = 2;

/// Draws everything. The frame has the last size that the state received.
pub fn draw(state: &State, frame: &mut Frame<'_>) {
    let buffer = frame.buffer_mut();
    let layout = state.layout();
    // The terminal may have become smaller since then.
    let on_screen = |area: Rect| area.intersection(buffer.area);
    let (head, columns, rows) = (on_screen(layout.head), on_screen(layout.columns), on_screen(layout.rows));
    let (title, log, foot) = (on_screen(layout.title), on_screen(layout.log), on_screen(layout.foot));
    let paint = Paint { colours: state.colours };
    self::head(state, head, buffer, paint);
    table::draw(state, columns, rows, buffer, paint);
    pane::draw(state, title, log, buffer, paint);
    self::foot(state, foot, buffer, paint);
    if state.mode == Mode::Help {
        help(buffer);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Pieces of a row, each with its own style.
type Pieces = Vec<(String, Style)>;

/// Shows the first form of a row that fits; otherwise the last one, cut.
fn put_widest_fitting(row: &mut Rect, buffer: &mut Buffer, forms: &[Pieces]) {
    let width_of = |form: &Pieces| form.iter().map(|(text, _)| width(text)).sum::<usize>();
    let Some(form) = forms.iter().find(|form| width_of(form) <= usize::from(row.width)).or(forms.last())
    else {
        return;
    };
    for (text, style) in form {
        let room = usize::from(row.width);
        put(row, buffer, &cut(text, room), *style);
    }
}

fn head(state: &State, area: Rect, buffer: &mut Buffer, paint: Paint) {
    let mut rows = area.rows();
    if let Some(mut row) = rows.next() {
        put_widest_fitting(&mut row, buffer, &processes(state, paint));
        put_widest_fitting(&mut row, buffer, &machine(state, paint));
    }
    if let Some(mut row) = rows.next() {
        put_widest_fitting(&mut row, buffer, &container(state, paint));
    }
}

/// The number of processes, by status.
fn processes(state: &State, paint: Paint) -> [Pieces; 3] {
    let processes = &state.snapshot.processes;
    let count = processes.len();
    let noun = if count == 1 { "process" } else { "processes" };
    let mut states: Pieces = vec![];
    for (word, style) in
        [("online", paint.good()), ("waiting restart", paint.warning()), ("errored", paint.bad())]
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

/// CPUs, load and memory of the machine.
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

fn container(state: &State, paint: Paint) -> [Pieces; 4] {
    let whole = container_with(state, paint, true, true);
    let mut unnamed = whole.clone();
    unnamed.remove(0);
    let narrow = |tasks| container_with(state, paint, false, tasks).split_off(1);
    [whole, unnamed, narrow(true), narrow(false)]
}

fn container_with(state: &State, paint: Paint, bars: bool, tasks: bool) -> Pieces {
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
    if let Some(tasks) = it.tasks.filter(|_| tasks) {
        pieces.push((format!("{comma}{tasks} tasks"), Style::new()));
        comma = ", ";
    }
    if comma.is_empty() {
        pieces.push(("no data".to_owned(), faint()));
    }
    pieces
}

fn foot(state: &State, area: Rect, buffer: &mut Buffer, paint: Paint) {
    let Some(mut row) = area.rows().next() else { return };
    match &state.mode {
        Mode::Typing(field) => {
            let (label, text) = match field {
                Field::Search => ("search", &state.logs.search),
                Field::Filter => ("log filter", &state.logs.filter),
                Field::Processes => ("process filter", &state.process_filter),
            };
            // The cursor is at its end.
            let typed = log_line(text);
            let room = usize::from(row.width).saturating_sub(label.len() + 3);
            let from = typed.char_indices().map(|(at, _)| at).find(|at| width(&typed[*at..]) <= room);
            let end = &typed[from.unwrap_or(typed.len())..];
            put(&mut row, buffer, &format!("{label}: {end}█"), Style::new());
            let hint = "  Enter: apply, Esc: clear";
            if usize::from(row.width) >= hint.len() {
                put(&mut row, buffer, hint, faint());
            }
        }
        Mode::Confirm(_, question) => {
            let text = with_answers(question, row.width.into());
            put(&mut row, buffer, &text, paint.warning().add_modifier(Modifier::BOLD));
        }
        Mode::Normal | Mode::Help => {
            let (text, style) = match (&state.lost, state.silent, &state.notice) {
                (Some(why), ..) => (why.clone(), paint.bad()),
                (None, SILENCE_LIMIT.., _) => {
                    (format!("no answer from the supervisor for {} s", state.silent), paint.bad())
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

/// A question within this width: its subject is cut, not the keys of the answers.
fn with_answers(question: &str, columns: usize) -> String {
    const ANSWERS: &str = "? y/n";
    format!("{}{ANSWERS}", cut(question, columns.saturating_sub(ANSWERS.len())))
}

fn help(buffer: &mut Buffer) {
    let area = buffer.area;
    let wide = KEYS.iter().map(|(_, text)| width(text)).max().unwrap_or(0) + KEY_WIDTH + 3;
    let width = u16::try_from(wide).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(KEYS.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let area = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    let style = Style::new().add_modifier(Modifier::REVERSED);
    for (number, mut row) in area.rows().enumerate() {
        let line = number.checked_sub(1).and_then(|at| KEYS.get(at));
        let text = line.map_or(String::new(), |(keys, text)| format!(" {keys:<KEY_WIDTH$} {text}"));
        let text = cut(&text, row.width.into());
        put(&mut row, buffer, &text, style);
        while !row.is_empty() {
            put(&mut row, buffer, " ", style);
        }
    }
}
