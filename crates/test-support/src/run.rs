//! A running procrun, as an ordinary process or as PID 1 of a PID namespace.

use std::{
    cell::Cell,
    fs::File,
    io::Write,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{Child, ChildStderr, ChildStdout},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    DEADLINE, SIGKILL, SIGTERM,
    bed::{binary, tool},
    capture::Capture,
    procfs::{self, Process},
    wait::{wait_for, wait_for_within, wait_until},
};

/// How procrun ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
}

/// A started procrun. Dropping it kills all processes that came of it.
pub struct Procrun {
    child: Child,
    pid1: bool,
    marker: String,
    pid: Cell<Option<i32>>,
    is_story_printed: Cell<bool>,
    end: Option<End>,
    out: Capture,
    err: Capture,
    held_out: Option<ChildStdout>,
    held_err: Option<ChildStderr>,
    terminal: Option<File>,
}

impl Procrun {
    pub(super) fn new(child: Child, pid1: bool, marker: String) -> Self {
        Self {
            child,
            pid1,
            marker,
            pid: Cell::new(None),
            is_story_printed: Cell::new(false),
            end: None,
            out: Capture::default(),
            err: Capture::default(),
            held_out: None,
            held_err: None,
            terminal: None,
        }
    }

    pub(super) fn attach_pipes(&mut self, hold_out: bool, hold_err: bool) {
        self.held_out = self.child.stdout.take();
        self.held_err = self.child.stderr.take();
        if !hold_out {
            self.release_out();
        }
        if !hold_err {
            self.release_err();
        }
    }

    pub(super) fn attach_terminal(&mut self, ours: OwnedFd, hold: bool) {
        let terminal = File::from(ours);
        if !hold {
            self.out.read(terminal.try_clone().expect("a descriptor to spare"));
        }
        self.err.close();
        self.terminal = Some(terminal);
    }

    /// Begins to read a held stdout.
    pub fn release_out(&mut self) {
        self.out.read(self.held_out.take().expect("stdout is held"));
    }

    /// Begins to read a held stderr.
    pub fn release_err(&mut self) {
        self.err.read(self.held_err.take().expect("stderr is held"));
    }

    /// Closes the read end of a held stdout.
    pub fn close_out(&mut self) {
        drop(self.held_out.take().expect("stdout is held"));
        self.out.close();
    }

