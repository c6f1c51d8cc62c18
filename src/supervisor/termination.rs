//! The termination message: why procrun ends, and the last lines of the application that failed, in one small
//! file.
//!
//! Kubernetes mounts `/dev/termination-log` into each container and shows its content when the container has
//! ended (`kubectl describe`). A missing file is not reported, a file that cannot be written is a warning, and
//! nothing here delays the end.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use nix::fcntl::OFlag;
use tokio::{sync::oneshot, time::Instant};

use super::{clock, helper_threads::HelperThreads};
use crate::{
    logs::{Filter, Logs, frame::Edge},
    machine::{InstanceId, InstanceView, Machine, events::EndText},
    shown::{log_line, printable_lines},
    spec::{ExitCode, TerminationLog},
    sys::{file_rights::FileRights, signals},
};

/// The path of Kubernetes, unless the pod has another `terminationMessagePath`.
const KUBERNETES_PATH: &str = "/dev/termination-log";
/// The maximum size that Kubernetes shows of a container, in bytes.
const MAX_BYTES: usize = 4096;
/// The maximum size of the part before the application's own lines.
const MAX_HEAD_BYTES: usize = 2048;
/// Maximum number of lines that fit.
const MAX_LINES: usize = 256;
/// The maximum number of other applications that are named.
const MAX_APP_NAMES: usize = 20;

/// How long it may take to write it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Why procrun ends, as far as the state of the machine does not show it.
#[derive(Debug, Default)]
pub(super) struct Cause {
    /// Why procrun was stopped: `stopped by SIGTERM`.
    pub(super) stop_reason: Option<String>,
    /// The instance whose failure ended the container (`on_errored = "exit"`).
    pub(super) culprit: Option<InstanceId>,
}

/// Writes the message to the configured file. Called again when more is known.
pub(super) struct TerminationMessage {
    to: TerminationLog,
    /// The text that the file has.
    written: String,
}

/// The message that is being written.
pub(super) struct Writing {
    text: String,
    written: io::Result<oneshot::Receiver<Result<bool, String>>>,
    until: Instant,
}

impl TerminationMessage {
    pub(super) fn new(to: TerminationLog) -> Self {
        Self { to, written: String::new() }
    }

    /// The text of the message. `None`: the file has this text already, or there is no file.
    pub(super) fn text(
        &self,
        cause: &Cause,
        machine: &Machine,
        code: ExitCode,
        logs: &Logs,
    ) -> Option<String> {
        if self.to == TerminationLog::Off {
            return None;
        }
        Some(cause.message(machine, code, logs)).filter(|text| *text != self.written)
    }

    /// Begins to replace the text of the file. A helper thread does it: its file system may not answer.
    pub(super) fn write(&self, text: Option<String>, helpers: &HelperThreads) -> Option<Writing> {
        let text = text?;
        let (to, for_thread) = (self.to.clone(), text.clone());
        let written = helpers.request(move || record(&to, &for_thread));
        Some(Writing { text, written, until: clock::now() + TIMEOUT })
    }

    /// Waits until it is written.
    ///
    /// # Errors
    /// The file cannot be written. Writing is not tried again.
    pub(super) async fn finish(
        &mut self,
        writing: Option<Writing>,
        helpers: &HelperThreads,
    ) -> Result<(), String> {
        let Some(Writing { text, written, until }) = writing else { return Ok(()) };
        let written = match written {
            Ok(mut written) => helpers.receive(&mut written, until).await,
            Err(error) => Some(Err(error.to_string())),
        };
        match written {
            Some(Ok(true)) => self.written = text,
            Some(Ok(false)) => self.to = TerminationLog::Off,
            Some(Err(why)) => {
                self.to = TerminationLog::Off;
                return Err(why);
            }
            None => {
                self.to = TerminationLog::Off;
                return Err("the file system does not answer".to_owned());
            }
        }
        Ok(())
    }
}

