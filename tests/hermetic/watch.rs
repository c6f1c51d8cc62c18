//! Restart on change, with the real binary and the real inotify.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    time::Duration,
};

use crate::support::{Bed, Procrun, SIGHUP, last_pid, now, wait_until, workers};

/// A bed with an application `main` that goes on until it is asked to end.
fn steady(keys: &str) -> Bed {
    let bed = Bed::with(&ecosystem(keys));
    bed.script("main.sh", workers::STEADY);
    bed
}

fn ecosystem(keys: &str) -> String {
    format!("[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\nargs = [\"main\"]\n{keys}")
}

/// Started, and watching.
#[track_caller]
fn start(bed: &Bed) -> Procrun {
    let run = bed.start(&["ecosystem.toml", "--log-level", "debug"]);
    run.wait_for_err("main: watching");
    run.wait_for_line("main up");
    run
}

/// How often files have changed, and which.
fn changes(run: &Procrun) -> Vec<String> {
    let lines = run.err().lines_with("main changed: ");
    lines.iter().map(|line| line.split("changed: ").nth(1).expect("just seen").to_owned()).collect()
}

/// The threads of procrun.
fn threads(run: &Procrun) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", run.pid())).expect("it runs");
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

#[test]
fn a_saved_file_restarts_its_application_and_no_other() {
    for pid1 in [false, true] {
        let bed = steady(
            "watch = true\n[[apps]]\nname = \"other\"\nscript = \"./main.sh\"\nargs = [\"other\"]\nwatch = [\"lib\"]\n",
        );
        bed.file("src/app.js", "1");
        bed.file("node_modules/x/index.js", "1");
        let mut run = bed.launch(&["ecosystem.toml", "--log-level", "debug"]).pid1_if(pid1).start();
        run.wait_for_err("main: watching 2 directories");
        run.wait_for_err("other: watching");
        let first = last_pid(&run.wait_for_line("main up"));
        run.wait_for_line("other up");

        bed.file("node_modules/x/index.js", "2");
        bed.file(".env", "A=1");
        bed.file("src/.app.js.swp", "x");
        bed.file("src/app.js", "2");
        run.wait_for_err("main changed: src/app.js, restarting");
        let second = last_pid(&run.wait_for_lines("main up", 2)[1]);
        assert_ne!(first, second);
        // As an editor saves: beside, and then over it.
        bed.file("src/app.js.new", "3");
        fs::rename(bed.path("src/app.js.new"), bed.path("src/app.js")).unwrap();
        run.wait_for_lines("main up", 3);
        run.expect_stop();
        assert_eq!(changes(&run), ["src/app.js, restarting"; 2], "{}", run.story());
        assert_eq!(run.out().lines_with("other up").len(), 1, "{}", run.story());
    }
}

#[test]
fn a_burst_is_one_restart() {
    let bed = steady("watch = [\"src\"]\nwatch_delay = \"1s\"\n");
    bed.file("src/0.js", "");
    let mut run = start(&bed);
    for number in 0..1000 {
        bed.file(&format!("src/{}/{number}.js", number % 20), "x");
    }
    run.wait_for_lines("main up", 2);
    bed.file("src/last.js", "x");
    run.wait_for_lines("main up", 3);
    run.expect_stop();
    assert_eq!(changes(&run).len(), 2, "{}", run.story());
    assert!(changes(&run)[1].starts_with("src/last.js"), "{}", run.story());
}

#[test]
fn a_change_is_answered_after_watch_delay() {
    let bed = steady("watch = true\nwatch_delay = 300\n");
    let mut run = start(&bed);
    for round in 1..=5 {
        let lines = run.out().lines_with("main bye").len();
        let saved = now();
        bed.file("a.js", format!("{round}"));
        run.wait_for_lines("main bye", lines + 1);
        let took = now() - saved;
        assert!(took >= Duration::from_millis(300), "{took:?}");
        run.wait_for_lines("main up", round + 1);
    }
    run.expect_stop();
}

#[test]
fn log_and_pid_files_in_a_watched_directory_do_not_count() {
    let bed = steady(
        "watch = true\nout_file = \"logs/out.log\"\nlog_file = \"all.log\"\nlog_max_size = 1024\nlog_keep = 3\nlog_compress = true\npid_file = \"main.pid\"\n",
    );
    bed.script(
        "main.sh",
        workers::STEADY.replace(
            "while :;",
            "i=0\nwhile [ $i -lt 400 ]; do echo \"a line of the log $i\"; i=$((i + 1)); done\nwhile :;",
        ),
    );
    let mut run = start(&bed);
    run.wait_for_line("a line of the log 399");
    wait_until("a rotated and compressed log", || bed.exists("logs/out.log.2.gz"));
    bed.file("app.js", "x");
    run.wait_for_lines("a line of the log 399", 2);
    run.expect_stop();
    assert_eq!(changes(&run), ["app.js, restarting"], "{}", run.story());
}

