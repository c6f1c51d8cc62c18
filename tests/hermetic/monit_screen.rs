//! `procrun monit` as people have it: the binary in a terminal (tmux), a supervisor with processes.

use std::path::PathBuf;

use crate::support::{self, Bed, Procrun, tool, wait_for, wait_until};

const ECOSYSTEM: &str = r#"
[[apps]]
name = "talker"
script = "while :; do echo tick; sleep 0.1; done"

[[apps]]
name = "evil"
script = "while :; do printf '\\033[2J\\033]0;title\\007\\033[31mred\\033[0m\\b\\b evil\\r\\n'; sleep 0.1; done"

[[apps]]
name = "quiet"
script = "sleep 1000"
"#;

/// A terminal of 100 columns with a shell in it.
struct Terminal {
    bed: Bed,
}

impl Terminal {
    fn new(bed: Bed) -> Self {
        let terminal = Self { bed };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "24", "sh"]);
        terminal.line("echo before");
        terminal.wait_for("before");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let socket = self.bed.path("tmux");
        let args = [&["-S", socket.to_str().unwrap()], args].concat();
        let output = tool("tmux", &args, self.bed.root());
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn line(&self, line: &str) {
        self.keys(&["-l", line]);
        self.keys(&["Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        self.wait_for_screen(text, |screen| screen.contains(text))
    }

    #[track_caller]
    fn wait_for_screen(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        wait_for(what, || Some(self.screen()).filter(|screen| is_it(screen)))
    }

    /// The shell is back on its own screen, and the terminal is as shells want it.
    #[track_caller]
    fn is_as_before(&self, mark: &str) {
        // Not before: keys that are typed until then go to the program that has the screen.
        self.wait_for_screen("the screen from before", |it| it.contains("before") && !it.contains("q quit"));
        // Without echo the first were missing, without line ends the second.
        self.line(&format!("echo {mark}-$((40+2))"));
        let typed = format!("echo {mark}-$((40+2))");
        let screen = self.wait_for(&format!("{mark}-42"));
        assert!(screen.contains(&typed), "what is typed is seen:\n{screen}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn socket(terminal: &Terminal) -> PathBuf {
    terminal.bed.path("socket")
}

/// A supervisor, and `monit` in a terminal before it.
fn monit() -> (Procrun, Terminal) {
    let terminal = Terminal::new(Bed::with(ECOSYSTEM));
    let socket = socket(&terminal);
    let run = terminal.bed.start(&["--socket", socket.to_str().unwrap(), "ecosystem.toml"]);
    wait_until("the socket", || socket.exists());
    terminal.line(&format!("{} --socket {} monit", support::binary().display(), socket.display()));
    terminal.wait_for_screen("three online processes", |screen| screen.contains("3 processes, 3 online"));
    (run, terminal)
}

#[test]
fn processes_and_their_logs_are_on_the_screen_and_keys_reach_them() {
    let (mut run, terminal) = monit();
    let screen = terminal.wait_for_screen("the log", |screen| screen.matches("\ntick").count() > 5);
    let rows: Vec<&str> = screen.lines().collect();
    for (row, name) in [(3, "0 talker"), (4, "1 evil"), (5, "2 quiet")] {
        assert!(rows[row].trim_start().starts_with(name) && rows[row].contains(" online "), "{screen}");
    }
    assert!(rows[6].starts_with(" log of 0|talker"), "{screen}");
    terminal.keys(&["Down"]);
    let screen = terminal.wait_for_screen("the other log", |screen| screen.matches("evil").count() > 5);
    assert!(!screen.contains("tick") && screen.contains("red·· evil"), "{screen}");
    assert!(screen.contains("0 talker") && screen.contains("q quit"), "nothing was wiped:\n{screen}");

    terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    let fits = |screen: &str| screen.lines().nth(11).is_some_and(|row| row.starts_with("? help"));
    terminal.wait_for_screen("the smaller screen", fits);
    terminal.tmux(&["resize-window", "-x", "100", "-y", "24"]);
    terminal.wait_for_screen("the larger one", |screen| screen.contains("restarts"));

    terminal.keys(&["s"]);
    terminal.wait_for("stop 1|evil? y/n");
    terminal.keys(&["n"]);
    terminal.wait_for("q quit");
    terminal.keys(&["s", "y"]);
    let is_stopped =
        |screen: &str| screen.lines().any(|row| row.contains("1 evil") && row.contains("stopped"));
    terminal.wait_for_screen("its end", is_stopped);
    terminal.keys(&["End", "r", "y"]);
    let again = |screen: &str| screen.lines().any(|row| row.contains("2 quiet") && row.contains("       1"));
    terminal.wait_for_screen("a restart", again);
    terminal.keys(&["+", "y"]);
    terminal.wait_for("4 processes");

    terminal.keys(&["q"]);
    terminal.is_as_before("left");
    run.expect_stop();
}

#[test]
fn the_end_of_the_supervisor_is_shown_and_a_new_one_found() {
    let (mut run, terminal) = monit();
    run.expect_stop();
    terminal.wait_for("has exited");
    let socket = socket(&terminal);
    let mut run = terminal.bed.start(&["--socket", socket.to_str().unwrap(), "ecosystem.toml"]);
    terminal.wait_for_screen("its log again", |screen| {
        !screen.contains("has exited") && screen.matches("\ntick").count() > 5
    });
    terminal.keys(&["C-c"]);
    terminal.is_as_before("left");
    run.expect_stop();
}

#[test]
fn a_suspended_supervisor_is_shown_as_silent_and_keys_work() {
    let (mut run, terminal) = monit();
    support::send(run.pid(), support::SIGSTOP);
    terminal.wait_for("no answer from the supervisor for 3 s");
    terminal.keys(&["Down"]);
    terminal.wait_for("log of 1|evil");
    terminal.keys(&["r"]);
    terminal.wait_for("restart 1|evil? y/n");
    terminal.keys(&["n"]);
    support::send(run.pid(), support::SIGCONT);
    terminal.wait_for_screen("its log", |screen| {
        !screen.contains("no answer") && screen.matches("evil").count() > 5
    });
    support::send(run.pid(), support::SIGSTOP);
    terminal.wait_for("no answer from the supervisor for 2 s");
    terminal.keys(&["C-c"]);
    terminal.is_as_before("left");
    support::send(run.pid(), support::SIGCONT);
    run.expect_stop();
}

#[test]
fn a_signal_and_a_panic_leave_the_terminal_as_it_was() {
    let (mut run, terminal) = monit();
    let command = format!("{} --socket {} monit", support::binary().display(), socket(&terminal).display());
    let pid = wait_for("monit", || {
        let is_it = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").trim() == command
        };
        support::procfs::all().into_iter().map(|process| process.pid).find(is_it)
    });
    support::send(pid, support::SIGTERM);
    terminal.is_as_before("ended");

    let test = std::env::current_exe().unwrap();
    let inner = "monit_screen::on_the_terminal_of_another_test --exact --nocapture";
    terminal.line("clear; echo before");
    terminal.line(&format!("{PANICS}=1 RUST_BACKTRACE=0 {} {inner}", test.display()));
    let screen = terminal.wait_for("test result");
    assert!(screen.contains("on purpose"), "the message is seen:\n{screen}");
    terminal.is_as_before("panicked");
    run.expect_stop();
}

const PANICS: &str = "PROCRUN_TEST_PANICS";

/// What the test above runs in its terminal; by itself it has none, and `monit` refuses that.
#[test]
fn on_the_terminal_of_another_test() {
    if std::env::var_os(PANICS).is_some() {
        let mut screen = procrun::tui::Screen::open().unwrap();
        screen.show(&procrun::tui::State::new(100, 24, true)).unwrap();
        panic!("on purpose");
    }
    let bed = Bed::with(ECOSYSTEM);
    let text = bed.launch(&["monit"]).start().output().fails(64, "");
    assert!(text.contains("`monit` needs a terminal") && text.contains("docker exec"), "{text}");
    let terminal = Terminal::new(bed);
    terminal.line(&format!("TERM=dumb {} monit; echo code $?", support::binary().display()));
    let screen = terminal.wait_for("code 64");
    assert!(screen.contains("TERM is `dumb`") && screen.contains("procrun list"), "{screen}");
}
