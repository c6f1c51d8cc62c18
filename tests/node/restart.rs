//! When an application runs again, how long it waits, and when procrun gives up.

use crate::support::{Bed, End, Procrun, SIGKILL, send, wait_until, workers};
use serde_json::Value;

/// A bed whose app `main` notes the time of each start in `starts`, then does `body`. Unless `keys` set `min_uptime`,
/// no run is stable, however slow the machine is.
fn app(keys: &str, body: &str) -> Bed {
    let unstable = if keys.contains("min_uptime") { "" } else { "min_uptime = \"10m\"\n" };
    let body = format!("ulimit -c 0\ndate +%s%N >> starts\nrun=$(wc -l < starts)\n{body}");
    Bed::again(&format!("{unstable}{keys}"), &body)
}

/// When the app was started, in milliseconds.
fn starts(bed: &Bed) -> Vec<u64> {
    bed.read("starts").lines().map(|line| line.parse::<u64>().expect("nanoseconds") / 1_000_000).collect()
}

/// The times between the starts, in milliseconds.
fn gaps(bed: &Bed) -> Vec<u64> {
    starts(bed).windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The delays that the log announces: `now` or `in 100 ms`.
fn announced(run: &Procrun) -> Vec<String> {
    let lines = run.err().lines_with(", restarting ");
    lines.iter().filter_map(|line| Some(line.split_once(", restarting ")?.1.to_owned())).collect()
}

#[test]
fn without_autorestart_it_runs_once() {
    for (code, signal) in [(0, ""), (4, ""), (137, "kill -9 $$")] {
        let bed = app("autorestart = false\n", &format!("{signal}\nexit {code}"));
        bed.start_pid1(&["ecosystem.toml"]).expect_code(code);
        assert_eq!(starts(&bed).len(), 1);
    }
}

#[test]
fn exit_0_restarts_too() {
    let bed = app("", "[ $run = 3 ] && exec sleep 1000; exit 0");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the third run", || starts(&bed).len() == 3);
    run.expect_stop();
    assert_eq!(starts(&bed).len(), 3);
}

#[test]
fn a_stop_exit_code_is_final_and_others_are_not() {
    for (code, list) in [(0, "[0]"), (3, "[3]"), (9, "[0, 9]")] {
        let bed =
            app(&format!("stop_exit_codes = {list}\n"), &format!("[ $run = 2 ] && exit {code}; exit 1"));
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(code);
        assert_eq!(starts(&bed).len(), 2, "{list}{}", run.story());
    }
}

#[test]
fn restart_delay_is_the_same_each_time() {
    let bed = app("restart_delay = 200\nmax_restarts = 7\n", "exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(1);
    let gaps = gaps(&bed);
    assert_eq!(gaps.len(), 6, "{}", run.story());
    assert!(gaps.iter().all(|gap| *gap >= 200), "{gaps:?}");
    assert_eq!(announced(&run), ["in 200 ms"; 6], "{}", run.story());
}

#[test]
fn the_default_retries_once_at_once_and_then_slows_down() {
    let bed = app("max_restarts = 8\n", "exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(1);
    let gaps = gaps(&bed);
    assert_eq!(gaps.len(), 7, "{}", run.story());
    assert_eq!(announced(&run)[0], "now", "{}", run.story());
    for (at, least) in [100, 150, 225, 337, 506, 759].into_iter().enumerate() {
        assert!(gaps[at + 1] >= least, "at least {least} ms: {gaps:?}");
        assert_eq!(announced(&run)[at + 1], format!("in {least} ms"), "{}", run.story());
    }
}

#[test]
fn exp_backoff_restart_delay_sets_the_first_wait() {
    let bed = app("exp_backoff_restart_delay = 40\nmax_restarts = 8\n", "exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(1);
    let gaps = gaps(&bed);
    assert_eq!(gaps.len(), 7, "{}", run.story());
    for (at, least) in [40, 60, 90, 135, 202, 303, 455].into_iter().enumerate() {
        assert!(gaps[at] >= least, "at least {least} ms: {gaps:?}");
        assert_eq!(announced(&run)[at], format!("in {least} ms"), "{}", run.story());
    }
}

/// What pm2-runtime restarts for ever at full speed.
#[test]
fn a_program_that_crashes_after_min_uptime_slows_down_and_is_not_given_up() {
    let bed = app("min_uptime = 100\nmax_restarts = 3\n", "sleep 0.15; exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the eighth run", || starts(&bed).len() == 8);
    run.expect_stop();
    let gaps = gaps(&bed);
    for (at, least) in [100, 150, 225, 337, 506, 759].into_iter().enumerate() {
        assert!(gaps[at + 1] >= 150 + least, "run and wait: {gaps:?}");
    }
}

#[test]
fn max_restarts_unstable_starts_make_it_errored() {
    for most in [1, 2, 5] {
        let bed = app(&format!("max_restarts = {most}\nrestart_delay = 5\n"), "exit 7");
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(7);
        assert_eq!(starts(&bed).len(), most, "{}", run.story());
        assert!(!run.err().lines_with("errored").is_empty(), "it is said{}", run.story());
    }
}

#[test]
fn sixteen_unstable_starts_are_the_default() {
    let bed = app("restart_delay = 5\n", "exit 7");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(7);
    assert_eq!(starts(&bed).len(), 16, "{}", run.story());
}

#[test]
fn a_stable_run_sets_the_count_back() {
    // Two short, one long, two short, and then it stays: never three short ones in a row.
    let bed = app(
        "max_restarts = 3\nmin_uptime = 200\nrestart_delay = 5\n",
        "case $run in 3) sleep 0.4 ;; 6) exec sleep 1000 ;; esac; exit 1",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the sixth run", || run.has_ended() || starts(&bed).len() == 6);
    assert!(!run.has_ended(), "given up{}", run.story());
    run.expect_stop();
}

#[test]
fn an_app_that_waits_for_its_restart_counts_as_alive() {
    let bed = app("restart_delay = 1200\n", "[ $run = 2 ] && exec sleep 1000; exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the second run", || run.has_ended() || starts(&bed).len() == 2);
    assert!(!run.has_ended(), "ended while the app waited{}", run.story());
    run.expect_stop();
}

#[test]
fn a_death_by_signal_restarts() {
    let bed = Bed::again("args = [\"app\"]\n", "");
    bed.script("main.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("app up");
    send(run.worker(), SIGKILL);
    run.wait_for_lines("app up", 2);
    assert_eq!(announced(&run), ["now"], "{}", run.story());
    run.expect_stop();
}

#[test]
fn ends_are_logged_with_their_reason() {
    let bed = app("max_restarts = 3\nrestart_delay = 5\n", "[ $run = 2 ] && kill -9 $$; exit 42");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(42);
    let said = run.err().lines();
    let about = |reason: &str, detail: &str| {
        said.iter().any(|line| {
            line.contains("procrun")
                && line.contains("main (0)")
                && line.contains(reason)
                && line.contains(detail)
        })
    };
    assert!(about("exit", "42"), "{}", run.story());
    assert!(about("signal", "SIGKILL") || about("signal", "9"), "{}", run.story());
}

#[test]
fn a_program_that_vanishes_is_spawn_failed_and_counts_as_unstable() {
    let bed = app("max_restarts = 4\nrestart_delay = 5\n", "rm main.sh; exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    let end = run.wait_end();
    assert!(matches!(end, End::Code(code) if code != 0), "{end:?}{}", run.story());
    assert_eq!(starts(&bed).len(), 1);
    let failed = run.err().lines_with("could not start");
    assert!(failed.iter().any(|line| line.contains("main.sh")), "with the path{}", run.story());
    assert!(failed.len() >= 3, "each failed start is said{}", run.story());
}

#[test]
fn a_program_that_exists_again_is_started_again() {
    let bed = app("restart_delay = 50\n", "mv main.sh away; exit 1");
    bed.script("back.sh", "#!/bin/sh\necho back\nexec sleep 1000\n");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_err("could not start");
    std::fs::rename(bed.path("back.sh"), bed.path("main.sh")).unwrap();
    run.wait_for_line("back");
    run.expect_stop();
}

#[test]
fn one_instance_that_crashes_leaves_the_others_alone() {
    let bed = app(
        "instances = 3\nmax_restarts = 2\nrestart_delay = 5\n",
        "echo \"run $NODE_APP_INSTANCE\"; [ \"$NODE_APP_INSTANCE\" = 1 ] && exit 5; exec sleep 1000",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_lines("run 1", 2);
    run.wait_for_line("run 0");
    run.wait_for_line("run 2");
    wait_until("the crashing one to be given up", || run.children().len() == 2);
    run.expect_stop();
    for (line, times) in [("run 0", 1), ("run 1", 2), ("run 2", 1)] {
        assert_eq!(run.out().lines_with(line).len(), times, "{line}{}", run.story());
    }
}

#[test]
fn an_error_that_nothing_catches_is_the_reason_of_the_end() {
    for (script, reason, said) in [
        ("Promise.reject(new Error('lost'));", "unhandled-rejection", "unhandled promise rejection"),
        ("(async () => { throw 5; })();", "unhandled-rejection", "unhandled promise rejection"),
        ("throw new Error('lost');", "uncaught-exception", "uncaught exception"),
        // The application decides.
        ("process.on('uncaughtException', () => process.exit(1)); throw 1;", "exit", ", up "),
        ("process.on('unhandledRejection', () => process.exit(1)); Promise.reject();", "exit", ", up "),
        ("process.exit(1);", "exit", ", up "),
    ] {
        for mode in ["fork", "cluster"] {
            let bed = Bed::with(&format!(
                "[[apps]]\nname = \"app\"\nscript = \"app.js\"\nexec_mode = \"{mode}\"\nautorestart = false\n"
            ));
            bed.file("app.js", script);
            let mut run = bed.start(&["ecosystem.toml", "--json"]);
            run.expect_code(1);
            let line = run.wait_for_err("app (0) exited");
            let ended: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(ended["reason"], reason, "{mode} {script} {line}");
            assert!(line.contains(said), "{line}");
            let has_hint = line.contains("--unhandled-rejections=warn");
            assert_eq!(has_hint, reason == "unhandled-rejection", "{line}");
        }
    }
}

#[test]
fn the_option_of_the_hint_keeps_the_process() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"app.js\"\nnode_args = \"--unhandled-rejections=warn\"\n",
    );
    bed.file("app.js", "Promise.reject(5); setTimeout(() => console.log('goes on', process.execArgv), 100);setInterval(() => {}, 1e6);");
    let mut run = bed.start(&["ecosystem.toml"]);
    // The script of procrun is not among the options that the application sees.
    run.wait_for_line("goes on [ '--unhandled-rejections=warn' ]");
    run.expect_stop();
}
