//! `procrun monit` without a terminal and without a supervisor: events in, screens out.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use procrun::{
    control::snapshot::{Container, Machine},
    tui::{Event, LogLine, Process, ProcessAction, Snapshot, State, ViewRequest, draw},
};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Modifier};

const GIB: u64 = 1 << 30;

fn process(id: u32, name: &str, status: &str) -> Process {
    Process {
        id,
        name: name.to_owned(),
        status: status.to_owned(),
        pid: Some(4000),
        uptime: Some(3_723_000),
        restarts: u64::from(id),
        cpu: Some(50.0),
        memory: Some(128 << 20),
    }
}

fn snapshot(processes: Vec<Process>) -> Snapshot {
    Snapshot {
        processes,
        container: Container {
            cpu: Some(75.0),
            cpu_quota: Some(2.0),
            memory: Some(256 << 20),
            memory_limit: Some(512 << 20),
            tasks: Some(23),
        },
        machine: Machine { cpus: 8, load: [0.5, 0.25, 0.125], memory: 16 * GIB, available: 12 * GIB },
    }
}

struct View {
    state: State,
    terminal: Terminal<TestBackend>,
}

impl View {
    fn new(width: u16, height: u16, processes: Vec<Process>) -> Self {
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let mut view = Self { state: State::new(width, height, true), terminal };
        view.state.handle(Event::Snapshot(snapshot(processes)));
        view
    }

    fn of_three() -> Self {
        let processes =
            vec![process(0, "api", "online"), process(1, "api", "errored"), process(2, "worker", "stopped")];
        Self::new(110, 20, processes)
    }

    fn buffer(&mut self) -> Buffer {
        self.terminal.draw(|frame| draw(&self.state, frame)).unwrap();
        self.terminal.backend().buffer().clone()
    }

    /// The rows of the screen without what is blank at their end.
    fn rows(&mut self) -> Vec<String> {
        let buffer = self.buffer();
        let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..buffer.area.height).map(|y| row(y).trim_end().to_owned()).collect()
    }

    fn screen(&mut self) -> String {
        self.rows().join("\n")
    }

    fn press(&mut self, code: KeyCode) -> Option<ViewRequest> {
        self.state.handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn type_in(&mut self, text: &str) -> Option<ViewRequest> {
        text.chars().filter_map(|c| self.press(KeyCode::Char(c))).last()
    }

    fn mouse(&mut self, kind: MouseEventKind, row: u16) -> Option<ViewRequest> {
        self.state.handle(Event::Mouse(MouseEvent { kind, column: 3, row, modifiers: KeyModifiers::NONE }))
    }

    fn log(&mut self, id: u32, lines: &[&str]) {
        let line = |text: &&str| LogLine { err: false, text: (*text).to_owned() };
        self.state.handle(Event::Lines(id, 0, lines.iter().map(line).collect()));
    }
}

#[test]
fn everything_is_on_the_screen() {
    let mut view = View::of_three();
    view.log(0, &["listening on 3000", "GET /"]);
    let rows = view.rows();
    let expected = [
        "procrun  3 processes, 1 online, 1 errored   machine: 8 CPUs, load 0.50 0.25 0.12, memory 4.0G of 16G",
        "container: CPU 75% of 200%, memory █████      256M of 512M, 23 tasks",
        "  id name               status             cpu          memory            uptime restarts cpu",
        "   0 api                online           50.0% ████       128M ██           1h2m        0",
        "   1 api                errored          50.0% ████       128M ██           1h2m        1",
        "   2 worker             stopped          50.0% ████       128M ██           1h2m        2",
        " log of 0|api",
        "listening on 3000",
        "GET /",
    ];
    for (row, expected) in rows.iter().zip(expected) {
        assert!(row.starts_with(expected), "\n{row}\n{expected}\n\n{}", rows.join("\n"));
    }
    assert!(rows[3].ends_with('▇') || rows[3].ends_with('█'), "the sparkline: {}", rows[3]);
    assert!(rows[19].starts_with("? help"), "{}", rows[19]);
}

