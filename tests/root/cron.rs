//! `cron_restart` in real time: schedules of each second, and what they do to an application in each state.

use std::{collections::BTreeSet, fs};

use crate::support::{
    self, Bed, Procrun, SIGCONT, SIGHUP, SIGSTOP, last_pid, now, send, wait_until, web::get, workers,
};

const EACH_SECOND: &str = "* * * * * *";
/// Not before the test is over, unless it runs over New Year.
const SELDOM: &str = "59 59 23 31 12 *";

/// A bed whose one app is this script.
fn app(keys: &str, script: &str) -> Bed {
    let bed =
        Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\nargs = [\"app\"]\n{keys}\n"));
    bed.script("app.sh", script);
    bed
}

fn cron(pattern: &str) -> String {
    format!("cron_restart = \"{pattern}\"\n")
}

/// How many alarms by the wall clock procrun has set.
fn alarms(run: &Procrun) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", run.pid())).expect("procrun runs");
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("timerfd")).count()
}

#[test]
fn an_app_restarts_at_its_times() {
    for pid1 in [false, true] {
        let bed = app(&cron(EACH_SECOND), workers::STEADY);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        let ups = run.wait_for_lines("app up", 4);
        let mut pids: Vec<i32> = ups.iter().map(|line| last_pid(line)).collect();
        pids.dedup();
        assert_eq!(pids.len(), 4, "a process each time{}", run.story());
        // The stop signal for Node is another one; this is a shell.
        assert!(run.out().lines_with("bye TERM").len() >= 3, "{}", run.story());
        run.expect_stop();
        assert_eq!(
            run.out().lines_with("app up").len(),
            run.out().lines_with("app bye").len(),
            "one after the other, and all end{}",
            run.story()
        );
    }
}

#[test]
fn a_scheduled_restart_is_logged_with_its_reason() {
    let bed = app(&format!("{}cron_timezone = \"UTC\"\n", cron(EACH_SECOND)), workers::STEADY);
    let mut run = bed.start(&["--json", "ecosystem.toml"]);
    run.wait_for_line("app up");
    let said = run.wait_for_err("\"reason\":\"cron\"");
    assert!(said.contains(EACH_SECOND), "{said}");
    run.expect_stop();
}

#[test]
fn the_flag_does_the_same() {
    let bed = Bed::new();
    bed.script("app.sh", workers::STEADY);
    let mut run = bed.start(&["./app.sh", "-c", EACH_SECOND, "--", "app"]);
    run.wait_for_lines("app up", 3);
    run.expect_stop();
}

/// PM2's way to run something again and again.
#[test]
fn an_app_that_is_done_starts_at_its_times_and_keeps_the_container() {
    for keys in ["autorestart = false\n", "stop_exit_codes = [0]\nautostart = false\n"] {
        let bed = app(&format!("{keys}{}", cron(EACH_SECOND)), "#!/bin/sh\necho ran\n");
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.wait_for_lines("ran", 3);
        assert!(!run.has_ended(), "{}", run.story());
        run.expect_stop();
    }
}

