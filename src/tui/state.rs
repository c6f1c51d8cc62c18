//! State + event → state, and requests to the supervisor.
//!
//! Pure: no terminal, no socket, no clock.

use std::collections::{HashMap, VecDeque};

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::{
    layout::ScreenLayout,
    logs::{Logs, contains},
    model::{LogLine, Process, Snapshot},
};
use crate::shown::{log_line, printable};

/// Number of CPU samples of a process for its sparkline.
const SAMPLES: usize = 60;
/// Number of lines by which the mouse wheel scrolls the log.
const WHEEL: isize = 3;
/// Number of characters by which the arrow keys shift the log sideways.
const SIDE_STEP: usize = 8;

/// An input of the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A key.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// The screen has this size: columns and rows.
    Resize(u16, u16),
    /// A new sample of all processes.
    Snapshot(Snapshot),
    /// Lines of the process with this id, and the number of missed lines before them.
    Lines(u32, u64, Vec<LogLine>),
    /// The result of a request, for the user. True: success.
    Outcome(bool, String),
    /// The connection to the supervisor is lost; the reason.
    Lost(String),
    /// The supervisor has not answered for this number of seconds.
    Silent(u64),
}

/// An action on a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessAction {
    /// Restart the instance.
    Restart,
    /// Reload the instance: start a new process, then stop the old one.
    Reload,
    /// Stop the instance.
    Stop,
}

/// A request to the supervisor, or an action of the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewRequest {
    /// Do this with the instance with this id.
    Act(ProcessAction, u32),
    /// Scale this application by one instance more (true) or less.
    Scale(String, bool),
    /// Send the log lines of this instance from now on, and of no other.
    Follow(u32),
    /// End the view.
    Quit,
}

/// The part of the screen that the arrow keys control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    Processes,
    Log,
}

/// The purpose of a string that is being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Search,
    Filter,
    Processes,
}

/// The current meaning of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Normal,
    Help,
    /// A string is typed; it applies while it is typed.
    Typing(Field),
    /// A question waits for y or n.
    Confirm(ViewRequest, String),
}

/// The last CPU samples of a process.
#[derive(Debug, Default)]
pub(super) struct CpuHistory {
    pub(super) cpu: VecDeque<f32>,
}

/// The whole state of the view.
#[derive(Debug)]
pub struct State {
    pub(super) snapshot: Snapshot,
    /// The indices in the snapshot of the visible processes.
    pub(super) shown: Vec<usize>,
    pub(super) cpu_history: HashMap<u32, CpuHistory>,
    /// The id of the selected process.
    pub(super) selected: Option<u32>,
    /// The first visible process on the screen, counted among the visible ones.
    pub(super) top: usize,
    /// Only processes whose name contains this are visible.
    pub(super) process_filter: String,
    pub(super) logs: Logs,
    pub(super) focus: Focus,
    pub(super) mode: Mode,
    /// The last message, and whether it reports a success.
    pub(super) notice: Option<(bool, String)>,
    pub(super) lost: Option<String>,
    /// The number of seconds without an answer.
    pub(super) silent: u64,
    pub(super) colours: bool,
    size: (u16, u16),
}

impl State {
    /// An empty view on a screen of this size.
    pub fn new(width: u16, height: u16, colours: bool) -> Self {
        Self {
            snapshot: Snapshot::default(),
            shown: Vec::new(),
            cpu_history: HashMap::new(),
            selected: None,
            top: 0,
            process_filter: String::new(),
            logs: Logs::default(),
            focus: Focus::Processes,
            mode: Mode::Normal,
            notice: None,
            lost: None,
            silent: 0,
            colours,
            size: (width, height),
        }
    }