#[test]
fn a_narrow_screen_shows_what_matters() {
    let processes = vec![
        process(0, "notification-worker", "waiting restart"),
        process(1, "日本語", "errored"),
        process(2, "x", "online"),
    ];
    let screen = |width| View::new(width, 12, processes.clone()).rows();
    let cut = |row: &str| row.trim_end().ends_with('…');
    for (width, head, columns, row) in [
        (
            80,
            [
                "procrun  3 processes, 1 online, 1 waiting restart, 1 errored",
                "container: CPU 75% of 200%, memory █████      256M of 512M, 23 tasks",
            ],
            "  id name                    status       cpu          memory   uptime restarts",
            "   0 notification-worker     waiting    50.0% ████       128M     1h2m        0",
        ),
        (
            40,
            ["1 errored 1 waiting restart 1 online", "CPU 75% of 200%, memory 256M of 512M"],
            "  id name       status       cpu memory",
            "   0 notificat… waiting    50.0%   128M",
        ),
    ] {
        let rows = screen(width);
        let all = rows.join("\n");
        assert!(rows[0].starts_with(head[0]), "{all}");
        assert!(rows[1].starts_with(head[1]), "{all}");
        assert!(rows[2].starts_with(columns), "{all}");
        assert!(rows[3].starts_with(row), "{all}");
        assert!(rows[4].starts_with("   1 日"), "{all}");
        assert!(rows[11].starts_with("? help") && rows[11].ends_with("q quit"), "{all}");
        assert!(!cut(&rows[0]) && !cut(&rows[1]) && !cut(&rows[2]) && !cut(&rows[11]), "{all}");
    }
    let two = vec![process(0, "api", "online"), process(1, "worker", "online")];
    let rows = View::new(80, 12, two.clone()).rows();
    assert_eq!(rows[0], "procrun  2 processes, 2 online   machine: 8 CPUs, load 0.50, memory 4.0G of 16G");
    assert_eq!(View::new(40, 12, two).rows()[0], "procrun  2 processes, 2 online");
    let mut view = View::new(40, 12, processes);
    view.press(KeyCode::Char('r'));
    assert!(view.rows()[11].ends_with("? y/n"), "{}", view.screen());
}

#[test]
fn a_silent_supervisor_is_reported_and_the_keys_work() {
    let mut view = View::of_three();
    view.state.handle(Event::Silent(1));
    assert!(view.rows()[19].starts_with("? help"), "one slow answer is not reported: {}", view.screen());
    view.state.handle(Event::Silent(5));
    assert!(view.rows()[19].starts_with("no answer from the supervisor for 5 s"), "{}", view.screen());
    assert_eq!(view.press(KeyCode::Down), Some(ViewRequest::Follow(1)));
    assert_eq!(view.press(KeyCode::Char('q')), Some(ViewRequest::Quit));
    view.state.handle(Event::Snapshot(snapshot(vec![process(0, "api", "online")])));
    assert!(!view.screen().contains("no answer"));
}

#[test]
fn a_scale_uses_the_unescaped_name_of_the_application() {
    let name = "a\u{202e}b";
    let mut view = View::new(80, 12, vec![process(0, name, "online")]);
    assert!(view.screen().contains("a\\u{202e}b"), "{}", view.screen());
    view.press(KeyCode::Char('+'));
    assert_eq!(view.press(KeyCode::Char('y')), Some(ViewRequest::Scale(name.into(), true)));
}

#[test]
fn unknown_values_are_shown_as_unknown() {
    let nothing = Process { name: "new".into(), status: "launching".into(), ..Process::default() };
    let mut view = View::new(110, 12, vec![nothing]);
    view.state.handle(Event::Snapshot(Snapshot {
        processes: vec![Process { name: "new".into(), status: "launching".into(), ..Process::default() }],
        ..Snapshot::default()
    }));
    let rows = view.rows();
    assert!(rows[1].starts_with("container: no data"), "{}", rows[1]);
    let words: Vec<&str> = rows[3].split_whitespace().collect();
    assert_eq!(words[..7], ["0", "new", "launching", "-", "-", "-", "0"], "{}", rows[3]);
    view.state.handle(Event::Snapshot(Snapshot::default()));
    assert!(view.screen().contains("no processes"));
}

