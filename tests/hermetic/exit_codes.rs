//! The code procrun ends with: the application's own, 128 + n for a signal, and the few of its own.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::support::{
    Bed, End, SIGCHLD, SIGCONT, SIGHUP, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
    wait_until, workers,
};

const RUNNERS: usize = 6;

/// Run `worker` once for each number, several at a time, and demand what `expected` says.
fn for_each_number(numbers: &[i32], pid1: bool, worker: &str, expected: impl Fn(i32) -> i32 + Sync) {
    let bed = Bed::new();
    bed.script("worker", worker);
    for number in numbers {
        let app = format!(
            "[[apps]]\nname = \"once\"\nscript = \"./worker\"\nargs = [\"{number}\"]\nautorestart = false\n"
        );
        bed.file(&format!("{number}.toml"), app);
    }
    let next = AtomicI32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..RUNNERS {
            scope.spawn(|| {
                while let Some(&number) =
                    numbers.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap())
                {
                    let mut run = bed.launch(&[&format!("{number}.toml")]).pid1_if(pid1).start();
                    let end = run.wait_end();
                    assert_eq!(end, End::Code(expected(number)), "{number}, PID 1: {pid1}{}", run.story());
                }
            });
        }
    });
}

const EXITS: &str = "#!/bin/sh\nexit \"$1\"\n";
const KILLS_ITSELF: &str = "#!/bin/sh\nulimit -c 0\nkill -\"$1\" $$\necho still here\n";

/// All signals whose default is to end the process.
fn deadly_signals() -> Vec<i32> {
    let harmless = [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH];
    (1..=31).chain(34..=64).filter(|signal| !harmless.contains(signal)).collect()
}

#[test]
fn procrun_returns_every_exit_code() {
    for_each_number(&(0..=255).collect::<Vec<_>>(), false, EXITS, |code| code);
}

#[test]
fn pid_1_returns_every_exit_code() {
    for_each_number(&(0..=255).collect::<Vec<_>>(), true, EXITS, |code| code);
}

#[test]
fn every_deadly_signal_gives_128_and_its_number() {
    for_each_number(&deadly_signals(), false, KILLS_ITSELF, |signal| 128 + signal);
}

#[test]
fn every_deadly_signal_gives_128_and_its_number_as_pid_1() {
    for_each_number(&deadly_signals(), true, KILLS_ITSELF, |signal| 128 + signal);
}

/// `well` ends with 0, then `first` with 3, then `second` with 4.
#[test]
fn of_several_failed_apps_the_first_gives_the_code() {
    let bed = Bed::with(
        r#"
        [[apps]]
        name = "well"
        script = "exit 0; "
        autorestart = false
        [[apps]]
        name = "first"
        script = "./first.sh"
        autorestart = false
        [[apps]]
        name = "second"
        script = "./second.sh"
        autorestart = false
        "#,
    );
    bed.script("first.sh", "#!/bin/sh\necho $$ > pid.new\nmv pid.new pid\nexit 3\n");
    bed.script(
        "second.sh",
        "#!/bin/sh\nuntil [ -f pid ]; do sleep 0.02; done\nwhile kill -0 \"$(cat pid)\" 2>/dev/null; do sleep 0.02; done\nexit 4\n",
    );
    bed.start_pid1(&["ecosystem.toml"]).expect_code(3);
}

#[test]
fn all_well_gives_0() {
    let bed = Bed::with(
        r#"
        [[apps]]
        name = "a"
        script = "./well.sh"
        instances = 3
        autorestart = false
        [[apps]]
        name = "b"
        script = "./well.sh"
        autorestart = false
        "#,
    );
    bed.script("well.sh", "#!/bin/sh\nexit 0\n");
    bed.start(&["ecosystem.toml"]).expect_code(0);
}

#[test]
fn a_stop_gives_0_whatever_failed_before() {
    let bed = Bed::with(
        r#"
        [[apps]]
        name = "failed"
        script = "./failed.sh"
        autorestart = false
        [[apps]]
        name = "steady"
        script = "./steady.sh"
        args = ["steady"]
        "#,
    );
    bed.script("failed.sh", "#!/bin/sh\necho failing\nexit 3\n");
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("failing");
    run.wait_for_line("steady up");
    wait_until("only the steady one to be left", || run.children().len() == 1);
    run.expect_stop();
    run.wait_for_line("steady bye TERM");
}