/// Writes the text. Returns whether there is a file for it.
fn record(to: &TerminationLog, text: &str) -> Result<bool, String> {
    let file = open(to).map_err(|(path, error)| format!("{}: {error}", path.display()))?;
    let Some(file) = file else { return Ok(false) };
    write(&file, text).map_err(|error| error.to_string())?;
    Ok(true)
}

/// Writes why nothing was started. An error is not reported: the same text is on stderr. The file system may not
/// answer, so another thread writes it, and the end of procrun waits for at most 1 s.
pub fn not_started(to: &TerminationLog, why: &impl std::fmt::Display) {
    if *to == TerminationLog::Off {
        return;
    }
    let text = Arc::new(printable_lines(&why.to_string()) + "\n");
    let (written, result) = mpsc::channel();
    let (text_for_thread, to_for_thread) = (Arc::clone(&text), to.clone());
    let thread = thread::Builder::new().name("termination".into()).spawn(move || {
        signals::block_all();
        write_beginning(&to_for_thread, &text_for_thread);
        let _ = written.send(());
    });
    if thread.is_ok() {
        let _ = result.recv_timeout(TIMEOUT);
    } else {
        // A shortage of threads may be the reason.
        write_beginning(to, &text);
    }
}

fn write_beginning(to: &TerminationLog, text: &str) {
    if let Ok(Some(file)) = open(to) {
        let _ = write(&file, &beginning(text, MAX_BYTES));
    }
}

impl Cause {
    /// The text of the message.
    fn message(&self, machine: &Machine, code: ExitCode, logs: &Logs) -> String {
        let mut failed = machine.failures();
        // The app that ended procrun comes before apps that failed earlier without ending it.
        failed.sort_by_key(|view| Some(view.id) != self.culprit);
        let lines = failed.first().map(|view| last_lines(logs, view.pm_id)).unwrap_or_default();
        let stop_reason = self.stop_reason.as_deref().filter(|_| self.culprit.is_none());
        let failed: Vec<Failed> = failed.iter().map(Failed::of).collect();
        compose(stop_reason, &failed, code, &lines)
    }
}

/// An application that has failed for good.
struct Failed {
    /// `api (0)`.
    instance: String,
    /// `errored: code 1, up 1.2 s`.
    end: String,
}

impl Failed {
    fn of(view: &InstanceView<'_>) -> Self {
        let mut end = match view.past_runs.last() {
            Some(past) => {
                let prefix = if view.has_errored { "errored: " } else { past.ending.prefix() };
                let text = EndText { ending: &past.ending, uptime: past.uptime, cause: past.reason.as_ref() };
                format!("{prefix}{text}")
            }
            None if view.has_errored => "errored".to_owned(),
            // Its dependency has failed.
            None => "was not started".to_owned(),
        };
        if view.has_errored && view.unstable_runs > 1 {
            write!(end, ", {} unstable runs in a row", view.unstable_runs)
                .expect("writing to a String cannot fail");
        }
        Self { instance: view.subject().to_string(), end }
    }
}

/// The whole text, at most [`MAX_BYTES`] bytes. `lines` are those of the first that failed; of them the end is kept.
fn compose(stop_reason: Option<&str>, failed: &[Failed], code: ExitCode, lines: &str) -> String {
    let ends = format!("procrun exits with code {code}");
    let mut head = match (stop_reason, failed.first()) {
        (Some(reason), None) => format!("{reason}; {ends}\n"),
        (Some(reason), Some(Failed { instance, end })) => {
            format!("{reason}; {ends}\nbefore that {instance} {end}\n")
        }
        (None, Some(Failed { instance, end })) => format!("{instance} {end}; {ends}\n"),
        (None, None) => format!("all apps have exited successfully; {ends}\n"),
    };
    if let [_, others @ ..] = failed
        && !others.is_empty()
    {
        let mut names: Vec<&str> = others.iter().take(MAX_APP_NAMES).map(|other| &*other.instance).collect();
        let more = format!("{} more", others.len().saturating_sub(MAX_APP_NAMES));
        if others.len() > MAX_APP_NAMES {
            names.push(&more);
        }
        writeln!(head, "also failed: {}", names.join(", ")).expect("writing to a String cannot fail");
    }
    let mut text = beginning(&printable_lines(&head), MAX_HEAD_BYTES);
    if let Some(Failed { instance, .. }) = failed.first()
        && !lines.is_empty()
    {
        let title = format!("last lines of {instance}:\n");
        let room = MAX_BYTES - text.len() - title.len();
        text.push_str(&title);
        text.push_str(&end(lines, room));
    }
    text
}

