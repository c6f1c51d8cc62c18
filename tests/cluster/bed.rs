//! A directory with an ecosystem file and Node workers, and a procrun that runs them.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// Nothing here takes longer on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "a deadline needs a clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

type Lines = Arc<(Mutex<Vec<String>>, Condvar)>;

pub(crate) struct Bed {
    dir: TempDir,
}

impl Bed {
    /// A directory with this `ecosystem.toml` and these files.
    pub(crate) fn new(ecosystem: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let bed = Self { dir };
        bed.file("ecosystem.toml", ecosystem);
        for (name, text) in files {
            bed.file(name, text);
        }
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("our own directory");
    }

    /// Starts procrun, with its debug lines.
    #[expect(clippy::disallowed_methods, reason = "the test is the parent here")]
    pub(crate) fn start(&self) -> Procrun {
        let mut child = Command::new(env!("CARGO_BIN_EXE_procrun"))
            .args(["ecosystem.toml", "--log-level", "debug"])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("procrun starts");
        let lines = Lines::default();
        read(child.stdout.take().expect("piped"), lines.clone());
        read(child.stderr.take().expect("piped"), lines.clone());
        Procrun { child, lines }
    }

    /// Runs a program to its end.
    #[expect(clippy::disallowed_methods, reason = "the test is the parent here")]
    pub(crate) fn tool(&self, program: &str, args: &[&str]) -> Output {
        let output =
            Command::new(program).args(args).current_dir(self.dir.path()).stdin(Stdio::null()).output();
        output.unwrap_or_else(|error| panic!("{program} is needed: {error}"))
    }
}

fn read(from: impl Read + Send + 'static, into: Lines) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.0.lock().unwrap().push(line);
            into.1.notify_all();
        }
    });
}

/// A procrun that runs. Dropping it ends it and all its workers.
pub(crate) struct Procrun {
    child: Child,
    lines: Lines,
}

impl Procrun {
    /// The first `count` lines that contain `text`, when they are there.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str, count: usize) -> Vec<String> {
        let deadline = now() + DEADLINE;
        let mut lines = self.lines.0.lock().unwrap();
        loop {
            let found: Vec<String> =
                lines.iter().filter(|line| line.contains(text)).take(count).cloned().collect();
            if found.len() == count {
                return found;
            }
            let left = deadline.saturating_duration_since(now());
            assert!(!left.is_zero(), "{} of {count} lines with {text:?}:\n{}", found.len(), lines.join("\n"));
            lines = self.lines.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The number that follows `text` in the line that has it.
    #[track_caller]
    pub(crate) fn number_after(&self, text: &str) -> i32 {
        number_after(&self.wait_for(text, 1)[0], text)
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.lines.0.lock().unwrap().iter().any(|line| line.contains(text))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).expect("it runs");
    }

    /// Asks it to stop and waits for its end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        let code = self.child.wait().expect("our own child").code();
        code.unwrap_or_else(|| panic!("killed"))
    }
}

impl Drop for Procrun {
    fn drop(&mut self) {
        // The kernel ends the workers with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub(crate) fn number_after(line: &str, text: &str) -> i32 {
    let rest = &line[line.find(text).expect("it has the text") + text.len()..];
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {text:?} in {line:?}"))
}

/// Asks for a path on a connection of its own. Returns the body.
pub(crate) fn get(port: i32, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).expect("a port")))?;
    ask(&mut stream, path)
}

/// Asks for a path on a connection that ends with the answer.
pub(crate) fn ask(stream: &mut (impl Read + Write), path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => Ok(body.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