#[test]
fn every_size_of_the_terminal_is_drawn() {
    let mut view = View::of_three();
    view.log(0, &["日本語の長い行 with wide characters, longer than most screens are"]);
    for (width, height) in
        (0..30).flat_map(|n| [(n, 20), (110, n), (n, n), (3 * n, n / 2)]).chain([(500, 3), (2, 300)])
    {
        view.terminal.backend_mut().resize(width, height);
        // A frame that is drawn before the state knows.
        view.buffer();
        view.state.handle(Event::Resize(width, height));
        view.buffer();
        for mode in ['?', '/', 'r'] {
            view.press(KeyCode::Char(mode));
            view.buffer();
            view.press(KeyCode::Esc);
        }
        view.press(KeyCode::PageDown);
        view.mouse(MouseEventKind::ScrollUp, height / 2);
    }
}

#[test]
fn the_selection_moves_stays_and_selects_the_log() {
    let mut view = View::of_three();
    assert_eq!(view.press(KeyCode::Down), Some(ViewRequest::Follow(1)));
    assert_eq!(view.press(KeyCode::End), Some(ViewRequest::Follow(2)));
    assert_eq!(view.press(KeyCode::Down), None);
    assert_eq!(view.press(KeyCode::Up), Some(ViewRequest::Follow(1)));
    view.log(1, &["of one"]);
    view.log(2, &["late, of another"]);
    assert!(view.screen().contains("of one") && !view.screen().contains("late"));
    // Others come and go: the same process stays selected.
    let more: Vec<Process> = [5, 1, 7].map(|id| process(id, "x", "online")).to_vec();
    assert_eq!(view.state.handle(Event::Snapshot(snapshot(more))), None);
    assert!(view.screen().contains("log of 1|x") && view.screen().contains("of one"));
    // It goes: its neighbour is selected.
    let less = vec![process(5, "x", "online"), process(7, "x", "online")];
    assert_eq!(view.state.handle(Event::Snapshot(snapshot(less))), Some(ViewRequest::Follow(7)));
    assert!(!view.screen().contains("of one"));
    assert_eq!(view.mouse(MouseEventKind::Down(MouseButton::Left), 3), Some(ViewRequest::Follow(5)));
    assert_eq!(view.mouse(MouseEventKind::ScrollDown, 3), Some(ViewRequest::Follow(7)));
    assert_eq!(view.mouse(MouseEventKind::Down(MouseButton::Left), 9), None, "there is no process");
}

#[test]
fn an_action_on_a_process_needs_confirmation() {
    let mut view = View::of_three();
    view.press(KeyCode::Down);
    for (key, question, request) in [
        ('r', "restart 1|api? y/n", ViewRequest::Act(ProcessAction::Restart, 1)),
        ('R', "reload 1|api? y/n", ViewRequest::Act(ProcessAction::Reload, 1)),
        ('s', "stop 1|api? y/n", ViewRequest::Act(ProcessAction::Stop, 1)),
        ('+', "scale up 1|api? y/n", ViewRequest::Scale("api".into(), true)),
        ('-', "scale down 1|api? y/n", ViewRequest::Scale("api".into(), false)),
    ] {
        for no in [KeyCode::Char('n'), KeyCode::Esc, KeyCode::Char('r')] {
            assert_eq!(view.press(KeyCode::Char(key)), None);
            assert!(view.screen().contains(question), "{}", view.screen());
            assert_eq!(view.press(no), None);
            assert!(!view.screen().contains(question));
        }
        view.press(KeyCode::Char(key));
        assert_eq!(view.press(KeyCode::Char('y')), Some(request));
    }
    view.state.handle(Event::Outcome(false, "no such process\x1b[2J".into()));
    assert!(view.screen().contains("no such process"));
    view.state.handle(Event::Lost("the supervisor has exited".into()));
    assert!(view.screen().contains("the supervisor has exited"));
    assert_eq!(view.press(KeyCode::Char('q')), Some(ViewRequest::Quit));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    view.press(KeyCode::Char('/'));
    assert_eq!(
        view.state.handle(Event::Key(control_c)),
        Some(ViewRequest::Quit),
        "also while something is typed"
    );
}

