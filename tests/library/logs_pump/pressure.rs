//! Readers that do not read, writers that never stop, lines without end.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    sync::mpsc,
    thread,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use procrun::{
    logs::{Logs, Sinks},
    spec::{LogStyle, RuntimeLog},
};
use tokio::sync::oneshot::error::TryRecvError;
use tracing::Level;

use super::support::{DEADLINE, Setup, Worker, add, finish, pipe, read, settle, start, styled, until};

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = read("/proc/self/statm");
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn an_orphan_that_keeps_writing_is_read_and_delays_nothing() {
    let setup = start(&RuntimeLog::default());
    let worker = add(&setup.logs, 0, "main", Sinks::default());
    let Setup { logs, mut out, .. } = setup;
    let (stop, stopped) = mpsc::channel::<()>();
    let mut orphan = worker.out.try_clone().unwrap();
    let writer = thread::spawn(move || {
        while stopped.try_recv().is_err() {
            orphan.write_all(&b"still here\n".repeat(1000)).unwrap();
        }
    });
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).unwrap();
        bytes
    });
    for _ in 0..20 {
        logs.run_ended(0);
        settle(&logs);
    }
    stop.send(()).unwrap();
    writer.join().unwrap();
    drop(logs);
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    // Where a run ended within a line, the line has its end there.
    assert!(text.lines().all(|line| line.starts_with("0|main | ")));
    let whole = text.lines().filter(|line| *line == "0|main | still here").count();
    // 40 ends at most, each within one line.
    assert!(whole + 80 >= text.lines().count(), "{whole} of {}", text.lines().count());
}

#[test]
fn a_blocked_stdout_delays_the_worker_and_nothing_else() {
    let Setup { logs, out, err } = start(&RuntimeLog::default());
    let worker = add(&logs, 0, "main", Sinks::default());
    let written = block(&worker);
    let own = 50_000;
    for number in 0..own {
        logs.own(Level::INFO, format!("own line {number}"));
    }
    logs.run_ended(0);
    let mut done = logs.finish();
    assert!(matches!(done.try_recv(), Err(TryRecvError::Empty)));
    let count = |end: File| thread::spawn(move || BufReader::new(end).lines().map(Result::unwrap).collect());
    let (out, err): (thread::JoinHandle<Vec<String>>, thread::JoinHandle<Vec<String>>) =
        (count(out), count(err));
    settle(&logs);
    drop(logs);
    let out = out.join().unwrap();
    assert_eq!(out.len(), written, "nothing of the worker's is lost");
    assert!(out.iter().all(|line| line.len() == "0|main | ".len() + 99));
    let err = err.join().unwrap();
    let (dropped, said): (Vec<_>, Vec<_>) = err.iter().partition(|line| line.contains("were dropped"));
    let number = |line: &String| line.split(' ').find_map(|word| word.parse::<usize>().ok()).unwrap();
    let dropped: usize = dropped.into_iter().map(number).sum();
    assert!(dropped > 0);
    assert_eq!(said.len() + dropped, own, "every own line was written or counted");
}

