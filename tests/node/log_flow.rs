//! Output under pressure: nothing lost or torn, memory bounded, supervision goes on.

use std::time::Duration;

use crate::support::{Bed, SIGKILL, last_pid, now, procfs, send, text, wait_until, workers};

#[test]
fn twenty_thousand_lines_before_process_exit_all_arrive() {
    for pid1 in [true, false, true] {
        let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.js\"\nautorestart = false\n");
        bed.file("main.js", "for (let i = 0; i < 20000; i++) console.log(`line ${i}`);\nprocess.exit(7);\n");
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.expect_code(7);
        let lines = run.out().lines();
        assert_eq!(lines.len(), 20_000, "PID 1: {pid1}");
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("0|main | line {number}"));
        }
    }
}

#[test]
fn the_last_words_of_a_killed_worker_arrive() {
    let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.py\"\nautorestart = false\n");
    bed.file(
        "main.py",
        "import os, signal\nos.write(1, b''.join(b'line %d %s\\n' % (i, b'x' * 80) for i in range(9000)))\n\
         os.write(2, b'last words')\nos.kill(os.getpid(), signal.SIGKILL)\n",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(137);
    assert_eq!(run.out().lines().len(), 9000);
    assert_eq!(run.err().lines_with("last words"), ["0|main | last words"]);
}

#[test]
fn a_line_of_64_mebibytes_needs_little_memory() {
    let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.py\"\n");
    bed.file(
        "main.py",
        "import os, time\nfor _ in range(64): os.write(1, b'Z' * 1048576)\n\
         os.write(1, b'\\nafter\\n')\ntime.sleep(1000)\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    let after = run.wait_for_line("after");
    assert_eq!(after, "0|main | after");
    assert_eq!(run.out().count(b'Z'), 64 * 1024 * 1024, "every byte arrives");
    let lines = run.out().lines();
    assert!(lines.len() > 2, "in pieces");
    assert!(lines.iter().all(|line| line.starts_with("0|main | ")), "each with its prefix");
    let peak = procfs::peak_kib(run.pid());
    assert!(peak < 24 * 1024, "procrun grew to {peak} KiB");
    run.expect_stop();
}

#[test]
fn a_worker_that_dies_in_a_long_line_does_not_lose_its_beginning() {
    let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.py\"\nautorestart = false\n");
    bed.file("main.py", "import os\nos.write(1, b'~' * 900000)\n");
    for args in [&["ecosystem.toml"][..], &["ecosystem.toml", "--raw"], &["ecosystem.toml", "--json"]] {
        let mut run = bed.start(args);
        run.expect_code(0);
        assert_eq!(run.out().count(b'~'), 900_000, "{args:?}");
        assert_eq!(run.out().unfinished(), b"", "{args:?}");
        if args.contains(&"--json") {
            for line in run.out().lines() {
                serde_json::from_str::<serde_json::Value>(&line)
                    .unwrap_or_else(|error| panic!("{error}: {line}"));
            }
        }
    }
}

#[test]
fn lines_of_many_writers_are_never_torn() {
    const WRITERS: usize = 12;
    const LINES: usize = 400;
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"many\"\nscript = \"./many.py\"\ninstances = {WRITERS}\nautorestart = false\n"
    ));
    bed.file(
        "many.py",
        format!(
            "import os, random\nme = os.environ['NODE_APP_INSTANCE']\nrandom.seed(int(me))\n\
             text = ''.join('%s line %d %s.\\n' % (me, i, me * random.randrange(1, 4000)) for i in range({LINES})).encode()\n\
             while text:\n    size = random.randrange(1, 9000)\n    os.write(random.choice([1]), text[:size])\n    text = text[size:]\n"
        ),
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(0);
    let mut next = [0_usize; WRITERS];
    for line in run.out().lines() {
        let (label, text) = line.split_once(" | ").unwrap_or_else(|| panic!("no prefix: {line}"));
        let words: Vec<&str> = text.split(' ').collect();
        let me: usize = words[0].parse().unwrap_or_else(|_| panic!("torn: {line}"));
        assert_eq!(label.trim(), format!("{me}|many"), "{line}");
        assert_eq!(words[1..3], ["line", next[me].to_string().as_str()], "{line}");
        let body = words[3].strip_suffix('.').unwrap_or_else(|| panic!("torn: {line}"));
        assert!(body.replace(words[0], "").is_empty(), "mixed: {line}");
        next[me] += 1;
    }
    assert_eq!(next, [LINES; WRITERS]);
}

