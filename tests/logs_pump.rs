//! The log pump with real pipes and files: what arrives, in which order, and what happens when the
//! other side does not play along.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::pipe2,
};
use procrun::{
    logs::{Label, Logs, Sinks},
    spec::{FileSpec, LogSpec, LogStyle, RuntimeLog},
};
use tokio::sync::oneshot::error::TryRecvError;
use tracing::Level;

const DEADLINE: Duration = Duration::from_secs(20);

/// A pipe whose ends are plain files.
fn pipe(capacity: i32) -> (File, File) {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(capacity)).unwrap();
    (read.into(), write.into())
}

/// A pump, and the ends of its stdout and stderr.
struct Setup {
    logs: Logs,
    out: File,
    err: File,
}

fn start(log: &RuntimeLog) -> Setup {
    let (out, out_write) = pipe(1 << 20);
    let (err, err_write) = pipe(1 << 20);
    let logs = Logs::start_with(log, out_write.into(), err_write.into()).unwrap();
    Setup { logs, out, err }
}

fn styled(style: LogStyle) -> RuntimeLog {
    RuntimeLog { style, ..RuntimeLog::default() }
}

/// An instance that is added, by the write ends of its pipes.
struct Worker {
    out: File,
    err: File,
}

fn add(logs: &Logs, id: u32, name: &str, sinks: Sinks) -> Worker {
    let (out_read, out) = pipe(1 << 20);
    let (err_read, err) = pipe(1 << 20);
    logs.add(Label { id, name: name.to_owned() }, sinks, out_read.into(), err_read.into());
    Worker { out, err }
}

/// Waits until everything sent and written so far is out.
fn settle(logs: &Logs) {
    let mut done = logs.finish();
    until("the pump to finish", || match done.try_recv() {
        Ok(()) => Some(()),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Closed) => panic!("the pump is gone"),
    });
}

