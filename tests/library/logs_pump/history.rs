//! The recent lines and who follows them: which are kept, in which order, and what is said of those
//! that are not.

use std::{io::Write, thread, time::Duration};

use procrun::{
    logs::{Batch, FileSpec, Filter, Follower, Label, Logs, OwnLines, Sinks, StreamKind, frame::Edge},
    spec::{LogHistory, LogSpec, RuntimeLog},
};
use tokio::sync::oneshot::error::TryRecvError;
use tracing::Level;

use super::{
    pressure::block,
    support::{DEADLINE, Setup, Worker, add, pipe, read, settle, start, until},
};

/// A pump whose stdout and stderr are read.
struct Read {
    logs: Logs,
    readers: [thread::JoinHandle<u64>; 2],
}

fn with_readers(history: LogHistory) -> Read {
    let Setup { logs, out, err } = start(&RuntimeLog { history, ..RuntimeLog::default() });
    let readers = [out, err]
        .map(|mut end| thread::spawn(move || std::io::copy(&mut end, &mut std::io::sink()).unwrap()));
    Read { logs, readers }
}

impl Read {
    fn end(self) {
        drop(self.logs);
        for reader in self.readers {
            reader.join().unwrap();
        }
    }
}

/// What a follower finds at once: `name:text` a line, and how many it missed.
fn texts(follower: &mut Follower) -> (Vec<String>, u64) {
    let (mut lines, mut missed) = (Vec::new(), 0);
    while let Some(batch) = follower.recent() {
        missed += batch.missed;
        lines.extend(of(&batch));
    }
    (lines, missed)
}

fn of(batch: &Batch) -> Vec<String> {
    let text =
        |line: procrun::logs::Line<'_>| format!("{}:{}", line.name, String::from_utf8_lossy(line.bytes));
    batch.lines().map(text).collect()
}

fn recent(logs: &Logs, filter: Filter, lines: usize) -> Vec<String> {
    texts(&mut logs.follow(filter, lines)).0
}

fn named(name: &str) -> Filter {
    Filter { names: vec![name.to_owned()], ..Filter::default() }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await.expect("in time") })
}

#[test]
fn a_prompt_is_among_the_recent_lines() {
    let read = with_readers(LogHistory::default());
    let mut main = add(&read.logs, 0, "main", Sinks::default());
    main.out.write_all(b"before\nPassword: ").unwrap();
    let lines = until("the prompt", || {
        let lines = recent(&read.logs, Filter::default(), 10);
        (lines.len() > 1).then_some(lines)
    });
    assert_eq!(lines, ["main:before", "main:Password: "]);
    read.end();
}

#[test]
fn the_last_lines_of_the_requested_instances_are_in_order() {
    let Setup { logs, out: _out, err: _err } = start(&RuntimeLog::default());
    let mut a = add(&logs, 0, "a", Sinks::default());
    let mut b = add(&logs, 1, "b", Sinks::default());
    let quiet = LogSpec { disabled: true, ..LogSpec::default() };
    let mut c = add(&logs, 2, "c", Sinks { spec: quiet, ..Sinks::default() });
    a.out.write_all(b"one\ntwo\n").unwrap();
    settle(&logs);
    b.out.write_all(b"three\n").unwrap();
    settle(&logs);
    a.err.write_all(b"\xff\x1b[2J\r\n").unwrap();
    c.out.write_all(b"not kept\n").unwrap();
    settle(&logs);
    b.out.write_all(b"\nfour\npart").unwrap();
    logs.own(Level::WARN, "odd\nsecond");
    logs.run_ended(1);
    settle(&logs);
    let all = ["a:one", "a:two", "b:three", "a:\u{fffd}\u{1b}[2J\r", "b:", "b:four", "b:part"];
    assert_eq!(recent(&logs, Filter::default(), 100), all);
    let own = Filter { own: OwnLines::All, ..Filter::default() };
    let with_own: Vec<String> = recent(&logs, own, 100);
    assert_eq!(with_own.len(), all.len() + 2);
    for line in ["procrun:warn: odd", "procrun:warn: second"] {
        assert!(with_own.iter().any(|found| found == line), "{with_own:?}");
    }
    assert_eq!(recent(&logs, named("a"), 2), ["a:two", "a:\u{fffd}\u{1b}[2J\r"]);
    assert_eq!(recent(&logs, Filter { err: false, ..named("a") }, 1), ["a:two"]);
    assert_eq!(recent(&logs, Filter { ids: vec![1], ..Filter::default() }, 1), ["b:part"]);
    assert_eq!(recent(&logs, named("nobody"), 9), [""; 0]);
    // This number of each instance.
    assert_eq!(recent(&logs, Filter::default(), 1), ["a:\u{fffd}\u{1b}[2J\r", "b:part"]);
    assert_eq!(recent(&logs, Filter::default(), 0), [""; 0]);
    let mut follower = logs.follow(Filter { out: false, ..Filter::default() }, 5);
    let batch = follower.recent().unwrap();
    let line = batch.lines().next().unwrap();
    assert_eq!(
        (line.id, line.kind, line.begin, line.end),
        (Some(0), StreamKind::Err, Edge::Line, Edge::Line)
    );
    assert!(line.at > 1_600_000_000_000, "milliseconds since 1970: {}", line.at);
}