/// Writes to a stdout without a reader until its worker is held.
pub(crate) fn block(worker: &Worker) -> usize {
    fcntl(&worker.out, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    let (mut written, mut full) = (0, 0);
    until("the worker's pipe to stay full", || {
        full += 1;
        while let Ok(count) = (&worker.out).write(&line) {
            assert_eq!(count, 100, "no partial writes below PIPE_BUF");
            written += 1;
            full = 0;
        }
        (full == 50).then_some(())
    });
    written
}

#[test]
fn own_lines_pass_a_blocked_stdout_in_their_order() {
    for style in [LogStyle::Prefix, LogStyle::Json] {
        let Setup { logs, out, err } = start(&styled(style));
        let worker = add(&logs, 0, "main", Sinks::default());
        let other = add(&logs, 1, "other", Sinks::default());
        let written = block(&worker);
        let (said, heard) = mpsc::channel();
        let ear =
            thread::spawn(move || BufReader::new(err).lines().try_for_each(|line| said.send(line.unwrap())));
        let next = || heard.recv_timeout(DEADLINE).expect("an own line");
        for number in 0..100 {
            logs.run_ended(1);
            logs.own(Level::INFO, format!("own line {number}"));
        }
        logs.remove(1);
        logs.own(Level::WARN, "the last one");
        for number in 0..100 {
            let line = next();
            assert!(line.contains(&format!("own line {number}")), "{number}: {line}");
            assert_eq!(line.starts_with('{'), style == LogStyle::Json, "in the usual form: {line}");
        }
        assert!(next().contains("the last one"));
        let mut done = logs.finish();
        assert!(matches!(done.try_recv(), Err(TryRecvError::Empty)), "stdout is blocked as before");
        let reader = thread::spawn(move || BufReader::new(out).lines().count());
        settle(&logs);
        drop((logs, worker, other));
        ear.join().unwrap().unwrap();
        assert_eq!(reader.join().unwrap(), written, "nothing of the worker's is lost");
    }
}

/// A line that stderr has taken in part is ended before anything else goes there.
#[test]
fn an_own_line_is_whole_however_little_room_stderr_has() {
    let ((out, out_write), (err, err_write)) = (pipe(1 << 16), pipe(4096));
    let logs = Logs::start_with(&styled(LogStyle::Raw), out_write.into(), err_write.into()).unwrap();
    let worker = add(&logs, 0, "main", Sinks::default());
    let written = block(&worker);
    // More than the pipe takes, so that a part of each is written without a reader.
    let long = "o".repeat(10_000);
    for _ in 0..5 {
        logs.own(Level::INFO, long.clone());
    }
    let flags = OFlag::O_NONBLOCK;
    fcntl(&err, FcntlArg::F_SETFL(flags)).unwrap();
    let mut said = Vec::new();
    until("the first line to be there in part", || {
        let mut byte = [0; 100];
        let count = (&err).read(&mut byte).unwrap_or(0);
        said.extend_from_slice(&byte[..count]);
        (!said.is_empty()).then_some(())
    });
    fcntl(&err, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (&worker.err).write_all(b"from the worker\n").unwrap();
    let reader = thread::spawn(move || BufReader::new(out).lines().count());
    let rest = thread::spawn(move || {
        let mut rest = Vec::new();
        { err }.read_to_end(&mut rest).unwrap();
        rest
    });
    settle(&logs);
    drop(logs);
    assert_eq!(reader.join().unwrap(), written);
    said.extend(rest.join().unwrap());
    let text = String::from_utf8(said).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.retain(|line| *line != "from the worker");
    assert_eq!(lines, vec![format!("procrun | {long}"); 5]);
}

#[test]
fn a_stdout_without_a_reader_is_reported_once_and_workers_go_on() {
    let Setup { logs, out, err } = start(&RuntimeLog::default());
    drop(out);
    let mut worker = add(&logs, 0, "main", Sinks::default());
    for _ in 0..50 {
        worker.out.write_all(&vec![b'y'; 1 << 17]).unwrap();
        worker.out.write_all(b"\n").unwrap();
        settle(&logs);
    }
    worker.err.write_all(b"stderr lives\n").unwrap();
    let (_, err) = finish(Setup { logs, out: File::open("/dev/null").unwrap(), err });
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("procrun | warn: stdout no longer has a reader"), "{}", lines[0]);
    assert_eq!(lines[1], "0|main | stderr lives");
}

#[test]
fn a_non_blocking_stdout_loses_nothing() {
    let (read, write) = pipe(4096);
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let logs =
        Logs::start_with(&styled(LogStyle::Raw), write.into(), File::create("/dev/null").unwrap().into())
            .unwrap();
    let mut worker = add(&logs, 0, "main", Sinks::default());
    let reader = thread::spawn(move || BufReader::new(read).lines().count());
    for _ in 0..10_000 {
        worker.out.write_all(b"a line of some length, so that the pipe is full soon\n").unwrap();
    }
    settle(&logs);
    drop(logs);
    assert_eq!(reader.join().unwrap(), 10_000);
}

/// Whether this process runs one test only. If not, the test of this name is run in one that does: what a process
/// has in memory is that of all its tests.
#[expect(clippy::disallowed_methods, reason = "the test itself, once more")]
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "PROCRUN_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

#[test]
fn a_line_of_64_mib_leaves_in_marked_pieces_and_bounded_memory() {
    if !is_alone("logs_pump::pressure::a_line_of_64_mib_leaves_in_marked_pieces_and_bounded_memory") {
        return;
    }
    let Setup { logs, mut out, .. } = start(&RuntimeLog::default());
    let mut worker = add(&logs, 0, "main", Sinks::default());
    settle(&logs);
    let before = resident();
    let reader = thread::spawn(move || {
        let mut beginning = Vec::new();
        let (mut text, mut lines, mut most) = (0, 0, 0);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = out.read(&mut buffer).unwrap();
            if count == 0 {
                return (text, lines, most, beginning);
            }
            text += memchr::memchr_iter(b'z', &buffer[..count]).count();
            lines += memchr::memchr_iter(b'\n', &buffer[..count]).count();
            most = most.max(resident());
            if beginning.len() < 1 << 20 {
                beginning.extend_from_slice(&buffer[..count]);
            }
        }
    });
    let chunk = vec![b'z'; 1 << 16];
    for _ in 0..1024 {
        worker.out.write_all(&chunk).unwrap();
    }
    worker.out.write_all(b"\n").unwrap();
    settle(&logs);
    drop(logs);
    let (text, lines, most, beginning) = reader.join().unwrap();
    assert_eq!((text, lines), (64 << 20, 256));
    assert!(most.saturating_sub(before) < 32 << 20, "{} KiB more", (most - before) / 1024);
    let beginning = String::from_utf8(beginning).unwrap();
    let mut pieces = beginning.lines();
    let (first, second) = (pieces.next().unwrap(), pieces.next().unwrap());
    assert!(first.starts_with("0|main | zzz") && first.ends_with("z [...]"));
    assert!(second.starts_with("0|main | [...] z") && second.ends_with("z [...]"));
}

