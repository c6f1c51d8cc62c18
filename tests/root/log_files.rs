//! Log files: who writes which, rotation from inside and outside, a full disk.

use std::collections::BTreeMap;

use crate::support::{self, Bed, End, wait_until};

#[test]
fn files_get_the_output_besides() {
    let bed = Bed::once(
        "out_file = \"logs/out.log\"\nerror_file = \"logs/err.log\"\nlog_file = \"logs/all.log\"\n",
        "echo one\necho two >&2\nprintf three",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    assert_eq!(run.out().lines(), ["0|main | one", "0|main | three"]);
    assert_eq!(bed.read("logs/out.log"), "one\nthree\n");
    assert_eq!(bed.read("logs/err.log"), "two\n");
    let all = bed.read("logs/all.log");
    let mut all: Vec<&str> = all.lines().collect();
    all.sort_unstable();
    assert_eq!(all, ["one", "three", "two"]);

    // Another run is added to what is there.
    bed.start(&["ecosystem.toml"]).expect_code(0);
    assert_eq!(bed.read("logs/out.log"), "one\nthree\none\nthree\n");
}

#[test]
fn pm2s_other_names_for_the_files_hold() {
    for (out, error, log) in
        [("output", "error", "log"), ("out", "err", "log"), ("out_log", "err_log", "log_file")]
    {
        let bed = Bed::once(
            &format!("{out} = \"o.log\"\n{error} = \"e.log\"\n{log} = \"a.log\"\n"),
            "echo one\necho two >&2",
        );
        bed.start(&["ecosystem.toml"]).expect_code(0);
        assert_eq!(bed.read("o.log"), "one\n", "{out}");
        assert_eq!(bed.read("e.log"), "two\n", "{error}");
        assert_eq!(bed.read("a.log").lines().count(), 2, "{log}");
    }
}

#[test]
fn each_instance_has_its_file_unless_they_are_merged() {
    let script = "echo \"from $NODE_APP_INSTANCE\"";
    let bed = Bed::once("instances = 2\nout_file = \"out.log\"\n", script);
    bed.start(&["ecosystem.toml"]).expect_code(0);
    assert_eq!(bed.read("out-0.log"), "from 0\n");
    assert_eq!(bed.read("out-1.log"), "from 1\n");
    assert!(!bed.exists("out.log"));

    for merge in ["merge_logs", "combine_logs"] {
        let bed = Bed::once(&format!("instances = 2\nout_file = \"out.log\"\n{merge} = true\n"), script);
        bed.start(&["ecosystem.toml"]).expect_code(0);
        let merged = bed.read("out.log");
        let mut merged: Vec<&str> = merged.lines().collect();
        merged.sort_unstable();
        assert_eq!(merged, ["from 0", "from 1"], "{merge}");
    }
}

#[test]
fn disable_logs_throws_the_output_away() {
    let bed = Bed::once("disable_logs = true\nout_file = \"out.log\"\n", "echo one\necho two >&2\nexit 3");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(3);
    assert_eq!(run.out().lines().len(), 0, "{}", run.story());
    assert_eq!(run.err().lines_with("two").len(), 0, "{}", run.story());
    assert_eq!(bed.read("out.log"), "");
}

/// What all files of the directory `logs` hold, by name.
fn files(bed: &Bed) -> BTreeMap<String, Vec<u8>> {
    let names = bed.list("logs");
    names
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(bed.path("logs").join(name)).unwrap()))
        .collect()
}

/// 5,000 lines of 100 bytes.
const HALF_A_MEGABYTE: &str = "i=0; while [ $i -lt 5000 ]; do printf 'line %094d\\n' $i; i=$((i + 1)); done";

#[test]
fn files_rotate_by_size_and_lose_no_line() {
    let bed =
        Bed::once("out_file = \"logs/out.log\"\nlog_max_size = \"50K\"\nlog_keep = 100\n", HALF_A_MEGABYTE);
    bed.start(&["ecosystem.toml"]).expect_code(0);
    let files = files(&bed);
    assert!((10..=12).contains(&files.len()), "{:?}", files.keys());
    assert!(files.contains_key("out.log"), "{:?}", files.keys());
    let mut numbers = Vec::new();
    for (name, content) in &files {
        assert!(content.len() <= 50 * 1024, "{name} has {} bytes", content.len());
        assert!(content.is_empty() || content.ends_with(b"\n"), "{name} ends within a line");
        for line in content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            numbers.push(support::last_number(std::str::from_utf8(line).unwrap()));
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5000).collect::<Vec<_>>());
}