/// An app that crashes at once until it is `errored`, with these codes one after the other.
fn errored(codes: &[&str], more: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"bad\"\nscript = \"./bad.sh\"\nmax_restarts = {}\nrestart_delay = 5\n{more}",
        codes.len()
    ));
    let codes = codes.join("\n");
    bed.file("codes", format!("{codes}\n"));
    bed.script(
        "bad.sh",
        "#!/bin/sh\nulimit -c 0\necho run >> runs\nend=$(sed -n \"$(wc -l < runs)p\" codes)\n\
         case $end in -*) kill $end $$ ;; esac\nexit \"$end\"\n",
    );
    bed
}

#[test]
fn an_errored_app_gives_its_last_code() {
    for (codes, expected) in [
        (&["5", "6", "9"][..], 9),
        (&["5", "6", "0"], 1),
        (&["0", "0"], 1),
        (&["7", "-9"], 137),
        (&["-6", "8"], 8),
    ] {
        let bed = errored(codes, "");
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        let end = run.wait_end();
        assert_eq!(end, End::Code(expected), "{codes:?}{}", run.story());
        assert_eq!(bed.read("runs").lines().count(), codes.len(), "{codes:?}{}", run.story());
    }
}

const STEADY_APP: &str = r#"
    [[apps]]
    name = "steady"
    script = "./steady.sh"
    args = ["steady"]
"#;

#[test]
fn on_errored_exit_stops_the_others_in_order_and_gives_the_code() {
    let bed = errored(&["5", "6"], &format!("on_errored = \"exit\"\n{STEADY_APP}"));
    // The first failure waits until the other is up.
    let bad = bed.read("bad.sh").replace("echo run", "until [ -f is-up ]; do sleep 0.02; done\necho run");
    bed.script("bad.sh", bad);
    bed.script("steady.sh", workers::STEADY.replace("echo \"$1 up $$\"", "echo \"$1 up $$\"; > is-up"));
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(6);
    assert_eq!(run.out().lines_with("steady bye").len(), 1, "stopped in order{}", run.story());
}

#[test]
fn on_errored_continue_is_the_default_and_leaves_the_others_alone() {
    let bed = errored(&["5", "6"], STEADY_APP);
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("steady up");
    wait_until("the bad one to be errored", || {
        bed.read("runs").lines().count() == 2 && run.children().len() == 1
    });
    // A re-read file is applied: procrun lives on, and so does the steady one.
    bed.file("ecosystem.toml", format!("{STEADY_APP}\n{}", STEADY_APP.replace("steady\"", "later\"")));
    bed.script("later.sh", workers::STEADY);
    bed.file("ecosystem.toml", bed.read("ecosystem.toml").replace("./later", "./steady"));
    run.signal(SIGHUP);
    run.wait_for_line("later up");
    run.expect_stop();
    assert_eq!(run.out().lines_with("steady up").len(), 1, "never restarted{}", run.story());
    assert_eq!(run.out().lines_with("steady bye TERM").len(), 1, "stopped in order{}", run.story());
}

#[test]
fn no_auto_exit_stays_when_all_apps_have_ended() {
    for pid1 in [false, true] {
        let bed = Bed::with("[[apps]]\nname = \"once\"\nscript = \"./once.sh\"\nautorestart = false\n");
        bed.script("once.sh", "#!/bin/sh\necho once\nexit 3\n");
        bed.script("steady.sh", workers::STEADY);
        let mut run = bed.launch(&["ecosystem.toml", "--no-auto-exit"]).pid1_if(pid1).start();
        run.wait_for_line("once");
        wait_until("the only app to be gone", || run.children().is_empty());
        bed.file(
            "ecosystem.toml",
            bed.read("ecosystem.toml")
                + "[[apps]]\nname = \"later\"\nscript = \"./steady.sh\"\nargs = [\"later\"]\n",
        );
        run.signal(SIGHUP);
        run.wait_for_line("later up");
        run.signal(SIGTERM);
        run.expect_code(0);
        run.wait_for_line("later bye TERM");
    }
}