#[test]
fn an_errored_app_gets_another_chance() {
    let bed = app(
        &format!("max_restarts = 1\n{}", cron("*/2 * * * * *")),
        "#!/bin/sh\n[ -e first ] && echo up && exec sleep 1000\ntouch first\nexit 3\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_err("errored");
    run.wait_for_line("up");
    run.expect_stop();
}

/// It takes longer to end than it has until the next time.
#[test]
fn a_run_that_is_still_ending_is_not_doubled() {
    let bed = app(
        &cron(EACH_SECOND),
        "#!/bin/sh\ntrap 'sleep 1.5; echo bye; exit 0' TERM\necho up $$\nwhile :; do sleep 1000 & wait $!; done\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_lines("up", 3);
    let said: Vec<String> = run.out().lines();
    let words: Vec<&str> = said.iter().filter_map(|line| support::text(line).split(' ').next()).collect();
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "one after the other: {words:?}");
    run.expect_stop();
}

#[test]
fn a_hang_up_changes_the_schedule_and_not_the_process() {
    let bed = app("", workers::STEADY);
    let file = bed.read("ecosystem.toml");
    let mut run = bed.start(&["ecosystem.toml"]);
    let pid = last_pid(&run.wait_for_line("app up"));
    let reads = |keys: &str, times: usize| {
        bed.file("ecosystem.toml", format!("{file}{keys}"));
        run.signal(SIGHUP);
        run.wait_for_err_lines("changed cron_restart", times);
    };
    assert_eq!(alarms(&run), 0, "nothing is there before it is needed");

    reads(&cron(SELDOM), 1);
    wait_until("the alarm", || alarms(&run) == 1);
    assert_eq!(run.worker(), pid, "the process goes on{}", run.story());

    reads(&cron(EACH_SECOND), 2);
    run.wait_for_lines("app up", 3);

    reads("cron_restart = 0\n", 3);
    wait_until("no alarm", || alarms(&run) == 0);
    run.expect_stop();
}

/// The instances of one application have one schedule.
#[test]
fn all_instances_restart() {
    let bed = app(&format!("instances = 3\n{}", cron(EACH_SECOND)), workers::STEADY);
    let mut run = bed.start(&["ecosystem.toml"]);
    for id in 0..3 {
        run.wait_for_lines(&format!("{id}|app | app up"), 3);
    }
    run.expect_stop();
}

/// A procrun that could not run for a while makes up for one run, not for each.
#[test]
fn what_was_missed_runs_once() {
    let bed = app(&format!("autorestart = false\n{}", cron(EACH_SECOND)), "#!/bin/sh\necho ran\n");
    let begun = now();
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_lines("ran", 2);
    let stopped = now();
    send(run.pid(), SIGSTOP);
    wait_until("some times to be missed", || stopped.elapsed().as_secs() >= 6);
    send(run.pid(), SIGCONT);
    let slept = stopped.elapsed();
    let missed = run.out().lines_with("ran").len();
    run.wait_for_lines("ran", missed + 3);
    run.expect_stop();
    let awake = begun.elapsed().saturating_sub(slept);
    let runs = run.out().lines_with("ran").len();
    // One at the start, one a second, one for all that was missed, and what was on its way.
    assert!(runs <= usize::try_from(awake.as_secs()).unwrap() + 4, "{runs} in {awake:?}{}", run.story());
}

/// A cluster is reloaded at its time: every request is answered, and the processes change.
#[test]
fn a_cluster_loses_no_request_at_its_time() {
    let bed = Bed::new();
    bed.file(
        "app.js",
        "const server = require('http').createServer((request, response) => response.end(`${process.pid}`));\n\
         server.listen(0, () => console.log(`listens on ${server.address().port}`));\n",
    );
    bed.file(
        "ecosystem.toml",
        format!("[[apps]]\nname = \"api\"\nscript = \"app.js\"\ninstances = 2\n{}", cron("*/2 * * * * *")),
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    let lines = run.wait_for_lines("listens on", 2);
    let port = u16::try_from(support::last_number(&lines[0])).expect("a port");
    let mut pids = BTreeSet::new();
    wait_until("two reloads", || {
        let answer = get(port, "/").unwrap_or_else(|error| panic!("no answer: {error}{}", run.story()));
        pids.insert(answer);
        run.err().lines_with("api is reloaded: 2 processes").len() >= 2
    });
    assert!(pids.len() >= 4, "{pids:?}{}", run.story());
    assert!(run.err().lines_with("api is due by its schedule").len() >= 2, "{}", run.story());
    run.expect_stop();
}

/// Alpine and scratch images have no zones.
#[test]
fn a_zone_is_known_where_the_system_has_none() {
    let bed = app(&format!("{}cron_timezone = \"Europe/Berlin\"\n", cron(EACH_SECOND)), workers::STEADY);
    let hide = "[ ! -d /usr/share/zoneinfo ] || mount -t tmpfs none /usr/share/zoneinfo";
    let mut run = bed.launch(&["ecosystem.toml"]).own_mounts().after(hide).start();
    run.wait_for_lines("app up", 2);
    run.expect_stop();
}