#[test]
fn a_config_map_is_followed() {
    let bed = steady("watch = [\"conf\"]\n");
    let version = |number: u32| {
        let (dir, name) = (format!("conf/..day{number}"), format!("..day{number}"));
        bed.file(&format!("{dir}/app.yaml"), format!("version: {number}"));
        symlink(name, bed.path("conf/..data_tmp")).unwrap();
        fs::rename(bed.path("conf/..data_tmp"), bed.path("conf/..data")).unwrap();
        if number > 1 {
            fs::remove_dir_all(bed.path(&format!("conf/..day{}", number - 1))).unwrap();
        }
    };
    version(1);
    symlink("..data/app.yaml", bed.path("conf/app.yaml")).unwrap();
    let mut run = start(&bed);
    for number in 2..5 {
        version(number);
        run.wait_for_lines("main up", number as usize);
    }
    run.expect_stop();
    assert_eq!(changes(&run), ["conf/app.yaml, restarting"; 3], "{}", run.story());
}

#[test]
fn without_room_for_watches_the_files_are_looked_at() {
    for (limit, most) in [("max_inotify_watches", 8), ("max_inotify_instances", 0)] {
        let bed = steady("watch = [\"src\"]\nwatch_options = { interval = 200 }\n");
        for number in 0..20 {
            bed.file(&format!("src/{number}/x.js"), "");
        }
        let mut run = bed
            .launch(&["ecosystem.toml", "--log-level", "debug"])
            .through(&["unshare", "--user", "--map-root-user", "--"])
            .after(&format!("echo {most} > /proc/sys/user/{limit}"))
            .start();
        run.wait_for_err("main: watching 20 files, by polling");
        let why = run.wait_for_err("inotify has no capacity");
        assert!(why.contains("max_user_watches") && why.contains("every 200 ms"), "{why}");
        run.wait_for_line("main up");
        bed.file("src/7/x.js", "changed");
        run.wait_for_lines("main up", 2);
        bed.file("src/new/x.js", "new");
        run.wait_for_lines("main up", 3);
        run.expect_stop();
        assert_eq!(run.err().lines_with("inotify has no capacity").len(), 1, "said once{}", run.story());
        assert_eq!(changes(&run), ["src/7/x.js, restarting", "src/new/x.js, restarting"]);
    }
}

#[test]
fn an_app_that_runs_out_of_watches_continues_by_polling() {
    let bed = steady("watch = [\"src\"]\nwatch_options = { interval = 200 }\n");
    bed.file("src/0/x.js", "");
    let mut run = bed
        .launch(&["ecosystem.toml", "--log-level", "debug"])
        .through(&["unshare", "--user", "--map-root-user", "--"])
        .after("echo 30 > /proc/sys/user/max_inotify_watches")
        .start();
    run.wait_for_err("main: watching 2 directories");
    run.wait_for_line("main up");
    for number in 1..60 {
        bed.file(&format!("src/{number}/x.js"), "new");
    }
    run.wait_for_err("inotify has no capacity");
    // As many restarts as there were bursts; then none.
    run.wait_for_lines("main up", 2);
    bed.file("src/55/x.js", "changed");
    run.wait_for_lines("main up", 3);
    run.expect_stop();
    assert_eq!(run.err().lines_with("inotify has no capacity").len(), 1, "{}", run.story());
}

#[test]
fn sighup_changes_the_watched_files_and_restarts_no_app() {
    let bed = steady("");
    bed.file("a/x", "1");
    bed.file("b/x", "1");
    let mut run = bed.start(&["ecosystem.toml", "--log-level", "debug"]);
    run.wait_for_line("main up");
    assert!(!threads(&run).contains(&"watch".to_owned()), "no app watches: {:?}", threads(&run));

    bed.file("ecosystem.toml", ecosystem("watch = [\"a\"]\n"));
    run.signal(SIGHUP);
    run.wait_for_err("main: watching");
    bed.file("b/x", "2");
    bed.file("a/x", "2");
    run.wait_for_lines("main up", 2);

    bed.file("ecosystem.toml", ecosystem("watch = [\"b\"]\n"));
    run.signal(SIGHUP);
    run.wait_for_err_lines("main: watching", 2);
    bed.file("a/x", "3");
    bed.file("b/x", "3");
    run.wait_for_lines("main up", 3);

    bed.file("ecosystem.toml", ecosystem(""));
    run.signal(SIGHUP);
    wait_until("the watching thread to end", || !threads(&run).contains(&"watch".to_owned()));
    run.expect_stop();
    assert_eq!(changes(&run), ["a/x, restarting", "b/x, restarting"], "{}", run.story());
    assert_eq!(run.out().lines_with("main up").len(), 3, "{}", run.story());
}