/// Run the only app and give its end and what stood on stderr.
fn only_app(app: &str, prepare: impl Fn(&Bed)) -> (End, String) {
    let bed = Bed::with(&format!("[[apps]]\nname = \"only\"\nautorestart = false\n{app}"));
    prepare(&bed);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    let end = run.wait_end();
    assert!(!bed.exists("started"), "it was started{}", run.story());
    (end, run.err().lines().join("\n"))
}

#[test]
fn a_program_that_is_missing_gives_127() {
    for app in [
        "script = \"./not-there\"",
        "script = \"./not-there.sh\"",
        "script = \"/no/such/program\"",
        "script = \"no-such-program-in-the-path\"",
        "script = \"./there.txt\"\ninterpreter = \"no-such-interpreter\"",
        "script = \"./there.txt\"\ninterpreter = \"/no/such/interpreter\"",
    ] {
        let (end, said) = only_app(app, |bed| drop(bed.script("there.txt", "touch started\n")));
        assert_eq!(end, End::Code(127), "{app}\n{said}");
        let named = ["not-there", "/no/such/program", "no-such-program-in-the-path", "such"];
        assert!(named.iter().any(|name| app.contains(name) && said.contains(name)), "{app}\n{said}");
    }
}

#[test]
fn a_program_that_cannot_be_executed_gives_126() {
    let (end, said) = only_app("script = \"./plain\"\ninterpreter = \"none\"", |bed| {
        bed.file("plain", "#!/bin/sh\ntouch started\n");
    });
    assert_eq!(end, End::Code(126), "{said}");
    assert!(said.contains("plain"), "{said}");

    let (end, said) = only_app("script = \"./some.txt\"\ninterpreter = \"./plain\"", |bed| {
        bed.file("plain", "#!/bin/sh\ntouch started\n");
        bed.file("some.txt", "touch started\n");
    });
    assert_eq!(end, End::Code(126), "{said}");
    assert!(said.contains("plain"), "{said}");
}

#[test]
fn a_bad_interpreter_line_is_reported_with_the_path() {
    for interpreter in ["", "interpreter = \"none\"\n"] {
        let (end, said) = only_app(&format!("script = \"./shebang\"\n{interpreter}"), |bed| {
            bed.script("shebang", "#!/no/such/shell\ntouch started\n");
        });
        assert!(matches!(end, End::Code(126 | 127)), "{end:?}\n{said}");
        assert!(said.contains("shebang"), "{said}");
    }
}

#[test]
fn an_unknown_user_is_an_error_with_its_name() {
    let (end, said) = only_app("script = \"touch started; \"\nuser = \"no-such-user\"", |_| {});
    assert!(matches!(end, End::Code(78 | 126)), "{end:?}\n{said}");
    assert!(said.contains("no-such-user"), "{said}");
}

#[test]
fn a_target_that_is_missing_gives_127() {
    for target in ["./not-there.sh", "/no/such/program", "no-such-program-in-the-path"] {
        let bed = Bed::new();
        let mut run = bed.start(&[target]);
        run.expect_code(127);
        run.wait_for_err(target);
    }
}

#[test]
fn a_bad_file_gives_78() {
    for content in ["[[apps]\n", "[[apps]]\nname = \"a\"\nscript = \"true\"\nmax_memory_restrat = \"1G\"\n"] {
        for pid1 in [false, true] {
            let bed = Bed::with(content);
            let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
            run.expect_code(78);
            run.wait_for_err("ecosystem.toml");
        }
    }
}

#[test]
fn wrong_usage_gives_64() {
    let bed = Bed::with(STEADY_APP);
    bed.script("steady.sh", workers::STEADY);
    for args in
        [&["ecosystem.toml", "--no-such-flag"][..], &["ecosystem.toml", "-i", "banana"], &["run"], &[]]
    {
        let mut run = bed.start(args);
        let end = run.wait_end();
        assert_eq!(end, End::Code(64), "{args:?}{}", run.story());
        assert_eq!(run.out().lines_with("up").len(), 0, "{args:?}{}", run.story());
    }
}