#[test]
fn several_writers_of_one_file_rotate_it_together() {
    for (count, keys) in [
        (2, "error_file = \"logs/out.log\"\n"),
        (3, "instances = 3\nmerge_logs = true\n"),
        (
            2,
            "[[apps]]\nname = \"other\"\nscript = \"./main.sh\"\nautorestart = false\n\
             out_file = \"logs/out.log\"\nlog_max_size = \"50K\"\nlog_keep = 100\n",
        ),
    ] {
        let both = HALF_A_MEGABYTE.replace(
            "; i=$((i",
            "; [ \"$pm_id\" = 0 ] && [ \"$1\" = both ] && printf 'line %094d\\n' $i >&2; i=$((i",
        );
        let args = if keys.starts_with("error_file") { "args = [\"both\"]\n" } else { "" };
        let bed = Bed::once(
            &format!("out_file = \"logs/out.log\"\nlog_max_size = \"50K\"\nlog_keep = 100\n{args}{keys}"),
            &both,
        );
        bed.start(&["ecosystem.toml"]).expect_code(0);
        let mut numbers = vec![0; 5000];
        for (name, content) in files(&bed) {
            assert!(content.len() <= 50 * 1024, "{keys}: {name} has {} bytes", content.len());
            for line in String::from_utf8(content).unwrap().lines() {
                numbers[usize::try_from(support::last_number(line)).unwrap()] += 1;
            }
        }
        assert!(numbers.iter().all(|&times| times == count), "{keys}: each line {count} times");
    }
}

#[test]
fn what_is_no_regular_file_is_never_rotated() {
    let bed = Bed::once(
        "out_file = \"device\"\nerror_file = \"nobody-reads\"\nlog_max_size = \"20K\"\n",
        &format!("{HALF_A_MEGABYTE}\necho one >&2"),
    );
    let made = support::tool("sh", &["-e", "-c", "mknod device c 1 3; mkfifo nobody-reads"], bed.root());
    assert!(made.status.success(), "{made:?}");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    assert_eq!(bed.list("."), ["device", "ecosystem.toml", "main.sh", "nobody-reads"]);
    assert_eq!(run.out().lines().len(), 5000);
    assert!(!run.err().lines_with("nobody-reads").is_empty(), "the lost lines are said{}", run.story());
}

/// `out_file = "/dev/stdout"` is what many PM2 files say: the link must survive, also where stdout
/// is a file.
#[test]
fn a_link_to_stdout_is_never_rotated() {
    let bed = Bed::once("out_file = \"stdout\"\nlog_max_size = \"20K\"\n", HALF_A_MEGABYTE);
    std::os::unix::fs::symlink("/proc/self/fd/1", bed.path("stdout")).unwrap();
    let mut run = bed.launch(&["ecosystem.toml"]).after("exec >> everything").start();
    run.expect_code(0);
    assert_eq!(bed.list("."), ["ecosystem.toml", "everything", "main.sh", "stdout"]);
    let link = std::fs::read_link(bed.path("stdout")).expect("still a link");
    assert_eq!(link.to_str(), Some("/proc/self/fd/1"));
    let lines = bed.read("everything");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 5000, "each line once: the file has them as stdout");
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("0|main | line {number:094}"));
    }
}

#[test]
fn procruns_own_streams_are_no_log_files() {
    for sink in ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2"] {
        let keys = format!("out_file = \"{sink}\"\nerror_file = \"{sink}\"\nlog_file = \"own.log\"\n");
        let bed = Bed::once(&keys, &format!("{HALF_A_MEGABYTE}\necho one >&2"));
        let mut run = bed.start(&["ecosystem.toml"]);
        run.expect_code(0);
        let lines = run.out().lines();
        assert_eq!(lines.len(), 5000, "{sink}{}", run.story());
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("0|main | line {number:094}"), "{sink}");
        }
        assert_eq!(run.err().lines_with("main | one"), ["0|main | one"], "{sink}");
        assert_eq!(run.err().lines_with(sink).len(), 1, "said once{}", run.story());
        assert_eq!(bed.read("own.log").lines().count(), 5001, "other files have it all");

        let mut run = bed.start(&["ecosystem.toml", "--log-level", "warn"]);
        run.expect_code(0);
        assert_eq!(run.err().lines(), ["0|main | one"], "nothing is wrong");
    }
}

#[test]
fn log_keep_bounds_the_number_of_rotated_files() {
    let bed =
        Bed::once("out_file = \"logs/out.log\"\nlog_max_size = \"20K\"\nlog_keep = 3\n", HALF_A_MEGABYTE);
    bed.start(&["ecosystem.toml"]).expect_code(0);
    let files = files(&bed);
    assert_eq!(files.len(), 4, "{:?}", files.keys());
    let all: Vec<u8> = files.values().flatten().copied().collect();
    let all = String::from_utf8(all).unwrap();
    assert!(all.contains(&format!("line {:094}", 4999)), "the last line is kept");
    assert!(!all.contains(&format!("line {:094}", 0)), "the first one is not");
}