/// The last lines of an application, without control sequences.
fn last_lines(logs: &Logs, pm_id: u32) -> String {
    let mut recent = logs.follow(Filter { ids: vec![pm_id], ..Filter::default() }, MAX_LINES);
    let mut lines = String::new();
    while let Some(batch) = recent.recent() {
        for line in batch.lines() {
            // A piece of a long line is 256 KiB.
            let from = line.bytes.len().saturating_sub(MAX_BYTES);
            lines.push_str(&log_line(&String::from_utf8_lossy(&line.bytes[from..])));
            if line.end == Edge::Line {
                lines.push('\n');
            }
            if lines.len() > 4 * MAX_BYTES {
                lines.drain(..boundary_from(&lines, lines.len() - 2 * MAX_BYTES));
            }
        }
    }
    lines
}

/// The beginning of a text, with at most this number of bytes.
fn beginning(text: &str, most: usize) -> String {
    const CUT: &str = "…\n";
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}{CUT}", &text[..boundary_until(text, most - CUT.len())])
}

/// The end of the lines, with at most this number of bytes: whole lines, or the end of one that is too long.
fn end(lines: &str, most: usize) -> String {
    const CUT: &str = "…";
    if lines.len() <= most {
        return lines.to_owned();
    }
    let rest = &lines[boundary_from(lines, lines.len() - most)..];
    let before = lines.as_bytes()[lines.len() - rest.len() - 1];
    match rest.find('\n') {
        _ if before == b'\n' => rest.to_owned(),
        Some(at) if at + 1 < rest.len() => rest[at + 1..].to_owned(),
        _ => format!("{CUT}{}", &rest[boundary_from(rest, CUT.len())..]),
    }
}