#[test]
fn the_history_keeps_its_limits() {
    let setup = with_readers(LogHistory { lines: 100, bytes: 64 * 1024 });
    let logs = &setup.logs;
    let mut many = add(logs, 0, "many", Sinks::default());
    let mut wide = add(logs, 1, "wide", Sinks::default());
    let lines: Vec<String> = (0..20_000).map(|number| format!("{number}\n")).collect();
    many.out.write_all(lines.concat().as_bytes()).unwrap();
    for number in 0..200 {
        writeln!(wide.out, "{number} {}", "w".repeat(3000)).unwrap();
    }
    settle(logs);
    let found = recent(logs, named("many"), usize::MAX);
    assert_eq!(found.last().unwrap(), "many:19999");
    assert!((100..=300).contains(&found.len()), "{} lines", found.len());
    assert_eq!(recent(logs, named("many"), 100), &found[found.len() - 100..]);
    let found = recent(logs, named("wide"), 100);
    assert!(found.last().unwrap().starts_with("wide:199 "));
    assert!((12..=21).contains(&found.len()), "{} lines of 3000 bytes in 64 KiB", found.len());
    setup.end();
}

#[test]
fn all_instances_together_are_bounded_and_the_oldest_lines_go() {
    let setup = with_readers(LogHistory { lines: 1000, bytes: 64 * 1024 });
    let logs = &setup.logs;
    let mut workers: Vec<Worker> = (0..40).map(|id| add(logs, id, "w", Sinks::default())).collect();
    for (number, worker) in workers.iter_mut().enumerate() {
        for _ in 0..60 {
            writeln!(worker.out, "{number} {}", "w".repeat(1000)).unwrap();
        }
        settle(logs);
    }
    let held: usize = recent(logs, Filter::default(), 1000).iter().map(String::len).sum();
    assert!((700_000..=16 * 64 * 1024).contains(&held), "{held} bytes");
    let of = |id| recent(logs, Filter { ids: vec![id], ..Filter::default() }, 1000).len();
    assert_eq!(of(0), 0);
    assert!((50..=60).contains(&of(39)), "{} lines of 1000 bytes in 64 KiB", of(39));
    setup.end();
}

/// A line for each number, some of them torn over two writes.
fn count(worker: &mut Worker, from: u32, to: u32) {
    for number in from..to {
        let line = format!("{number}\n");
        let (one, two) = line.split_at(number as usize % line.len());
        worker.out.write_all(one.as_bytes()).unwrap();
        worker.out.write_all(two.as_bytes()).unwrap();
    }
}

#[test]
fn history_and_what_follows_have_no_gap_and_no_line_twice() {
    let setup = with_readers(LogHistory::default());
    let mut worker = add(&setup.logs, 0, "w", Sinks::default());
    let total = 60_000;
    let writer = thread::spawn(move || {
        count(&mut worker, 0, total);
        worker
    });
    // They come while it writes.
    for lines in [0, 10, usize::MAX] {
        let mut follower = setup.logs.follow(Filter::default(), lines);
        let (mut expected, mut seen) = (None, 0);
        block_on(async {
            while expected != Some(total) {
                let batch = follower.next().await;
                assert_eq!(batch.missed, 0, "so little fits into the memory for it");
                for line in batch.lines() {
                    let number: u32 = std::str::from_utf8(line.bytes).unwrap().parse().unwrap();
                    assert_eq!(number, expected.unwrap_or(number), "one after the other");
                    expected = Some(number + 1);
                    seen += 1;
                }
                if lines != usize::MAX && seen > 1000 {
                    break;
                }
            }
        });
    }
    drop(writer.join().unwrap());
    setup.end();
}

#[test]
fn a_slow_follower_gets_the_number_of_missed_lines() {
    let setup = with_readers(LogHistory { lines: 1000, bytes: 256 * 1024 });
    let logs = &setup.logs;
    let mut worker = add(logs, 0, "w", Sinks::default());
    let mut other = add(logs, 1, "other", Sinks::default());
    count(&mut worker, 0, 10);
    settle(logs);
    let mut slow = logs.follow(named("w"), 4);
    let mut fast = logs.follow(named("other"), 0);
    let total = 400_000;
    count(&mut worker, 10, total);
    other.out.write_all(b"hello\n").unwrap();
    settle(logs);
    let kept = recent(logs, named("w"), usize::MAX).len();
    assert!((1000..5000).contains(&kept), "{kept} lines: for who has missed some anyway not more are kept");
    assert_eq!(of(&block_on(fast.next())), ["other:hello"], "who asks for others misses nothing");
    let (mut seen, mut missed, mut last) = (0, 0, 0);
    block_on(async {
        while last + 1 < total {
            let batch = slow.next().await;
            missed += batch.missed;
            for line in batch.lines() {
                last = std::str::from_utf8(line.bytes).unwrap().parse().unwrap();
                seen += 1;
            }
        }
    });
    assert!(missed > 0);
    assert_eq!(seen + missed, u64::from(total - 10 + 4), "each line was seen or counted");
    drop((slow, fast));
    setup.end();
}