#[test]
fn search_and_filters_work_while_they_are_typed() {
    let mut view = View::of_three();
    let lines: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
    view.log(0, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(view.screen().contains("line 99"));
    view.press(KeyCode::Char('f'));
    view.type_in("7");
    assert!(view.screen().contains("line 97") && !view.screen().contains("line 99"), "{}", view.screen());
    assert!(view.screen().contains("log filter: 7"));
    view.press(KeyCode::Enter);
    view.press(KeyCode::Char('/'));
    view.type_in("LINE 2");
    view.press(KeyCode::Enter);
    let buffer = view.buffer();
    let marked = |y: u16| (0..6).all(|x| buffer[(x, y)].modifier.contains(Modifier::REVERSED));
    assert!((7..19).any(marked), "the hit is marked\n{}", view.screen());
    assert!(view.screen().contains("line 27"), "{}", view.screen());
    view.press(KeyCode::Esc);
    assert!(!view.screen().contains("filter: 7") && !view.screen().contains("line 99"), "it does not jump");
    view.press(KeyCode::Tab);
    view.press(KeyCode::End);
    assert!(view.screen().contains("line 99"));
    view.press(KeyCode::PageUp);
    assert!(!view.screen().contains("line 99") && view.screen().contains("scrolled (End: newest)"));
    assert_eq!(view.press(KeyCode::Char('p')), None);
    assert_eq!(view.type_in("work"), Some(ViewRequest::Follow(2)));
    assert!(view.screen().contains("log of 2|worker") && !view.screen().contains("errored          "));
}

#[test]
fn no_control_character_reaches_a_cell() {
    let evil = "\x1b[2J\x1b]0;title\x07\u{9b}31m\r\u{202e}\u{200b}\x08\x7f\tend";
    let mut view = View::new(110, 20, vec![process(0, evil, evil)]);
    view.log(0, &[evil, "plain"]);
    view.state.handle(Event::Outcome(true, evil.into()));
    let check = |view: &mut View| {
        let buffer = view.buffer();
        for cell in buffer.content() {
            let symbol = cell.symbol();
            let is_control = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}' | '\u{feff}');
            assert!(!symbol.chars().any(is_control), "{symbol:?}");
        }
    };
    check(&mut view);
    for key in ['r', 'n', '/', '\u{202e}', '\x1b'] {
        view.press(KeyCode::Char(key));
        check(&mut view);
    }
    assert!(view.screen().contains("plain"));
}

#[test]
fn a_thousand_processes_scroll() {
    let many: Vec<Process> = (0..1000).map(|id| process(id, &format!("app{id}"), "online")).collect();
    let mut view = View::new(120, 40, many.clone());
    for _ in 0..500 {
        view.press(KeyCode::Down);
    }
    assert!(view.screen().contains("log of 500|app500"));
    assert!(view.rows()[3..21].iter().any(|row| row.starts_with(" 500 app500")), "{}", view.screen());
    view.press(KeyCode::End);
    assert!(view.rows()[3..21].iter().any(|row| row.starts_with(" 999 app999")), "{}", view.screen());
    view.state.handle(Event::Snapshot(snapshot(many[..3].to_vec())));
    assert!(view.rows()[3].starts_with("   0 app0"), "{}", view.screen());
    assert!(view.screen().contains("log of 2|app2"));
}

#[test]
fn the_help_lists_every_key() {
    let mut view = View::of_three();
    view.press(KeyCode::Char('?'));
    let screen = view.screen();
    for text in
        ["restart the process", "reload the process", "scale the app up or down", "quit; apps keep running"]
    {
        assert!(screen.contains(text), "{screen}");
    }
    view.press(KeyCode::Char('x'));
    assert!(!view.screen().contains("reload the process"));
}

#[test]
fn without_colours_there_are_none() {
    let mut view = View::of_three();
    view.state = State::new(110, 20, false);
    view.state.handle(Event::Snapshot(snapshot(vec![process(0, "api", "errored")])));
    assert!(view.buffer().content().iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
}
