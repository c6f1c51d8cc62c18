//! Why procrun has ended, in a file: what Kubernetes shows of a container that is gone.

use crate::support::{Bed, Launch, Procrun, SIGKILL, SIGTERM, wait_until};

/// The first bytes of a text that Kubernetes takes.
const MOST: usize = 4096;

/// With a `/dev` of its own, in which `termination-log` is whatever these commands make of `$log`.
fn in_a_pod<'a>(bed: &'a Bed, args: &[&str], make: &str) -> Launch<'a> {
    let dev = "mkdir dev; mount -t tmpfs tmpfs dev; ln -s /proc/self/fd dev/fd; mkdir dev/shm\n\
               for name in null zero random urandom tty; do > dev/$name; mount --bind /dev/$name dev/$name; done\n\
               log=dev/termination-log";
    bed.launch(args).own_mounts().pid1().after(&format!("{dev}\n{make}\nmount --rbind dev /dev"))
}

/// As Kubernetes does it: a file from outside, mounted in its place.
const MOUNTED: &str = "> $log; echo left over > why; mount --bind why $log";

#[track_caller]
fn says(run: &Procrun, bed: &Bed, text: &str) {
    assert_eq!(bed.read("why"), text, "{}", run.story());
}

#[test]
fn the_failed_app_and_its_last_lines_are_in_the_file_that_kubernetes_mounts() {
    let bed = Bed::again(
        "max_restarts = 2\nrestart_delay = 1\n",
        "printf 'listening on \\033[1m3000\\033[0m\\n'; echo 'Error: connect ECONNREFUSED' >&2; printf '    at \\001 x'\nexit 7",
    );
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.expect_code(7);
    let said = bed.read("why");
    let (first, lines) = said.split_once('\n').expect("several lines");
    let how = first.strip_prefix("main (0) errored: code 7, up ").expect("who failed, and how");
    assert!(how.ends_with("s, 2 unstable runs in a row; procrun exits with code 7"), "{said}");
    // Each stream is in order; but not across streams.
    assert!(lines.starts_with("last lines of main (0):\n"), "{said}");
    for line in ["\nlistening on 3000\n", "\n    at · x\n", "\nError: connect ECONNREFUSED\n"] {
        assert_eq!(lines.matches(line).count(), 2, "{line:?} of both runs: {said:?}");
    }
}

#[test]
fn a_stop_is_one_line() {
    let bed = Bed::again("", "echo up; exec sleep 1000");
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.wait_for_line("up");
    run.expect_stop();
    says(&run, &bed, "stopped by SIGTERM from outside of the container; procrun exits with code 0\n");
}

#[test]
fn an_app_that_had_failed_before_the_stop_is_named() {
    let bed = Bed::with(
        "[[apps]]\nname = \"gone\"\nscript = \"echo last; exit 3\"\nautorestart = false\n\
         [[apps]]\nname = \"stays\"\nscript = \"echo up; exec sleep 1000\"\n",
    );
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.wait_for_line("up");
    run.wait_for_err("gone (0) exited: code 3");
    run.expect_stop();
    let said = bed.read("why");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "stopped by SIGTERM from outside of the container; procrun exits with code 0");
    assert!(lines[1].starts_with("before that gone (0) exited: code 3, up "), "{said}");
    assert_eq!(lines[2..], ["last lines of gone (0):", "last"]);
}

#[test]
fn an_app_that_was_stopped_as_unhealthy_is_named() {
    let bed = Bed::with(
        "[[apps]]\nname = \"api\"\nscript = \"exec sleep 1000\"\nautorestart = false\n\
         [apps.health]\nexec = \"echo no database; exit 3\"\nretries = 1\nstart_period = 0\ninterval = \"50ms\"\n",
    );
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.expect_code(128 + SIGTERM);
    let said = bed.read("why");
    let why =
        "(failed its health probe: its probe exited with code 3: no database); procrun exits with code 143\n";
    assert!(said.starts_with("api (0) exited: signal SIGTERM, up ") && said.contains(why), "{said}");
}