/// `talker` writes to `stream` without end; `crasher` notes its starts in a file.
fn talker_and_crasher(stream: u8) -> Bed {
    let bed = Bed::with(
        "[[apps]]\nname = \"talker\"\nscript = \"./talker.py\"\nkill_timeout = 500\n\
         [[apps]]\nname = \"crasher\"\nscript = \"./crasher.sh\"\nargs = [\"starts\", \"0\"]\nrestart_delay = 50\nmin_uptime = 0\n",
    );
    bed.script(
        "talker.py",
        format!(
            "#!/usr/bin/env python3\nimport os\nnumber = 0\nwhile True:\n    os.write({stream}, b'line %d\\n' % number)\n\
             \x20   number += 1\n    if number % 1000 == 0: open('progress', 'w').write(str(number))\n"
        ),
    );
    bed.script("crasher.sh", workers::CRASHER);
    bed
}

fn starts(bed: &Bed) -> usize {
    bed.read("starts").lines().count()
}

#[test]
fn a_blocked_stdout_stops_neither_supervision_nor_the_stop() {
    for (pid1, stream) in [(false, 1), (true, 1), (true, 2)] {
        let bed = talker_and_crasher(stream);
        let launch = bed.launch(&["ecosystem.toml"]).pid1_if(pid1);
        let mut run = if stream == 1 { launch.hold_out() } else { launch.hold_err() }.start();
        // The talker is held: its progress stands still while the crasher runs ten times more.
        let mut seen = (bed.read("progress"), starts(&bed));
        wait_until("the talker to be held while the crasher goes on", || {
            let progress = bed.read("progress");
            if progress != seen.0 || progress.is_empty() {
                seen = (progress, starts(&bed));
            }
            starts(&bed) >= seen.1 + 10
        });
        let peak = procfs::peak_kib(run.pid());
        assert!(peak < 24 * 1024, "procrun grew to {peak} KiB");
        run.expect_stop();
        assert!(run.others().is_empty(), "{}", run.story());
    }
}

#[test]
fn procruns_own_lines_pass_a_blocked_stdout() {
    for pid1 in [false, true] {
        let bed = talker_and_crasher(1);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).hold_out().start();
        let before = run.err().lines().len();
        wait_until("restarts to be said", || run.err().lines().len() > before + 20);
        let mut seen = (bed.read("progress"), run.err().lines_with("crasher").len());
        wait_until("restarts to be said while the talker is held", || {
            let progress = bed.read("progress");
            if progress != seen.0 || progress.is_empty() {
                seen = (progress, run.err().lines_with("crasher").len());
            }
            run.err().lines_with("crasher").len() > seen.1 + 10
        });
        run.expect_stop();
        for said in
            ["received SIGTERM", "all apps have exited, procrun exits with code 0", "the output is not read"]
        {
            assert_eq!(run.err().lines_with(said).len(), 1, "{said}{}", run.story());
        }
    }
}

#[test]
fn a_blocked_stdout_loses_nothing() {
    const LINES: usize = 60_000;
    let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.py\"\nautorestart = false\n");
    bed.file(
        "main.py",
        format!("import sys\nopen('begun', 'w').close()\nfor i in range({LINES}): sys.stdout.write('line %d %s\\n' % (i, 'x' * 60))\n"),
    );
    let mut run = bed.launch(&["ecosystem.toml"]).pid1().hold_out().start();
    wait_until("the worker to begin", || bed.exists("begun"));
    let worker = run.worker();
    wait_until("the worker to be held by its pipe", || {
        std::fs::read_to_string(format!("/proc/{worker}/wchan")).is_ok_and(|at| at.contains("pipe"))
            || procfs::process(worker).is_none_or(|it| it.state == 'S')
    });
    run.release_out();
    run.expect_code(0);
    let lines = run.out().lines();
    assert_eq!(lines.len(), LINES);
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("0|main | line {number} ")), "{line}");
    }
}