    /// Handles an input; returns a request.
    pub fn handle(&mut self, event: Event) -> Option<ViewRequest> {
        let request = match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => None,
            Event::Key(key) => self.key(key),
            Event::Mouse(mouse) => self.mouse(mouse),
            Event::Resize(width, height) => {
                self.size = (width, height);
                None
            }
            Event::Snapshot(snapshot) => {
                let was_lost = self.lost.take().is_some();
                self.silent = 0;
                let request = self.update(snapshot);
                // The supervisor has restarted: its lines begin again.
                let resumed = self.selected.filter(|_| was_lost && request.is_none());
                if resumed.is_some() {
                    self.logs.clear();
                }
                request.or(resumed.map(ViewRequest::Follow))
            }
            Event::Lines(id, missed, lines) => {
                if self.selected == Some(id) {
                    self.logs.missed += missed;
                    for line in &lines {
                        self.logs.push(line.err, &line.text);
                    }
                }
                None
            }
            Event::Outcome(good, text) => {
                self.notice = Some((good, printable(&text).into_owned()));
                None
            }
            Event::Silent(seconds) => {
                self.silent = seconds;
                None
            }
            Event::Lost(why) => {
                self.silent = 0;
                self.lost = Some(printable(&why).into_owned());
                None
            }
        };
        self.scroll_to_selection();
        request
    }

    /// The layout of the screen.
    pub(super) fn layout(&self) -> ScreenLayout {
        ScreenLayout::new(self.size.0, self.size.1, self.shown.len())
    }

    /// The selected process.
    pub(super) fn process(&self) -> Option<&Process> {
        let id = self.selected?;
        self.shown.iter().map(|at| &self.snapshot.processes[*at]).find(|process| process.id == id)
    }

    fn update(&mut self, snapshot: Snapshot) -> Option<ViewRequest> {
        let before = self.position();
        self.snapshot = snapshot;
        let mut history = std::mem::take(&mut self.cpu_history);
        for process in &self.snapshot.processes {
            let mut it = history.remove(&process.id).unwrap_or_default();
            if it.cpu.len() == SAMPLES {
                it.cpu.pop_front();
            }
            #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
            it.cpu.push_back(process.cpu.unwrap_or(0.0) as f32);
            self.cpu_history.insert(process.id, it);
        }
        self.choose(before)
    }

    /// Selects the visible processes, and one of them: the same as before, or the one at its position.
    fn choose(&mut self, before: Option<usize>) -> Option<ViewRequest> {
        let processes = self.snapshot.processes.iter().enumerate();
        self.shown =
            processes.filter(|(_, it)| contains(&it.name, &self.process_filter)).map(|(at, _)| at).collect();
        if self.process().is_some() {
            return None;
        }
        let at = before.unwrap_or(0).min(self.shown.len().checked_sub(1)?);
        self.select(at)
    }

    /// The position of the selected process among the visible ones.
    pub(super) fn position(&self) -> Option<usize> {
        let id = self.selected?;
        self.shown.iter().position(|at| self.snapshot.processes.get(*at).is_some_and(|it| it.id == id))
    }

    fn select(&mut self, at: usize) -> Option<ViewRequest> {
        let id = self.snapshot.processes[*self.shown.get(at)?].id;
        if self.selected == Some(id) {
            return None;
        }
        self.selected = Some(id);
        self.logs.clear();
        Some(ViewRequest::Follow(id))
    }

    fn scroll_to_selection(&mut self) {
        let rows = usize::from(self.layout().rows.height).max(1);
        let at = self.position().unwrap_or(0);
        let max_top = self.shown.len().saturating_sub(rows);
        self.top = self.top.clamp(at.saturating_sub(rows - 1), at).min(max_top);
    }

    fn key(&mut self, key: KeyEvent) -> Option<ViewRequest> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(ViewRequest::Quit),
                _ => None,
            };
        }
        self.notice = None;
        match self.mode.clone() {
            Mode::Help => {
                self.mode = Mode::Normal;
                None
            }
            Mode::Confirm(request, _) => {
                self.mode = Mode::Normal;
                matches!(key.code, KeyCode::Char('y' | 'Y') | KeyCode::Enter).then_some(request)
            }
            Mode::Typing(field) => self.type_key(field, key.code),
            Mode::Normal => self.command(key.code),
        }
    }

    fn text(&mut self, field: Field) -> &mut String {
        match field {
            Field::Search => &mut self.logs.search,
            Field::Filter => &mut self.logs.filter,
            Field::Processes => &mut self.process_filter,
        }
    }

    fn type_key(&mut self, field: Field, code: KeyCode) -> Option<ViewRequest> {
        let before = self.position();
        match code {
            KeyCode::Enter => {
                self.mode = Mode::Normal;
                if field == Field::Search {
                    self.find(true);
                }
            }
            KeyCode::Esc => {
                self.mode = Mode::Normal;
                self.text(field).clear();
            }
            KeyCode::Backspace => {
                self.text(field).pop();
            }
            KeyCode::Char(c) => self.text(field).push(c),
            _ => {}
        }
        self.choose(before)
    }

    fn command(&mut self, code: KeyCode) -> Option<ViewRequest> {
        match code {
            KeyCode::Char('q') => return Some(ViewRequest::Quit),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Focus::Processes => Focus::Log,
                    Focus::Log => Focus::Processes,
                };
            }
            KeyCode::Esc => {
                let before = self.position();
                self.logs.search.clear();
                self.logs.filter.clear();
                self.process_filter.clear();
                return self.choose(before);
            }
            KeyCode::Char('/') => self.mode = Mode::Typing(Field::Search),
            KeyCode::Char('f') => self.mode = Mode::Typing(Field::Filter),
            KeyCode::Char('p') => self.mode = Mode::Typing(Field::Processes),
            KeyCode::Char('n') => self.find(true),
            KeyCode::Char('N') => self.find(false),
            KeyCode::Left => self.logs.left = self.logs.left.saturating_sub(SIDE_STEP),
            KeyCode::Right => self.logs.left += SIDE_STEP,
            KeyCode::Char('r') => {
                self.confirm("restart", |it| ViewRequest::Act(ProcessAction::Restart, it.id));
            }
            KeyCode::Char('R') => self.confirm("reload", |it| ViewRequest::Act(ProcessAction::Reload, it.id)),
            KeyCode::Char('s') => self.confirm("stop", |it| ViewRequest::Act(ProcessAction::Stop, it.id)),
            KeyCode::Char('+') => self.confirm("scale up", |it| ViewRequest::Scale(it.name.clone(), true)),
            KeyCode::Char('-') => self.confirm("scale down", |it| ViewRequest::Scale(it.name.clone(), false)),
            KeyCode::Up | KeyCode::Char('k') => return self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => return self.step(1),
            KeyCode::PageUp => return self.step(-self.page()),
            KeyCode::PageDown => return self.step(self.page()),
            KeyCode::Home | KeyCode::Char('g') => return self.step(isize::MIN + 1),
            KeyCode::End | KeyCode::Char('G') => return self.step(isize::MAX),
            _ => {}
        }
        None
    }

    /// Asks for confirmation.
    fn confirm(&mut self, action: &str, request: impl FnOnce(&Process) -> ViewRequest) {
        if let Some(process) = self.process() {
            let question = format!("{action} {}|{}", process.id, printable(&process.name));
            self.mode = Mode::Confirm(request(process), question);
        }
    }

    fn find(&mut self, upwards: bool) {
        let rows = self.log_rows();
        if !self.logs.search.is_empty() && !self.logs.find(upwards, rows) {
            let which = if upwards { "earlier" } else { "later" };
            let text = format!("no {which} line contains `{}`", log_line(&self.logs.search));
            self.notice = Some((false, text));
        }
    }

    fn log_rows(&self) -> usize {
        usize::from(self.layout().log.height)
    }

    /// The number of rows of a page.
    fn page(&self) -> isize {
        let layout = self.layout();
        let rows = match self.focus {
            Focus::Processes => layout.rows.height,
            Focus::Log => layout.log.height,
        };
        isize::try_from(rows.max(2) - 1).unwrap_or(1)
    }

    /// Moves down by this number of processes or lines.
    fn step(&mut self, down: isize) -> Option<ViewRequest> {
        match self.focus {
            Focus::Processes => {
                let last = self.shown.len().checked_sub(1)?;
                let at = self.position().unwrap_or(0).saturating_add_signed(down).min(last);
                self.select(at)
            }
            Focus::Log if down == isize::MAX => {
                self.logs.end();
                None
            }
            Focus::Log => {
                self.logs.scroll(-down, self.log_rows());
                None
            }
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Option<ViewRequest> {
        let layout = self.layout();
        let at = (mouse.column, mouse.row).into();
        let over_log = layout.log.contains(at) || layout.title.contains(at);
        match mouse.kind {
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
                let up = mouse.kind == MouseEventKind::ScrollUp;
                if over_log {
                    self.logs.scroll(if up { WHEEL } else { -WHEEL }, self.log_rows());
                    return None;
                }
                let last = self.shown.len().checked_sub(1)?;
                let step = if up { -1 } else { 1 };
                let at = self.position().unwrap_or(0).saturating_add_signed(step).min(last);
                self.select(at)
            }
            MouseEventKind::Down(MouseButton::Left) => {
                self.mode = if self.mode == Mode::Help { Mode::Normal } else { self.mode.clone() };
                if over_log {
                    self.focus = Focus::Log;
                } else if layout.rows.contains(at) {
                    self.focus = Focus::Processes;
                    return self.select(self.top + usize::from(mouse.row - layout.rows.y));
                }
                None
            }
            _ => None,
        }
    }
}
