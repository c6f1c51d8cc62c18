//! Log files: what is in them, rotation, and files that cannot be written.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    thread,
};

use procrun::{
    logs::{FileSpec, Sinks},
    spec::{LogSpec, LogStyle, RuntimeLog},
};

use super::support::{Setup, add, finish, read, settle, start, styled, until};

fn file(path: impl Into<PathBuf>) -> FileSpec {
    FileSpec { path: path.into(), max_size: 10 << 20, keep: 5, compress: false, private: false, owner: None }
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
fn a_line_continues_after_a_pause_unless_another_writer_has_interrupted_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let setup = start(&RuntimeLog::default());
    let mut out = BufReader::new(setup.out.try_clone().unwrap());
    let mut shown = |text: &str| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.ends_with(&format!("{text}\n")), "{line:?} for {text:?}");
    };
    let spec = LogSpec { date_format: Some("[T]".to_owned()), ..LogSpec::default() };
    let sinks = |own: &str| Sinks {
        spec: spec.clone(),
        out: Some(file(path(own))),
        combined: Some(file(path("all.log"))),
        ..Sinks::default()
    };
    let mut main = add(&setup.logs, 0, "main", sinks("main.log"));
    let mut other = add(&setup.logs, 1, "other", sinks("other.log"));
    let mut says = |worker: &mut File, text: &str, line: &str| {
        worker.write_all(text.as_bytes()).unwrap();
        shown(line);
    };
    says(&mut main.out, "one: ", "one: ");
    says(&mut main.out, "yes\n", "yes");
    says(&mut main.out, "two: ", "two: ");
    says(&mut other.out, "between\n", "between");
    says(&mut main.out, "no\n", "no");
    says(&mut main.out, "three: ", "three: ");
    says(&mut other.out, "again\n", "again");
    says(&mut main.out, "\n.", ".");
    finish(setup);
    assert_eq!(read(path("main.log")), "T: one: yes\nT: two: no\nT: three: \nT: .\n");
    assert_eq!(read(path("other.log")), "T: between\nT: again\n");
    assert_eq!(
        read(path("all.log")),
        "T: one: yes\nT: two: \nT: between\nno\nT: three: \nT: again\nT: .\n",
        "each line has one end"
    );
}

#[test]
fn a_line_with_a_pause_is_not_split_over_two_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let setup = start(&styled(LogStyle::Raw));
    let mut out = BufReader::new(setup.out.try_clone().unwrap());
    let mut next = || out.read_line(&mut String::new()).unwrap();
    let spec = FileSpec { max_size: 1000, ..file(&path) };
    let mut worker = add(&setup.logs, 0, "main", Sinks { out: Some(spec), ..Sinks::default() });
    worker.out.write_all(&[b'x'; 900]).unwrap();
    next();
    worker.out.write_all(&[b'y'; 200]).unwrap();
    next();
    worker.out.write_all(b"\nnew\n").unwrap();
    next();
    finish(setup);
    assert_eq!(read(&path), "new\n");
    assert_eq!(read(dir.path().join("out.log.1")), format!("{}{}\n", "x".repeat(900), "y".repeat(200)));
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
    let spec =
        FileSpec { path: path.clone(), max_size: 100, keep: 3, compress: false, private: false, owner: None };
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
    let spec = FileSpec {
        path: path.clone(),
        max_size: 64 * 1024,
        keep: 1000,
        compress: true,
        private: false,
        owner: None,
    };
    let setup = start(&RuntimeLog::default());
    let mut worker = add(&setup.logs, 0, "main", Sinks { out: Some(spec), ..Sinks::default() });
    let Setup { logs, mut out, .. } = setup;
    let reader = thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()).unwrap());
    let total = 60_000;
    for number in 0..total {
        writeln!(worker.out, "line {number:0>40}").unwrap();
    }
    settle(&logs);
    let names = || -> Vec<String> {
        fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    until("everything older to be compressed", || {
        names().iter().all(|name| name == "out.log" || name.rsplit('.').next() == Some("gz")).then_some(())
    });
    drop(logs);
    reader.join().unwrap();
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
fn a_file_that_cannot_be_written_is_reported_once_and_its_lines_are_counted() {
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
    for (pair, why) in lines.chunks(2).zip(["No space left", "is a directory", "a FIFO without a reader"]) {
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
fn a_file_that_was_moved_away_is_reopened() {
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
fn a_later_user_of_a_file_brings_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let setup = start(&RuntimeLog::default());
    let sinks = |max_size, keep| Sinks {
        out: Some(FileSpec {
            path: path.clone(),
            max_size,
            keep,
            compress: false,
            private: false,
            owner: None,
        }),
        ..Sinks::default()
    };
    let mut old = add(&setup.logs, 0, "main", sinks(0, 0));
    old.out.write_all(b"first line\n").unwrap();
    settle(&setup.logs);
    let mut new = add(&setup.logs, 1, "main", sinks(1024, 2));
    settle(&setup.logs);
    setup.logs.remove(0);
    for _ in 0..200 {
        new.out.write_all(b"a line of twenty....\n").unwrap();
    }
    finish(setup);
    let size = |path: PathBuf| fs::metadata(path).unwrap().len();
    assert!(size(path.clone()) <= 1024);
    assert!(size(dir.path().join("out.log.1")) <= 1024, "it was rotated by the new limits");
    assert!(dir.path().join("out.log.2").exists() && !dir.path().join("out.log.3").exists());
}