/// Waits for a condition.
#[expect(clippy::disallowed_methods, reason = "a deadline and a pause between two looks")]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Ends the pump and returns all it wrote.
fn finish(setup: Setup) -> (String, String) {
    let Setup { logs, out, err } = setup;
    drop(logs);
    let text = |mut end: File| {
        let mut bytes = Vec::new();
        end.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    (text(out), text(err))
}

fn file(path: impl Into<PathBuf>) -> FileSpec {
    FileSpec { path: path.into(), max_size: 10 << 20, keep: 5, compress: false }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = read("/proc/self/statm");
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn lines_get_aligned_prefixes_and_stay_on_their_stream() {
    let setup = start(&RuntimeLog::default());
    let mut main = add(&setup.logs, 0, "main", Sinks::default());
    main.out.write_all(b"first\n").unwrap();
    settle(&setup.logs);
    let mut other = add(&setup.logs, 11, "other-one", Sinks::default());
    other.out.write_all(b"second\n").unwrap();
    settle(&setup.logs);
    main.out.write_all(b"th").unwrap();
    main.out.write_all(b"ird\r\n\n").unwrap();
    main.err.write_all(b"oh\n").unwrap();
    setup.logs.run_ended(0);
    setup.logs.own(Level::INFO, "main exited");
    setup.logs.own(Level::WARN, "odd");
    let (out, err) = finish(setup);
    assert_eq!(out, "0|main | first\n11|other-one | second\n0|main       | third\r\n0|main       | \n");
    assert_eq!(err, "0|main       | oh\nprocrun      | main exited\nprocrun      | warn: odd\n");
}

#[test]
fn last_words_come_before_what_is_said_after_them() {
    // All on one pipe, so that the order is seen.
    let (mut read, write) = pipe(1 << 20);
    let logs =
        Logs::start_with(&RuntimeLog::default(), write.try_clone().unwrap().into(), write.into()).unwrap();
    for run in 0..200 {
        let mut worker = add(&logs, run, "main", Sinks::default());
        worker.out.write_all(b"one\nlast words").unwrap();
        worker.err.write_all(b"no!").unwrap();
        logs.run_ended(run);
        logs.own(Level::INFO, "exited");
        logs.remove(run);
    }
    drop(logs);
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    let texts: Vec<&str> = text.lines().map(|line| line.split(" | ").nth(1).unwrap()).collect();
    assert_eq!(texts.len(), 800);
    for run in texts.chunks(4) {
        assert_eq!(run, ["one", "last words", "no!", "exited"]);
    }
}

#[test]
fn an_orphan_that_goes_on_writing_is_heard_and_holds_nothing_up() {
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
fn a_blocked_stdout_holds_back_the_worker_and_nobody_else() {
    let Setup { logs, out, err } = start(&RuntimeLog::default());
    let worker = add(&logs, 0, "main", Sinks::default());
    let flags = OFlag::O_NONBLOCK;
    fcntl(&worker.out, FcntlArg::F_SETFL(flags)).unwrap();
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    let mut written = 0;
    // Both pipes and the pump's buffers fill, then no more goes in.
    let mut full = 0;
    until("the worker's pipe to stay full", || {
        full += 1;
        while let Ok(count) = (&worker.out).write(&line) {
            assert_eq!(count, 100, "no partial writes below PIPE_BUF");
            written += 1;
            full = 0;
        }
        (full == 50).then_some(())
    });
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

#[test]
fn a_stdout_that_nobody_reads_any_more_is_said_once_and_workers_go_on() {
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
    assert!(lines[0].starts_with("procrun | warn: nobody reads stdout any more"), "{}", lines[0]);
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

#[test]
fn a_line_of_64_mib_leaves_in_marked_pieces_and_bounded_memory() {
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
fn bytes_that_are_no_utf8_go_through_unharmed() {
    let Setup { logs, mut out, .. } = start(&styled(LogStyle::Raw));
    let mut worker = add(&logs, 0, "main", Sinks::default());
    let bytes: Vec<u8> = (0..=255).chain([b'\n']).collect();
    worker.out.write_all(&bytes).unwrap();
    settle(&logs);
    drop(logs);
    let mut found = Vec::new();
    out.read_to_end(&mut found).unwrap();
    assert_eq!(found, bytes);
}

#[test]
fn json_records_are_pm2s_and_hold_procruns_own_lines_too() {
    let setup = start(&styled(LogStyle::Json));
    let mut plain = add(&setup.logs, 0, "main", Sinks::default());
    let spec = LogSpec { json: true, ..LogSpec::default() };
    let mut merged = add(&setup.logs, 1, "pino", Sinks { spec, ..Sinks::default() });
    plain.out.write_all(b"caf\xc3\xa9 \xff\x01\n{\"a\":1}\n").unwrap();
    settle(&setup.logs);
    merged.out.write_all(b"{\"level\":30,\"msg\":\"hi\"}\nno json\n").unwrap();
    setup.logs.own(Level::WARN, "odd");
    let (out, err) = finish(setup);
    let records: Vec<serde_json::Value> =
        out.lines().chain(err.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["message"], "café \\xff\u{1}");
    let keys: Vec<&String> = records[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    let stamp = records[0]["timestamp"].as_str().unwrap();
    assert!(stamp.len() == 24 && stamp.ends_with('Z') && stamp.as_bytes()[10] == b'T', "{stamp}");
    assert_eq!((&records[0]["type"], &records[0]["process_id"]), (&"out".into(), &0.into()));
    assert_eq!(records[1]["message"], "{\"a\":1}", "not merged unless asked for");
    assert_eq!((&records[2]["msg"], &records[2]["app_name"]), (&"hi".into(), &"pino".into()));
    assert_eq!(records[3]["message"], "no json");
    assert_eq!((&records[4]["app_name"], &records[4]["level"]), (&"procrun".into(), &"warn".into()));
}

#[test]
fn a_time_stands_before_the_text_as_in_pm2() {
    let log = RuntimeLog { date_format: Some("[T]".to_owned()), ..RuntimeLog::default() };
    let setup = start(&log);
    let spec = LogSpec { date_format: Some("[own time]".to_owned()), ..LogSpec::default() };
    let mut own = add(&setup.logs, 0, "a", Sinks { spec, ..Sinks::default() });
    own.out.write_all(b"x\n").unwrap();
    settle(&setup.logs);
    let mut other = add(&setup.logs, 1, "b", Sinks::default());
    other.out.write_all(b"y\n").unwrap();
    settle(&setup.logs);
    setup.logs.own(Level::INFO, "z");
    let (out, err) = finish(setup);
    assert_eq!(out, "0|a | own time: x\n1|b | T: y\n");
    assert_eq!(err, "procrun | T: z\n");
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

#[test]
fn disabled_logs_are_read_and_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let setup = start(&RuntimeLog::default());
    let spec = LogSpec { disabled: true, ..LogSpec::default() };
    let mut worker = add(&setup.logs, 0, "main", Sinks { spec, out: Some(file(&path)), ..Sinks::default() });
    for _ in 0..40 {
        worker.out.write_all(&vec![b'x'; 1 << 17]).unwrap();
    }
    assert_eq!(finish(setup), (String::new(), String::new()));
    assert!(!path.exists());
}

#[test]
fn a_pipe_that_every_writer_has_closed_gives_its_last_line() {
    let setup = start(&RuntimeLog::default());
    let mut worker = add(&setup.logs, 0, "main", Sinks::default());
    worker.out.write_all(b"bye").unwrap();
    drop(worker);
    settle(&setup.logs);
    setup.logs.run_ended(0);
    setup.logs.remove(0);
    let (out, _) = finish(setup);
    assert_eq!(out, "0|main | bye\n");
}

#[test]
fn files_hold_the_lines_without_prefix_and_may_be_shared() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join("made/for/it").join(name);
    let setup = start(&RuntimeLog::default());
    let sinks = || Sinks {
        out: Some(file(path("out.log"))),
        error: Some(file(path("err.log"))),
        combined: Some(file(path("all.log"))),
        ..Sinks::default()
    };
    let mut first = add(&setup.logs, 0, "main", sinks());
    let mut second = add(&setup.logs, 1, "main", sinks());
    let same = Some(file(path("same.log")));
    let mut third =
        add(&setup.logs, 2, "same", Sinks { out: same.clone(), combined: same, ..Sinks::default() });
    first.out.write_all(b"a\n").unwrap();
    settle(&setup.logs);
    second.err.write_all(b"b\npart").unwrap();
    setup.logs.run_ended(1);
    settle(&setup.logs);
    setup.logs.remove(0);
    second.out.write_all(b"c\r\n").unwrap();
    third.out.write_all(b"once\n").unwrap();
    finish(setup);
    assert_eq!(read(path("out.log")), "a\nc\r\n");
    assert_eq!(read(path("err.log")), "b\npart\n");
    assert_eq!(read(path("all.log")), "a\nb\npart\nc\r\n");
    assert_eq!(read(path("same.log")), "once\n");
}

#[test]
fn files_of_an_application_with_json_logs_hold_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let setup = start(&RuntimeLog::default());
    let spec = LogSpec { json: true, date_format: Some("[D]".to_owned()), ..LogSpec::default() };
    let mut worker = add(&setup.logs, 0, "main", Sinks { spec, out: Some(file(&path)), ..Sinks::default() });
    worker.out.write_all(b"text\n{}\n").unwrap();
    let (out, _) = finish(setup);
    assert_eq!(out, "0|main | D: text\n0|main | D: {}\n");
    assert_eq!(
        read(&path),
        "{\"message\":\"text\",\"timestamp\":\"D\",\"type\":\"out\",\"process_id\":0,\"app_name\":\"main\"}\n\
         {\"timestamp\":\"D\",\"type\":\"out\",\"process_id\":0,\"app_name\":\"main\"}\n"
    );
}

#[test]
fn rotation_keeps_the_youngest_and_splits_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let spec = FileSpec { path: path.clone(), max_size: 100, keep: 3, compress: false };
    let setup = start(&styled(LogStyle::Raw));
    let mut worker = add(&setup.logs, 0, "main", Sinks { out: Some(spec), ..Sinks::default() });
    let lines: Vec<String> = (0..40).map(|number| format!("{number:0>14}\n")).collect();
    worker.out.write_all(lines.concat().as_bytes()).unwrap();
    settle(&setup.logs);
    // Longer than the limit: a file for itself.
    let long = format!("{}\n", "L".repeat(250));
    worker.out.write_all(long.as_bytes()).unwrap();
    worker.out.write_all(b"after\n").unwrap();
    finish(setup);
    let numbered = |number: u32| read(dir.path().join(format!("out.log.{number}")));
    assert_eq!(read(&path), "after\n");
    assert_eq!(numbered(1), long);
    assert_eq!(numbered(2), lines[36..].concat());
    assert_eq!(numbered(3), lines[30..36].concat());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
}

#[test]
fn rotated_files_are_compressed_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let spec = FileSpec { path: path.clone(), max_size: 64 * 1024, keep: 1000, compress: true };
    let setup = start(&RuntimeLog::default());
    let mut worker = add(&setup.logs, 0, "main", Sinks { out: Some(spec), ..Sinks::default() });
    let Setup { logs, mut out, .. } = setup;
    let reader = thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()).unwrap());
    let total = 60_000;
    for number in 0..total {
        writeln!(worker.out, "line {number:0>40}").unwrap();
    }
    settle(&logs);
    drop(logs);
    reader.join().unwrap();
    let names = || -> Vec<String> {
        fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    until("everything older to be compressed", || {
        names().iter().all(|name| name == "out.log" || name.rsplit('.').next() == Some("gz")).then_some(())
    });
    let count = names().len();
    assert!(count > 30, "{count} files");
    let mut all = String::new();
    for number in (1..count).rev() {
        let packed = File::open(dir.path().join(format!("out.log.{number}.gz"))).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut all).unwrap();
    }
    all.push_str(&read(&path));
    assert_eq!(all.lines().count(), total);
    for (number, line) in all.lines().enumerate() {
        assert_eq!(line, format!("line {number:0>40}"));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_once_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_retain(0o600)).unwrap();
    let setup = start(&styled(LogStyle::Raw));
    for (id, path) in [(0, PathBuf::from("/dev/full")), (1, dir.path().to_owned()), (2, fifo)] {
        let sinks = Sinks { out: Some(file(path)), ..Sinks::default() };
        let mut worker = add(&setup.logs, id, "main", sinks);
        for _ in 0..10 {
            worker.out.write_all(b"line\n").unwrap();
            settle(&setup.logs);
        }
        setup.logs.remove(id);
    }
    let (out, err) = finish(setup);
    assert_eq!(out, "line\n".repeat(30), "stdout is unharmed");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 6, "{err}");
    for (pair, why) in lines.chunks(2).zip(["No space left", "is a directory", "a FIFO that nobody reads"]) {
        assert!(pair[0].contains("error: cannot write the log file") && pair[0].contains(why), "{}", pair[0]);
        assert!(pair[1].ends_with("is closed, 10 lines lost"), "{}", pair[1]);
    }
}