/// A job that ends by itself before its slow reader has read: there was no stop, so nothing is
/// thrown away. A stop ends the wait.
#[test]
fn the_last_lines_wait_for_a_slow_reader_except_in_a_shutdown() {
    for stopped in [false, true] {
        let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.py\"\nautorestart = false\n");
        bed.file(
            "main.py",
            "import os\nos.write(1, b''.join(b'line %d %s\\n' % (i, b'x' * 80) for i in range(9000)))\nopen('written', 'w').close()\n",
        );
        let mut run = bed.launch(&["ecosystem.toml"]).pid1().hold_out().start();
        wait_until("the worker to have written", || bed.exists("written"));
        wait_until("the worker to be gone", || run.has_ended() || run.children().is_empty());
        if stopped {
            run.expect_stop();
        } else {
            let gone = now();
            wait_until("the reader to be slow", || gone.elapsed() > Duration::from_secs(4));
            run.release_out();
            run.expect_code(0);
            assert_eq!(run.out().lines().len(), 9000, "{}", run.story());
        }
    }
}

/// As Node leaves a pipe that it shares: writing gives EAGAIN.
#[test]
fn a_stdout_that_does_not_block_loses_nothing_and_stays_as_it_was() {
    const LINES: usize = 60_000;
    let does_not_block = "import os, sys; os.set_blocking(1, False); os.execv(sys.argv[1], sys.argv[1:])";
    for through in [&["env"][..], &["python3", "-c", does_not_block]] {
        let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.py\"\nautorestart = false\n");
        bed.file(
            "main.py",
            format!("import sys\nopen('begun', 'w').close()\nfor i in range({LINES}): sys.stdout.write('line %d %s\\n' % (i, 'x' * 60))\n"),
        );
        let mut run = bed.launch(&["ecosystem.toml"]).through(through).hold_out().start();
        wait_until("the worker to begin", || bed.exists("begun"));
        let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/1", run.pid())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim();
        let blocks = u32::from_str_radix(flags, 8).unwrap() & 0o4000 == 0;
        assert_eq!(blocks, through.len() == 1, "left as it was");
        run.release_out();
        run.expect_code(0);
        assert_eq!(run.out().lines().len(), LINES);
    }
}

#[test]
fn a_closed_stdout_is_reported_once_and_affects_no_app() {
    for pid1 in [false, true] {
        let bed = talker_and_crasher(1);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).hold_out().start();
        wait_until("the crasher to run", || starts(&bed) > 1);
        run.close_out();
        run.wait_for_err("stdout");
        let progress = || bed.read("progress").parse::<u64>().unwrap_or(0);
        let (before, runs) = (progress(), starts(&bed));
        wait_until("the talker and the crasher to go on", || {
            progress() > before + 100_000 && starts(&bed) > runs + 5
        });
        run.expect_stop();
        assert_eq!(run.err().lines_with("stdout").len(), 1, "once{}", run.story());
    }
}

#[test]
fn an_orphan_that_holds_the_pipe_does_not_hold_up_the_end() {
    let bed = Bed::once("treekill = false\n", "setsid sleep 1000 &\necho left $!\nexit 6");
    let mut run = bed.start(&["ecosystem.toml"]);
    let orphan = last_pid(&run.wait_for_line("left"));
    run.expect_code(6);
    send(orphan, SIGKILL);
}

#[test]
fn an_orphan_that_holds_the_pipe_does_not_hold_up_a_restart() {
    let bed = Bed::again(
        "treekill = false\n",
        "setsid sleep 1000 &\n[ -f again ] && echo again && exec sleep 1000\n> again\nexit 6",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("again");
    run.expect_stop();
}

#[test]
fn output_without_end_in_short_lines_is_in_order() {
    let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"./main.py\"\nautorestart = false\n");
    bed.file("main.py", "import os\nfor i in range(30000): os.write(1 + i % 2, b'%d\\n' % i)\n");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(0);
    let out: Vec<String> = run.out().lines();
    let err: Vec<String> = run.err().lines_with("main |");
    assert_eq!((out.len(), err.len()), (15_000, 15_000));
    for (at, line) in out.iter().enumerate() {
        assert_eq!(text(line), (2 * at).to_string());
    }
    for (at, line) in err.iter().enumerate() {
        assert_eq!(text(line), (2 * at + 1).to_string());
    }
}