    /// Types on the terminal.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.terminal.as_mut().expect("on a terminal").write_all(keys).expect("the terminal is there");
    }

    /// Closes the terminal. Its output must be held: a reader would keep it open.
    pub fn hang_up(&mut self) {
        drop(self.terminal.take().expect("on a terminal"));
        self.out.close();
    }

    pub fn out(&self) -> &Capture {
        &self.out
    }

    pub fn err(&self) -> &Capture {
        &self.err
    }

    /// The last lines of both streams, for a panic message.
    pub fn story(&self) -> String {
        self.is_story_printed.set(true);
        format!("\n stdout:\n{} stderr:\n{}", self.out.tail(), self.err.tail())
    }

    /// The first line on stdout that contains `text`.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_lines(text, 1).remove(0)
    }

    /// The first `count` lines on stdout that contain `text`.
    #[track_caller]
    pub fn wait_for_lines(&self, text: &str, count: usize) -> Vec<String> {
        self.wait_for_lines_within(text, count, DEADLINE)
    }

    /// The first `count` lines on stdout that contain `text`, or a panic when `within` is over.
    #[track_caller]
    pub fn wait_for_lines_within(&self, text: &str, count: usize, within: Duration) -> Vec<String> {
        self.out
            .wait(text, count, within)
            .unwrap_or_else(|missing| panic!("stdout: {missing}{}", self.story()))
    }

    /// The first line on stderr that contains `text`.
    #[track_caller]
    pub fn wait_for_err(&self, text: &str) -> String {
        self.wait_for_err_lines(text, 1).remove(0)
    }

    /// The first `count` lines on stderr that contain `text`.
    #[track_caller]
    pub fn wait_for_err_lines(&self, text: &str, count: usize) -> Vec<String> {
        self.err
            .wait(text, count, DEADLINE)
            .unwrap_or_else(|missing| panic!("stderr: {missing}{}", self.story()))
    }

    /// The process id of procrun itself, as seen from outside its namespace.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        if let Some(pid) = self.pid.get() {
            return pid;
        }
        let started = i32::try_from(self.child.id()).expect("a process id");
        let wanted = binary().file_name();
        let is_procrun = |pid: i32| {
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.file_name() == wanted)
        };
        let pid = wait_for("procrun to be executed", || {
            if !self.pid1 {
                return is_procrun(started).then_some(started);
            }
            procfs::children(started).into_iter().map(|child| child.pid).find(|&pid| is_procrun(pid))
        });
        self.pid.set(Some(pid));
        pid
    }

    /// Sends procrun a signal.
    #[track_caller]
    pub fn signal(&self, number: i32) {
        assert_eq!(self.end, None, "procrun has ended{}", self.story());
        send(self.pid(), number);
    }

    /// Waits until procrun has ended; both streams are complete then.
    #[track_caller]
    pub fn wait_end(&mut self) -> End {
        self.wait_end_within(DEADLINE)
    }

    /// [`Procrun::wait_end`] with another deadline.
    #[track_caller]
    pub fn wait_end_within(&mut self, within: Duration) -> End {
        if let Some(end) = self.end {
            return end;
        }
        let child = &mut self.child;
        let ended = wait_for_within_or("procrun's end", within, || child.try_wait().expect("our own child"));
        let Some(status) = ended else {
            panic!("procrun did not end within {within:?}{}", self.story());
        };
        let end = status.code().map(End::Code).or(status.signal().map(End::Signal)).expect("an end");
        self.end = Some(end);
        if self.terminal.is_none() {
            for (name, stream, held) in [
                ("stdout", &self.out, self.held_out.is_some()),
                ("stderr", &self.err, self.held_err.is_some()),
            ] {
                assert!(
                    held || stream.wait_closed(DEADLINE),
                    "{name} is still open after procrun's end{}",
                    self.story()
                );
            }
        }
        end
    }

    /// Whether procrun has ended, without waiting.
    pub fn has_ended(&mut self) -> bool {
        self.end.is_some() || self.child.try_wait().expect("our own child").is_some()
    }

    /// Stops procrun by SIGTERM, as a container engine does, and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) -> End {
        self.signal(SIGTERM);
        self.wait_end()
    }

    /// Waits for the end and requires this exit code.
    #[track_caller]
    pub fn expect_code(&mut self, code: i32) {
        let end = self.wait_end();
        assert_eq!(end, End::Code(code), "wrong end{}", self.story());
    }

    /// Stops procrun and requires exit code 0.
    #[track_caller]
    pub fn expect_stop(&mut self) {
        let end = self.stop();
        assert_eq!(end, End::Code(0), "wrong end{}", self.story());
    }

    /// The children of procrun, zombies too.
    #[track_caller]
    pub fn children(&self) -> Vec<Process> {
        procfs::children(self.pid())
    }

    /// The children of procrun that have ended and are not reaped.
    #[track_caller]
    pub fn zombies(&self) -> Vec<i32> {
        self.children().into_iter().filter(|child| child.state == 'Z').map(|child| child.pid).collect()
    }

    /// The only running child of procrun.
    #[track_caller]
    pub fn worker(&self) -> i32 {
        let running: Vec<i32> =
            self.children().into_iter().filter(|child| child.state != 'Z').map(|child| child.pid).collect();
        assert_eq!(running.len(), 1, "one worker{}", self.story());
        running[0]
    }

    /// The living processes of this run, except procrun itself and the program that started it.
    pub fn others(&self) -> Vec<i32> {
        let started = i32::try_from(self.child.id()).expect("a process id");
        let mut found = procfs::marked(&self.marker);
        found.retain(|&pid| pid != started && Some(pid) != self.pid.get());
        found
    }
}

impl Drop for Procrun {
    #[expect(clippy::disallowed_macros, reason = "a panicking test has a stderr")]
    fn drop(&mut self) {
        if std::thread::panicking() && !self.is_story_printed.get() {
            eprintln!("{}", self.story());
        }
        // A held stream must not keep a writer waiting.
        self.held_out = None;
        self.held_err = None;
        self.terminal = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        wait_until("the end of all processes of the run", || {
            let left = procfs::marked(&self.marker);
            for &pid in &left {
                send(pid, SIGKILL);
            }
            left.is_empty()
        });
    }
}

/// As [`wait_for_within`], but returns `None` instead of a panic.
fn wait_for_within_or<T>(what: &str, within: Duration, mut poll: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = super::now();
    wait_for_within(what, within * 2 + DEADLINE, || match poll() {
        Some(found) => Some(Some(found)),
        None => (begun.elapsed() > within).then_some(None),
    })
}

/// Sends a signal to a process that may have ended.
pub fn send(pid: i32, number: i32) {
    if let Ok(signal) = Signal::try_from(number) {
        let _ = kill(Pid::from_raw(pid), signal);
    } else {
        // nix has no real-time signals; every shell can send them.
        let _ = tool("sh", &["-c", &format!("kill -{number} {pid}")], Path::new("/"));
    }
}