#[test]
fn followers_get_the_last_lines_of_a_removed_instance() {
    let setup = with_readers(LogHistory::default());
    let logs = &setup.logs;
    let mut worker = add(logs, 7, "w", Sinks::default());
    let mut follower = logs.follow(Filter::default(), 0);
    worker.out.write_all(b"bye").unwrap();
    logs.run_ended(7);
    logs.remove(7);
    settle(logs);
    assert_eq!(of(&block_on(follower.next())), ["w:bye"]);
    drop(follower);
    assert_eq!(recent(logs, Filter::default(), 9), [""; 0], "no client is left to see it");
    // The same instance with other settings goes on, another one begins at the start.
    for (name, expected) in [("w", vec!["w:x"]), ("w", vec!["w:x", "w:x"]), ("v", vec!["v:x"])] {
        let (out_read, mut out) = pipe(1 << 16);
        let (err_read, _err) = pipe(1 << 16);
        logs.add(
            Label { key: 7, id: 7, name: name.to_owned() },
            Sinks::default(),
            out_read.into(),
            err_read.into(),
        );
        out.write_all(b"x\n").unwrap();
        settle(logs);
        assert_eq!(recent(logs, Filter::default(), 9), expected);
    }
    setup.end();
}

#[test]
fn flush_empties_files_and_recent_lines_of_those_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let file = |name: &str| {
        Some(FileSpec {
            path: path(name),
            max_size: 1 << 20,
            keep: 1,
            compress: false,
            private: false,
            owner: None,
        })
    };
    let setup = with_readers(LogHistory::default());
    let logs = &setup.logs;
    let mut a = add(logs, 0, "a", Sinks { out: file("a"), error: file("a-err"), ..Sinks::default() });
    let mut b = add(logs, 1, "b", Sinks { out: file("b"), ..Sinks::default() });
    for worker in [&mut a, &mut b] {
        worker.out.write_all(b"before\n").unwrap();
        worker.err.write_all(b"before\n").unwrap();
    }
    settle(logs);
    let failed = block_on(logs.flush(vec![0, 99])).unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!([read(path("a")), read(path("a-err")), read(path("b"))], ["", "", "before\n"]);
    assert_eq!(recent(logs, Filter { err: false, ..Filter::default() }, 9), ["b:before"]);
    a.out.write_all(b"after\n").unwrap();
    settle(logs);
    assert_eq!(read(path("a")), "after\n");
    assert_eq!(recent(logs, named("a"), 9), ["a:after"]);
    setup.end();
}

#[test]
fn a_blocked_stdout_hides_nothing_that_was_there() {
    let Setup { logs, out, err: _err } = start(&RuntimeLog::default());
    let worker = add(&logs, 0, "w", Sinks::default());
    let mut other = add(&logs, 1, "other", Sinks::default());
    other.out.write_all(b"before\n").unwrap();
    settle(&logs);
    block(&worker);
    let mut done = logs.finish();
    let mut follower = logs.follow(Filter::default(), usize::MAX);
    assert_eq!(of(&follower.recent().unwrap())[0], "other:before");
    assert!(matches!(done.try_recv(), Err(TryRecvError::Empty)), "stdout is blocked");
    let reader = thread::spawn(move || std::io::copy(&mut { out }, &mut std::io::sink()).unwrap());
    settle(&logs);
    drop((follower, worker, logs));
    reader.join().unwrap();
}

/// A follower that is woken for each line of a busy worker would cost more than the worker.
#[test]
fn batches_come_one_by_one_when_it_is_quiet_and_seldom_when_it_is_not() {
    let setup = with_readers(LogHistory::default());
    let mut worker = add(&setup.logs, 0, "w", Sinks::default());
    let mut follower = setup.logs.follow(Filter::default(), 0);
    let writer = thread::spawn(move || {
        for _ in 0..20_000 {
            worker.out.write_all(b"line\n").unwrap();
        }
        worker
    });
    let begin = tokio::time::Instant::now();
    let (mut lines, mut batches) = (0, 0);
    block_on(async {
        while lines < 20_000 {
            lines += follower.next().await.lines().count();
            batches += 1;
        }
    });
    let at_most = begin.elapsed().as_millis() / Duration::from_millis(20).as_millis() + 1;
    assert!(batches <= at_most, "{batches} batches in {:?}", begin.elapsed());
    drop((writer.join().unwrap(), follower));
    setup.end();
}