#[test]
fn a_cluster_is_reloaded_and_answers_all_the_time() {
    let server = |version: &str| {
        format!(
            "require('http').createServer((request, response) => response.end('{version}'))\n  .listen(process.env.PORT, () => console.log('listening {version}'));\n"
        )
    };
    let bed = Bed::with(
        "[[apps]]\nname = \"main\"\nscript = \"app.js\"\ninstances = 2\nwatch = true\n[apps.env]\nPORT = \"18391\"\n",
    );
    bed.file("app.js", server("old"));
    let mut run = bed.start(&["ecosystem.toml", "--log-level", "debug"]);
    run.wait_for_err("main: watching");
    run.wait_for_lines("listening old", 2);
    let ask = || {
        let mut stream = TcpStream::connect("127.0.0.1:18391").expect("there is always a listener");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it is read");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.rsplit("\r\n").next().expect("a body").to_owned()
    };
    assert_eq!(ask(), "old");
    bed.file("app.js", server("new"));
    run.wait_for_err("main changed: app.js, reloading");
    wait_until("the new version to answer", || ask() == "new");
    run.wait_for_lines("listening new", 2);
    run.wait_for_err("main is reloaded");
    assert_eq!(ask(), "new");
    // What does not start leaves the old version where it is.
    bed.file("app.js", "process.exit(3);\n");
    run.wait_for_err("the reload of main is aborted");
    assert_eq!(ask(), "new");
    run.expect_stop();
}

#[test]
fn an_app_that_writes_its_own_files_is_delayed_and_named() {
    let bed = steady("watch = true\nwatch_delay = 0\n");
    bed.script(
        "main.sh",
        workers::STEADY.replace("echo \"$1 up $$\"", "echo $$ > state.txt; echo \"$1 up $$\""),
    );
    let mut run = start(&bed);
    // The first start was not watched yet.
    bed.file("app.js", "x");
    let said = run.wait_for_err("right after a start");
    assert!(said.contains("main changed: state.txt, 4 times in a row"), "{said}");
    run.wait_for_err("hint: if the app writes this file itself, add it to `ignore_watch`");
    run.wait_for_err("8 times in a row");
    run.expect_stop();
    let reports = run.err().lines_with("times in a row");
    let delays: Vec<&str> = reports.iter().filter_map(|line| line.split("restarting in ").nth(1)).collect();
    assert_eq!(delays[..5], ["100 ms", "150 ms", "225 ms", "337 ms", "506 ms"], "{}", run.story());
}

#[test]
fn flags_say_what_is_watched_too() {
    let bed = Bed::new();
    bed.script("main.sh", workers::STEADY);
    bed.file("src/x", "1");
    let mut run = bed.start(&[
        "./main.sh",
        "--log-level",
        "debug",
        "--watch=src,conf",
        "--ignore-watch",
        "*.tmp",
        "--",
        "main",
    ]);
    run.wait_for_err("main: watching");
    run.wait_for_line("main up");
    bed.file("src/x.tmp", "2");
    bed.file("other", "2");
    // It was not there before, and that was said.
    run.wait_for_err("cannot watch conf: No such file");
    bed.file("conf/x", "2");
    run.wait_for_lines("main up", 2);
    run.expect_stop();
    assert!(matches!(&changes(&run)[..], [one] if one.starts_with("conf")), "{}", run.story());
}

#[test]
fn ten_thousand_files_at_rest_cost_nothing() {
    let bed = steady("watch = true\n");
    for number in 0..10_000 {
        if number % 100 == 0 {
            fs::create_dir_all(bed.path(&format!("src/{}", number / 100))).unwrap();
        }
        fs::write(bed.path(&format!("src/{}/{number}.js", number / 100)), "").unwrap();
    }
    let mut run = start(&bed);
    let found = run.wait_for_err("main: watching 102 directories");
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", run.pid())).expect("it runs");
        let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let of_watch = tasks.flatten().map(status).find(|status| status.starts_with("Name:\twatch\n"));
        let line = of_watch.expect("the thread that watches");
        let line =
            line.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a line");
        line.trim().parse::<u64>().expect("a number")
    };
    // Another test that removes its directory beside this one wakes the thread: the parent directory is watched.
    wait_until(&format!("two seconds without a wake-up; {found}"), || {
        let (count, since) = (switches(), now());
        wait_until("two seconds to pass", || now() - since > Duration::from_secs(2));
        switches() == count
    });
    bed.file("src/50/5000.js", "x");
    run.wait_for_lines("main up", 2);
    run.expect_stop();
}