#[test]
fn rotated_files_can_be_compressed() {
    let bed = Bed::once(
        "out_file = \"logs/out.log\"\nlog_max_size = \"100K\"\nlog_keep = 2\nlog_compress = true\n",
        &format!("{HALF_A_MEGABYTE}\nwhile :; do sleep 1000; done"),
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_lines("line", 5000);
    let compressed = || {
        bed.list("logs")
            .into_iter()
            .filter(|name| std::path::Path::new(name).extension().is_some_and(|extension| extension == "gz"))
            .collect::<Vec<_>>()
    };
    wait_until("two compressed files and the one in use", || {
        compressed().len() == 2 && bed.list("logs").len() == 3
    });
    run.expect_stop();
    for name in compressed() {
        let path = bed.path("logs").join(name);
        let unpacked = support::tool("gzip", &["-dc", &path.to_string_lossy()], bed.root());
        assert!(unpacked.status.success(), "{unpacked:?}");
        assert!(unpacked.stdout.starts_with(b"line 0") && unpacked.stdout.ends_with(b"\n"));
    }
}

/// Big enough for the stop to come while the older files are compressed.
#[test]
fn an_end_while_files_are_compressed_leaves_no_half_copy() {
    let bed = Bed::with(
        "[[apps]]\nname = \"main\"\nscript = \"./main.py\"\nautorestart = false\nout_file = \"logs/out.log\"\n\
         log_max_size = \"8M\"\nlog_keep = 9\nlog_compress = true\n",
    );
    bed.file(
        "main.py",
        "import os\nfor i in range(40): os.write(1, b''.join(b'%d\\n' % (i * n * n) for n in range(50000)))\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    let mut lines = 0;
    for name in bed.list("logs") {
        assert!(!name.contains("tmp"), "{:?}", bed.list("logs"));
        let path = bed.path("logs").join(&name);
        let all = support::tool("gzip", &["-dcf", &path.to_string_lossy()], bed.root());
        assert!(all.status.success(), "{name}: {all:?}");
        lines += String::from_utf8(all.stdout).expect("digits").lines().count();
    }
    assert_eq!(lines, 40 * 50_000, "in {:?}", bed.list("logs"));
}

#[test]
fn an_outside_rotation_is_noticed() {
    let bed = Bed::once(
        "out_file = \"logs/out.log\"\n",
        "i=0; while :; do echo \"line $i\"; i=$((i + 1)); sleep 0.05; done",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the first line", || bed.read("logs/out.log").contains("line 0"));
    std::fs::rename(bed.path("logs/out.log"), bed.path("logs/moved.log")).unwrap();
    wait_until("a new file after the rename", || bed.read("logs/out.log").contains("line"));
    std::fs::remove_file(bed.path("logs/out.log")).unwrap();
    wait_until("a new file after the removal", || bed.read("logs/out.log").contains("line"));
    run.expect_stop();
}

#[test]
fn a_full_disk_is_reported_once_and_does_no_harm() {
    let bed = Bed::once(
        "out_file = \"full/out.log\"\n",
        "i=0; while [ $i -lt 5000 ]; do echo \"line $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; i=$((i + 1)); done\nexit 8",
    );
    bed.file("full/here", "");
    let launch = bed.launch(&["ecosystem.toml"]).own_mounts();
    let mut run = launch.after("mount -t tmpfs -o size=64k none full").start();
    let end = run.wait_end();
    assert_eq!(end, End::Code(8), "{}", run.story());
    assert_eq!(run.out().lines_with("line").len(), 5000, "stdout has it all");
    let said = run.err().lines_with("out.log");
    assert_eq!(said.len(), 2, "said once, counted at the end{}", run.story());
    let lost = said[1].split_once("is closed, ").and_then(|(_, lost)| lost.strip_suffix(" lines lost"));
    let lost: usize = lost.and_then(|lost| lost.parse().ok()).unwrap_or_else(|| panic!("{}", said[1]));
    assert!((1..5000).contains(&lost), "{lost}");
}

/// As on a full disk, where nothing is ever taken.
#[test]
fn lines_that_a_full_stdout_did_not_take_are_counted_at_the_end() {
    let bed = Bed::once("", "i=0; while [ $i -lt 100 ]; do echo line; i=$((i + 1)); done\nexit 8");
    let mut run = bed.launch(&["ecosystem.toml"]).after("exec > /dev/full").start();
    run.expect_code(8);
    let said = run.err().lines_with("stdout");
    assert_eq!(said.len(), 2, "{}", run.story());
    assert!(said[1].ends_with("stdout did not accept 100 lines"), "{}", said[1]);
}

#[test]
fn a_log_file_that_cannot_be_opened_is_reported_and_the_app_runs() {
    let bed = Bed::once("out_file = \"file/out.log\"\n", "echo one");
    bed.file("file", "not a directory");
    let mut run = bed.start(&["ecosystem.toml"]);
    let end = run.wait_end();
    // Refused before anything starts, or reported while it runs: never silence.
    assert!(matches!(end, End::Code(0 | 78)), "{end:?}{}", run.story());
    run.wait_for_err("out.log");
    assert_eq!(run.out().lines().len(), usize::from(end == End::Code(0)), "{}", run.story());
}