/// The main app of a Job and a helper that would run for ever.
#[test]
fn a_job_completes_when_its_main_app_has_ended() {
    for (keys, exit, code) in [
        ("ends_container = true", 0, 0),
        ("ends_container = true\nautorestart = false", 3, 3),
        ("ends_container = \"on_success\"\noneshot = true", 0, 0),
        ("ends_container = \"on_failure\"\nmax_restarts = 1", 4, 4),
        ("critical = true\nautorestart = false", 3, 3),
    ] {
        let helper = "[[apps]]\nname = \"helper\"\nscript = \"./steady.sh\"\nargs = [\"helper\"]\n";
        let main = format!("[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\n{keys}\n");
        let bed = Bed::with(&format!("{helper}{main}"));
        bed.script("steady.sh", workers::STEADY.replace("echo \"$1 up $$\"", "echo \"$1 up $$\"; > is-up"));
        bed.script("main.sh", format!("#!/bin/sh\nuntil [ -f is-up ]; do sleep 0.02; done\nexit {exit}\n"));
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(code);
        assert_eq!(run.out().lines_with("helper bye").len(), 1, "{keys}: stopped in order{}", run.story());
        run.wait_for_err(&format!("main (1) has exited: stopping all apps, exit code {code}"));
    }
}

/// Neither what waits for the main app nor `auto_exit` changes that its end is the end.
#[test]
fn the_end_of_the_main_app_ends_the_container_whatever_waits_for_it() {
    for (root, main, code) in [
        ("auto_exit = false", "exit 0", 0),
        ("auto_exit = false", "exit 5", 5),
        ("auto_exit = true", "exit 0", 0),
    ] {
        let bed = Bed::with(&format!(
            "{root}\n\
             [[apps]]\nname = \"migrate\"\nscript = \"> migrated; \"\noneshot = true\n\
             [[apps]]\nname = \"main\"\nscript = \"./main.sh\"\noneshot = true\ndepends_on = [\"migrate\"]\n\
             ends_container = true\nmax_restarts = 1\n\
             [[apps]]\nname = \"after\"\nscript = \"> after; sleep 1000\"\ndepends_on = [\"main\"]\n\
             [[apps]]\nname = \"helper\"\nscript = \"./steady.sh\"\nargs = [\"helper\"]\n"
        ));
        bed.script("steady.sh", workers::STEADY.replace("echo \"$1 up $$\"", "echo \"$1 up $$\"; > is-up"));
        bed.script(
            "main.sh",
            format!(
                "#!/bin/sh\nuntil [ -f is-up ]; do sleep 0.02; done\n[ -f migrated ] && {main}\nexit 9\n"
            ),
        );
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(code);
        assert_eq!(run.out().lines_with("helper bye").len(), 1, "{root}, {main}{}", run.story());
    }
}

#[test]
fn an_option_makes_the_end_of_an_app_the_end_of_the_container() {
    for (option, exit, code) in [
        ("--ends-container", 0, 0),
        ("--ends-container=on_failure", 6, 6),
        ("--ends-container=on_success", 0, 0),
    ] {
        let bed = Bed::with(
            "auto_exit = false\n[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\nautorestart = false\n",
        );
        bed.script("main.sh", format!("#!/bin/sh\nexit {exit}\n"));
        bed.start_pid1(&["ecosystem.toml", option]).expect_code(code);
    }
}

#[test]
fn a_stop_by_hand_does_not_end_the_container() {
    let bed = Bed::with(
        "[[apps]]\nname = \"main\"\nscript = \"./steady.sh\"\nargs = [\"main\"]\nends_container = true\n\
         [[apps]]\nname = \"helper\"\nscript = \"./steady.sh\"\nargs = [\"helper\"]\n",
    );
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("main up");
    run.wait_for_line("helper up");
    bed.command(&["stop", "main"]).ok();
    run.wait_for_line("main bye");
    bed.command(&["start", "main"]).ok();
    assert!(run.out().lines_with("helper bye").is_empty(), "{}", run.story());
    run.expect_stop();
}