/// A small file system of its own, gone when dropped.
struct SmallDisk(tempfile::TempDir);

#[expect(clippy::disallowed_methods, reason = "a test runs mount and waits for it")]
fn run(program: &str, args: &[&str]) {
    let status = std::process::Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?} (tests run as root)");
}

impl SmallDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", dir.path().to_str().unwrap()]);
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.path().to_str().unwrap()]);
    }
}

#[test]
fn a_full_disk_costs_counted_lines_and_ends() {
    let disk = SmallDisk::new();
    let path = disk.0.path().join("out.log");
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 40 * 1024]).unwrap();
    let setup = start(&styled(LogStyle::Raw));
    let mut worker = add(&setup.logs, 0, "main", Sinks { out: Some(file(&path)), ..Sinks::default() });
    // Of a length that does not fit pages, so that the last one is torn.
    let line = |number: usize| format!("{number:0>6} {}\n", "d".repeat(900));
    let mut written = 0;
    for _ in 0..40 {
        worker.out.write_all(line(written).as_bytes()).unwrap();
        written += 1;
        settle(&setup.logs);
    }
    let torn = read(&path);
    assert!(!torn.ends_with('\n'), "the disk is full within a line");
    fs::remove_file(&ballast).unwrap();
    let after = until("the file to take lines again", || {
        worker.out.write_all(line(written).as_bytes()).unwrap();
        written += 1;
        settle(&setup.logs);
        let text = read(&path);
        (text.len() > torn.len()).then_some(text)
    });
    let (out, err) = finish(setup);
    assert_eq!(out.lines().count(), written, "stdout is unharmed");
    let said: Vec<&str> = err.lines().collect();
    assert_eq!(said.len(), 2, "{err}");
    assert!(said[0].contains("No space left on device"), "{}", said[0]);
    let lost: usize = said[1]
        .split_once("can be written again, ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{}", said[1]));
    let whole = after.lines().filter(|line| line.len() == 907).count();
    assert_eq!(whole + lost, written, "every line is in the file or counted");
    assert_eq!(after.lines().count(), whole + 1, "the torn line has its end");
    assert_eq!(after.lines().last().map(str::len), Some(907));
}

