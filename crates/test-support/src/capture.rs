//! An output stream of procrun, read line by line by a separate thread.

use std::{
    io::Read,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::now;

/// The lines that have been read so far.
#[derive(Default)]
struct Seen {
    lines: Vec<(Instant, Vec<u8>)>,
    unfinished: Vec<u8>,
    closed: bool,
}

/// A stream that is being read; clones share it.
#[derive(Clone, Default)]
pub struct Capture {
    shared: Arc<(Mutex<Seen>, Condvar)>,
}

impl Capture {
    /// Reads `from` to its end in a thread. The end is EOF, or EIO of a terminal.
    pub fn read(&self, mut from: impl Read + Send + 'static) {
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let got = match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(got) => got,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                let at = now();
                let mut seen = shared.0.lock().unwrap();
                for piece in buffer[..got].split_inclusive(|&byte| byte == b'\n') {
                    seen.unfinished.extend_from_slice(piece);
                    if seen.unfinished.last() == Some(&b'\n') {
                        let mut line = std::mem::take(&mut seen.unfinished);
                        line.pop();
                        seen.lines.push((at, line));
                    }
                }
                drop(seen);
                shared.1.notify_all();
            }
            shared.0.lock().unwrap().closed = true;
            shared.1.notify_all();
        });
    }

    /// Marks the stream as ended: the test does not read it.
    pub fn close(&self) {
        self.shared.0.lock().unwrap().closed = true;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.0.lock().unwrap()
    }

    /// All complete lines so far, without their newlines; bytes that are not UTF-8 are replaced.
    pub fn lines(&self) -> Vec<String> {
        self.seen().lines.iter().map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// All complete lines so far as bytes.
    pub fn raw_lines(&self) -> Vec<Vec<u8>> {
        self.seen().lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// The time at which each line was read.
    pub fn times(&self) -> Vec<Instant> {
        self.seen().lines.iter().map(|(at, _)| *at).collect()
    }

    /// The bytes after the last newline.
    pub fn unfinished(&self) -> Vec<u8> {
        self.seen().unfinished.clone()
    }

    /// The complete lines that contain `text`.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// The number of bytes equal to `byte`, without newlines.
    pub fn count(&self, byte: u8) -> usize {
        let seen = self.seen();
        let lines = seen.lines.iter().map(|(_, line)| line).chain([&seen.unfinished]);
        lines.map(|line| memchr::memchr_iter(byte, line).count()).sum()
    }

    /// Waits until `count` lines contain `text`, and returns them. `Err` is the reason of the failure.
    pub fn wait(&self, text: &str, count: usize, within: Duration) -> Result<Vec<String>, String> {
        let deadline = now() + within;
        let mut checked = 0;
        let mut found = Vec::new();
        let mut seen = self.seen();
        loop {
            for (_, line) in &seen.lines[checked..] {
                let line = String::from_utf8_lossy(line);
                if line.contains(text) {
                    found.push(line.into_owned());
                }
            }
            checked = seen.lines.len();
            if found.len() >= count {
                found.truncate(count);
                return Ok(found);
            }
            if seen.closed {
                return Err(format!("the stream ended with {} of {count} lines with {text:?}", found.len()));
            }
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return Err(format!("{} of {count} lines with {text:?} within {within:?}", found.len()));
            }
            seen = self.shared.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Waits until the stream has ended; false if it did not in time.
    pub fn wait_closed(&self, within: Duration) -> bool {
        let seen = self.seen();
        !self.shared.1.wait_timeout_while(seen, within, |seen| !seen.closed).unwrap().1.timed_out()
    }

    /// The last lines, for a panic message.
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(25);
        let mut text = if skipped > 0 { format!("  ({skipped} lines before)\n") } else { String::new() };
        for line in &lines[skipped..] {
            text.push_str("  ");
            text.extend(line.chars().take(200));
            text.push('\n');
        }
        text
    }
}