/// The first index from `at` on at which a character begins, or the end.
fn boundary_from(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// The last index until `at` at which a character begins.
fn boundary_until(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The file, if it is configured. It must be a regular file, which never makes a writer wait.
fn open(to: &TerminationLog) -> Result<Option<File>, (&Path, io::Error)> {
    let (path, make) = match to {
        TerminationLog::Off => return Ok(None),
        TerminationLog::IfThere => (Path::new(KUBERNETES_PATH), false),
        TerminationLog::File(path) => (path.as_path(), true),
    };
    let (_rights, is_trusted) = FileRights::on_own(path);
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    flags.set(OFlag::O_NOFOLLOW, !is_trusted);
    let mut options = OpenOptions::new();
    options.write(true).create(make).custom_flags(flags.bits());
    let is_file = |file: File| {
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let found = file.metadata()?;
        if !found.is_file() {
            return wrong("it is not a regular file");
        }
        if !is_trusted && found.nlink() > 1 {
            return wrong("it has several hard links, and another user can write to its directory");
        }
        Ok(file)
    };
    match options.open(path).and_then(is_file) {
        Ok(file) => Ok(Some(file)),
        Err(error) if !make && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err((path, error)),
    }
}

fn write(file: &File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(text.as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(names: &[&str]) -> Vec<Failed> {
        let end = "errored: code 1, up 1.2 s, 16 unstable runs in a row";
        names.iter().map(|&instance| Failed { instance: instance.to_owned(), end: end.to_owned() }).collect()
    }

    #[test]
    fn the_failed_app_comes_first_and_then_its_last_lines() {
        assert_eq!(
            compose(None, &failed(&["api (0)"]), 1, "Error: no\n    at x\n"),
            "api (0) errored: code 1, up 1.2 s, 16 unstable runs in a row; procrun exits with code 1\n\
             last lines of api (0):\nError: no\n    at x\n"
        );
        let text = compose(None, &failed(&["a (0)", "b (1)", "c (2)"]), 1, "");
        assert!(text.ends_with("code 1\nalso failed: b (1), c (2)\n"), "{text}");
    }

    #[test]
    fn a_stop_is_one_line_unless_something_had_failed() {
        let asked = Some("stopped by SIGTERM");
        assert_eq!(compose(asked, &[], 0, ""), "stopped by SIGTERM; procrun exits with code 0\n");
        assert_eq!(
            compose(asked, &failed(&["api (0)"]), 0, "gone\n"),
            "stopped by SIGTERM; procrun exits with code 0\n\
             before that api (0) errored: code 1, up 1.2 s, 16 unstable runs in a row\n\
             last lines of api (0):\ngone\n"
        );
        assert_eq!(
            compose(None, &[], 0, ""),
            "all apps have exited successfully; procrun exits with code 0\n"
        );
    }

    #[test]
    fn whatever_there_is_to_say_it_is_not_more_than_is_shown() {
        let many: Vec<String> = (0..1000).map(|number| format!("{}ü ({number})", "n".repeat(200))).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for lines in ["", "x\n", &"zeile ü\n".repeat(1000), &"ü".repeat(100_000), &"日本".repeat(4000)] {
            for names in [&many[..], &many[..1]] {
                let text = compose(Some("stopped"), &failed(names), 0, lines);
                assert!(text.len() <= MAX_BYTES, "{}", text.len());
                assert!(text.contains("last lines of") != lines.is_empty());
            }
        }
        let text = compose(None, &failed(&["a (0)"]), 1, &"ü".repeat(100_000));
        assert!(
            text.len() > MAX_BYTES - 8 && text.ends_with("üü") && text.contains(":\n…ü"),
            "{}",
            text.len()
        );
    }

    #[test]
    fn the_end_of_lines_is_kept_and_whole_lines_where_they_fit() {
        assert_eq!(end("one\ntwo\nthree\n", 100), "one\ntwo\nthree\n");
        assert_eq!(end("one\ntwo\nthree\n", 11), "two\nthree\n");
        assert_eq!(end("one\ntwo\nthree\n", 10), "two\nthree\n");
        assert_eq!(end("one\ntwo\nthree\n", 9), "three\n");
        assert_eq!(end("0123456789\n", 8), "…6789\n");
        assert_eq!(beginning("0123456789", 10), "0123456789");
        assert_eq!(beginning("0123456789ü", 10), "012345…\n");
    }

    #[test]
    fn nothing_in_it_steers_a_terminal() {
        // Lines have been through `log_line` when they come here.
        let text = compose(Some("a\x1b[2Jb"), &failed(&["\u{202e}api (0)"]), 0, "");
        assert!(
            text.starts_with("a\\u{1b}[2Jb; procrun") && text.contains("before that \\u{202e}api (0)"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn only_a_regular_file_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let to = |name: &str| TerminationLog::File(dir.path().join(name));
        let file = to("new");
        write(&open(&file).unwrap().unwrap(), "first, and longer\n").unwrap();
        write(&open(&file).unwrap().unwrap(), "second\n").unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("new")).unwrap(), "second\n");
        // With a reader, or opening it would fail anyway.
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _reader =
            OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&fifo).unwrap();
        for refused in [to("fifo"), to("not/there"), to(""), TerminationLog::File("/dev/null".into())] {
            assert!(open(&refused).is_err(), "{refused:?}");
        }
        assert!(open(&TerminationLog::Off).unwrap().is_none());
    }
}