#[test]
fn a_good_end_is_one_line_and_a_bad_one_names_all_that_failed() {
    for (apps, code, said) in [
        ("a:0 b:0", 0, "all apps have exited successfully; procrun exits with code 0\n"),
        ("a:0 b:4", 4, "b (1) exited: code 4, up "),
    ] {
        let app = |app: &str| {
            let (name, code) = app.split_once(':').expect("a name and a code");
            format!("[[apps]]\nname = \"{name}\"\nscript = \"exit {code}\"\nautorestart = false\n")
        };
        let bed = Bed::with(&apps.split(' ').map(app).collect::<String>());
        let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
        run.expect_code(code);
        assert!(bed.read("why").starts_with(said), "{:?}{}", bed.read("why"), run.story());
        assert_eq!(bed.read("why").lines().count(), 1, "it had nothing to say");
    }
    let bed = Bed::with(
        "[[apps]]\nname = \"second\"\nscript = \"until [ -e ended ]; do sleep 0.02; done; exit 2\"\nautorestart = false\n\
         [[apps]]\nname = \"first\"\nscript = \"kill -9 $$$$\"\nautorestart = false\n",
    );
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.wait_for_err("first (1) exited");
    bed.file("ended", "");
    run.expect_code(128 + SIGKILL);
    let said = bed.read("why");
    assert!(said.starts_with("first (1) exited: signal SIGKILL, up "), "{said}");
    assert!(said.ends_with("; procrun exits with code 137\nalso failed: second (0)\n"), "{said}");
}

#[test]
fn the_app_that_ends_the_container_precedes_earlier_failures() {
    let bed = Bed::with(
        "[[apps]]\nname = \"early\"\nscript = \"exit 3\"\nautorestart = false\n\
         [[apps]]\nname = \"critical\"\nscript = \"until [ -e ended ]; do sleep 0.02; done; echo its last; exit 5\"\n\
         max_restarts = 1\non_errored = \"exit\"\n\
         [[apps]]\nname = \"other\"\nscript = \"exec sleep 1000\"\n",
    );
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.wait_for_err("early (0) exited");
    bed.file("ended", "");
    run.expect_code(5);
    let said = bed.read("why");
    assert!(said.starts_with("critical (1) errored: code 5, up "), "{said}");
    assert!(
        said.ends_with("code 5\nalso failed: early (0)\nlast lines of critical (1):\nits last\n"),
        "{said}"
    );
}

#[test]
fn the_termination_message_has_the_errors_of_a_refused_start() {
    let bed = Bed::with("[[apps]]\nscirpt = \"x\"\n");
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.expect_code(78);
    let said = bed.read("why");
    assert!(said.contains("error: ecosystem.toml:2:1: unknown key `scirpt`"), "{said}");
    assert!(said.contains("hint: did you mean `script`?") && said.contains("nothing was started"), "{said}");

    for (args, code, part) in [
        (&["./nothing.toml"][..], 78, "nothing.toml does not exist"),
        (&["--no-such-option", "x"], 64, "--no-such-option"),
        (&["no-such-program"], 127, "`no-such-program` not found"),
        (&["--interpreter", "no-such-interpreter", "why"], 127, "`no-such-interpreter`, which would run"),
    ] {
        let bed = Bed::new();
        let mut run = in_a_pod(&bed, args, MOUNTED).start();
        run.expect_code(code);
        let said = bed.read("why");
        assert!(said.starts_with("error: ") && said.contains(part), "{said:?}{}", run.story());
    }
}

#[test]
fn many_errors_are_cut_at_their_end() {
    let app = |number| format!("[[apps]]\nscript = \"x\"\nname = \"ü{number}\"\nkey{number} = 1\n");
    let errors = (0..200).map(app).collect::<Vec<_>>().concat();
    let bed = Bed::with(&errors);
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.expect_code(78);
    let said = std::fs::read(bed.path("why")).unwrap();
    let said = String::from_utf8(said).expect("no half of a character");
    assert!(said.len() <= MOST && said.len() > MOST / 4, "{}", said.len());
    assert!(said.starts_with("error: ecosystem.toml:4:1: "), "{said}");
}