#[test]
fn tracing_events_become_own_lines() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let setup = start(&RuntimeLog::default());
    let layer = procrun::logs::layer(setup.logs.clone(), procrun::spec::Verbosity::Info);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(app = "main", code = 1, why = "a b", "exited");
        tracing::error!("bad");
        tracing::debug!("not said");
    });
    let (_, err) = finish(setup);
    assert_eq!(err, "procrun | exited app=main code=1 why=\"a b\"\nprocrun | error: bad\n");
}

/// Keeps the type of the descriptors that the pump takes in view.
#[test]
fn a_handle_is_cheap_to_share() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Logs>();
    let _: fn(&RuntimeLog, OwnedFd, OwnedFd) -> std::io::Result<Logs> = Logs::start_with;
}

#[test]
fn a_file_moved_away_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let setup = start(&styled(LogStyle::Raw));
    let mut worker = add(&setup.logs, 0, "main", Sinks { out: Some(file(&path)), ..Sinks::default() });
    worker.out.write_all(b"before\n").unwrap();
    settle(&setup.logs);
    let moved = dir.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    until("a new file", || {
        worker.out.write_all(b"line\n").unwrap();
        settle(&setup.logs);
        path.exists().then_some(())
    });
    fs::remove_file(&path).unwrap();
    until("another one", || {
        worker.out.write_all(b"line\n").unwrap();
        settle(&setup.logs);
        path.exists().then_some(())
    });
    assert!(read(&moved).starts_with("before\n"));
    assert_eq!(read(&path), "line\n");
}

#[test]
fn colours_are_for_terminals_only() {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let (mut err, err_write) = pipe(1 << 16);
    let logs = Logs::start_with(&RuntimeLog::default(), terminal.slave, err_write.into()).unwrap();
    let mut worker = add(&logs, 0, "main", Sinks::default());
    worker.out.write_all(b"text\n").unwrap();
    worker.err.write_all(b"text\n").unwrap();
    settle(&logs);
    drop(logs);
    let mut out = String::new();
    BufReader::new(File::from(terminal.master)).read_line(&mut out).unwrap();
    let mut error = String::new();
    err.read_to_string(&mut error).unwrap();
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("CLICOLOR_FORCE") {
        assert_eq!(error, "\x1b[0;38;5;32m0|main |\x1b[0m text\n");
        return;
    }
    assert_eq!(error, "0|main | text\n");
    let coloured = "\x1b[0;38;5;32m0|main |\x1b[0m text\r\n";
    assert_eq!(out, if set("NO_COLOR") { "0|main | text\r\n" } else { coloured });
}