#[test]
fn two_streams_and_many_writers_never_tear_a_line() {
    let (read, write) = pipe(1 << 16);
    let logs =
        Logs::start_with(&RuntimeLog::default(), write.try_clone().unwrap().into(), write.into()).unwrap();
    let writers: Vec<_> = (0..4)
        .flat_map(|id| {
            let Worker { out, err } = add(&logs, id, "w", Sinks::default());
            [(id, 'o', out), (id, 'e', err)]
        })
        .map(|(id, kind, mut end)| {
            thread::spawn(move || {
                for number in 0..5_000usize {
                    let line = format!("<{id}{kind} {}>\n", "#".repeat(number % 300));
                    // In two parts, so that reads end within lines.
                    let (one, two) = line.split_at(number % line.len());
                    end.write_all(one.as_bytes()).unwrap();
                    end.write_all(two.as_bytes()).unwrap();
                }
                end
            })
        })
        .collect();
    let reader = thread::spawn(move || {
        let mut lines = 0;
        for line in BufReader::new(read).lines() {
            let line = line.unwrap();
            let (id, text) = line.split_once("|w | ").unwrap_or_else(|| panic!("torn: {line}"));
            assert!(text.starts_with(&format!("<{id}")) && text.ends_with('>'), "torn: {line}");
            assert_eq!(text.matches('<').count(), 1, "torn: {line}");
            lines += 1;
        }
        lines
    });
    let ends: Vec<File> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    settle(&logs);
    drop((ends, logs));
    assert_eq!(reader.join().unwrap(), 4 * 2 * 5_000);
}