#[test]
fn long_output_is_kept_from_its_end_and_is_never_too_much() {
    for (script, end) in [
        (
            "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"zeile ü $i\"; done; exit 1",
            "\nzeile ü 2999\nzeile ü 3000\n",
        ),
        ("head -c 700000 /dev/zero | tr '\\0' x; echo the end; exit 1", "xxxthe end\n"),
        ("head -c 9000 /dev/urandom; echo; echo the end; exit 1", "the end\n"),
    ] {
        let bed = Bed::once("", script);
        let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
        run.expect_code(1);
        let said =
            String::from_utf8(std::fs::read(bed.path("why")).unwrap()).expect("no half of a character");
        assert!(said.len() <= MOST && said.ends_with(end), "{}: {said:?}", said.len());
        assert!(said.starts_with("main (0) exited: code 1, up "), "{said:?}");
        assert!(said.contains("\nlast lines of main (0):\n"), "{said:?}");
        assert!(!said.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{said:?}");
    }
}

#[test]
fn another_file_is_made_where_the_configuration_wants_it() {
    let bed = Bed::with(
        "termination_log = \"why\"\n[[apps]]\nname = \"main\"\nscript = \"echo out; exit 2\"\nautorestart = false\n",
    );
    bed.file("why", "what was said before, and longer than anything that will be said now\n".repeat(20));
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(2);
    assert!(
        bed.read("why").ends_with("; procrun exits with code 2\nlast lines of main (0):\nout\n"),
        "{}",
        bed.read("why")
    );
    // A program that is missing is found after the file has been read.
    bed.file("ecosystem.toml", "termination_log = \"missing\"\n[[apps]]\nscript = \"./none\"\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(127);
    assert!(
        bed.read("missing").contains("./none does not exist\nnothing was started"),
        "{}",
        bed.read("missing")
    );
}

#[test]
fn without_recent_lines_only_the_failed_app_is_named() {
    let bed = Bed::with(
        "termination_log = \"why\"\nlog_history_lines = 0\n\
         [[apps]]\nname = \"main\"\nscript = \"echo out; exit 2\"\nautorestart = false\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(2);
    assert_eq!(bed.read("why").lines().count(), 1, "{}", bed.read("why"));
}

#[test]
fn a_missing_termination_log_is_not_created_and_false_disables_it() {
    let bed = Bed::once("", "ls /dev; exit 4");
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], "").start();
    run.expect_code(4);
    assert!(!run.out().lines().iter().any(|line| line.contains("termination")), "{}", run.story());
    assert!(run.err().lines_with("termination message").is_empty(), "{}", run.story());

    let bed = Bed::with(
        "termination_log = false\n[[apps]]\nname = \"main\"\nscript = \"exit 4\"\nautorestart = false\n",
    );
    let mut run = in_a_pod(&bed, &["ecosystem.toml"], MOUNTED).start();
    run.expect_code(4);
    says(&run, &bed, "left over\n");
}

#[test]
fn what_is_no_file_or_cannot_be_written_delays_nothing() {
    // A FIFO without a reader, one with a reader, a full disk, a directory.
    for make in [
        "mkfifo $log",
        "mkfifo $log; exec 9<>$log",
        "mkdir disk; mount -t tmpfs -o size=8k tmpfs disk; head -c 100000 /dev/zero > disk/full 2>&1 || true; > $log; > disk/log; mount --bind disk/log $log",
        "mkdir $log",
    ] {
        let bed = Bed::once("", "echo out; exit 4");
        let mut run = in_a_pod(&bed, &["ecosystem.toml"], make).start();
        run.expect_code(4);
        run.wait_for_err("cannot write the termination message");
    }
}

/// The container engine that kills what does not end should find it there.
#[test]
fn it_is_written_before_output_without_a_reader() {
    let bed = Bed::with(
        "termination_log = \"why\"\n[[apps]]\nname = \"main\"\nscript = \"head -c 300000 /dev/zero | tr '\\\\0' '\\\\n'; exit 6\"\n\
         autorestart = false\n",
    );
    let mut run = bed.launch(&["ecosystem.toml"]).hold_out().start();
    wait_until("the last word", || bed.read("why").starts_with("main (0) exited: code 6, up "));
    assert!(!run.has_ended(), "it waits for its reader");
    run.release_out();
    run.expect_code(6);
}
