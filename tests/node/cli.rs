//! What people type.

use std::collections::BTreeSet;

use crate::support::{self, Bed, End, text, wait_until, workers};

/// Run to the end and give stdout, as one text.
#[track_caller]
fn said(bed: &Bed, args: &[&str], code: i32) -> String {
    let mut run = bed.start(args);
    let end = run.wait_end();
    assert_eq!(end, End::Code(code), "{args:?}{}", run.story());
    run.out().lines().join("\n")
}

#[test]
fn help_fits_80_columns_and_has_examples_and_exit_codes() {
    let bed = Bed::new();
    for flag in ["-h", "--help"] {
        let help = said(&bed, &[flag], 0);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
        assert!(help.to_lowercase().contains("example"), "{help}");
        assert!(help.contains("ecosystem"), "{help}");
        assert!(help.contains("--no-autorestart"), "{help}");
    }
    let help = said(&bed, &["--help"], 0);
    for code in ["64", "78", "126", "127", "128"] {
        assert!(help.contains(code), "the exit code {code}: {help}");
    }
}

#[test]
fn version() {
    let bed = Bed::new();
    for flag in ["-V", "--version", "version"] {
        assert_eq!(said(&bed, &[flag], 0), concat!("procrun ", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn help_tells_of_each_command() {
    let bed = Bed::new();
    assert_eq!(said(&bed, &["help"], 0), said(&bed, &["--help"], 0));
    for command in ["list", "ls", "logs", "start", "convert", "version"] {
        assert_eq!(said(&bed, &["help", command], 0), said(&bed, &[command, "--help"], 0), "{command}");
    }
    let mut wrong = bed.start(&["help", "restat"]);
    wrong.expect_code(64);
    wrong.wait_for_err("unknown command `restat`");
    wrong.wait_for_err("did you mean `restart`?");
}

const STEADY: &str = "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n";

fn steady() -> Bed {
    let bed = Bed::with(STEADY);
    bed.script("steady.sh", workers::STEADY);
    bed
}

#[test]
fn run_is_the_long_form() {
    let bed = steady();
    let mut run = bed.start(&["run", "ecosystem.toml"]);
    run.wait_for_line("app up");
    run.expect_stop();
}

#[test]
fn called_pm2_runtime_it_is_the_same() {
    let bed = steady();
    std::os::unix::fs::symlink(support::binary(), bed.path("pm2-runtime")).unwrap();
    for args in [&["ecosystem.toml"][..], &["start", "ecosystem.toml"], &["ecosystem.toml", "--only", "app"]]
    {
        for pid1 in [false, true] {
            let mut run = bed.launch(args).binary(bed.path("pm2-runtime")).pid1_if(pid1).start();
            run.wait_for_line("0|app | app up");
            run.expect_stop();
        }
    }
}

#[test]
fn start_runs_in_the_foreground_as_pid_1_only() {
    let bed = steady();
    let mut run = bed.start_pid1(&["start", "ecosystem.toml"]);
    run.wait_for_line("app up");
    run.expect_stop();

    let mut run = bed.isolated(&["start", "ecosystem.toml", "--no-daemon"]).start();
    run.wait_for_line("app up");
    run.expect_stop();
    let mut run = bed.isolated(&["start", "ecosystem.toml"]).start();
    run.expect_code(0);
    assert_eq!(run.out().lines_with("│ online").len(), 1, "it returns, and the app stays: {}", run.story());
    assert!(!run.others().is_empty());
}

#[test]
fn check_shows_the_effective_configuration_and_starts_nothing() {
    let bed = Bed::with(
        "[[apps]]\nname = \"api\"\nscript = \"./app.sh\"\nkill_timeout = \"3s\"\nenv = { KEY = \"value\" }\n",
    );
    bed.script("app.sh", "#!/bin/sh\n> started\n");
    let shown = said(&bed, &["check", "ecosystem.toml"], 0);
    for word in ["api", "app.sh", "kill_timeout", "KEY", "max_restarts", "16", "ecosystem.toml", "default"] {
        assert!(shown.contains(word), "{word} in:\n{shown}");
    }
    assert!(!bed.exists("started"));

    bed.file(
        "ecosystem.toml",
        "[[apps]]\nname = \"api\"\nscript = \"./app.sh\"\nmax_memory_restrat = \"1G\"\n",
    );
    let mut run = bed.start(&["check", "ecosystem.toml"]);
    run.expect_code(78);
    let shown = [run.out().lines(), run.err().lines()].concat().join("\n");
    for word in ["ecosystem.toml", "4", "max_memory_restrat", "max_memory_restart"] {
        assert!(shown.contains(word), "{word} in:\n{shown}");
    }
}

#[test]
fn a_program_in_the_path_runs_with_its_arguments() {
    let bed = Bed::new();
    let mut run = bed.start(&["npm", "--no-autorestart", "--", "--version"]);
    run.expect_code(0);
    let version = run.out().lines().remove(0);
    assert!(version.starts_with("0|npm | "), "{version}");
    assert!(text(&version).split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
}

const TELLS_ARGS: &str = "#!/bin/sh\nfor arg do all=\"$all [$arg]\"; done\necho \"args:$all\"\n";

#[test]
fn arguments_after_two_dashes_are_the_apps() {
    let bed = Bed::new();
    bed.script("tell.sh", TELLS_ARGS);
    for (args, expected) in [
        (
            &["./tell.sh", "--no-autorestart", "--", "a", "b c", "--flag", "-i", "4"][..],
            " [a] [b c] [--flag] [-i] [4]",
        ),
        (&["tell.sh", "--no-autorestart"], ""),
        (&["run", "--no-autorestart", "tell.sh", "--", "--", "-V"], " [--] [-V]"),
    ] {
        let mut run = bed.start(args);
        run.expect_code(0);
        assert_eq!(run.out().lines(), [format!("0|tell | args:{expected}")], "{args:?}");
    }
}

#[test]
fn a_file_in_the_working_directory_has_precedence_over_the_path() {
    let bed = Bed::new();
    bed.script("npm", "#!/bin/sh\necho here\n");
    let mut run = bed.start(&["npm", "--no-autorestart"]);
    run.expect_code(0);
    assert_eq!(run.out().lines(), ["0|npm | here"]);
}

#[test]
fn an_absolute_path_is_a_target() {
    let bed = Bed::new();
    let mut run = bed.start(&["/bin/echo", "--no-autorestart", "--", "from", "far"]);
    run.expect_code(0);
    assert_eq!(run.out().lines(), ["0|echo | from far"]);
}

/// Tells the variables that pm2-runtime's flags change, then waits.
const TELLS: &str = "#!/usr/bin/env python3\nimport os, sys, time\n\
    print('name', os.environ['name'], 'instance', os.environ['NODE_APP_INSTANCE'], 'cwd', os.getcwd(),\n\
    \x20     'namespace', os.environ['namespace'], flush=True)\ntime.sleep(1000)\n";

#[test]
fn name_instances_namespace_and_cwd() {
    let bed = Bed::new();
    bed.script("tell.py", TELLS);
    bed.file("deep/here", "");
    let mut run =
        bed.start(&["../tell.py", "-n", "chosen", "-i", "2", "--namespace", "space", "--cwd", "deep"]);
    let mut told: Vec<String> =
        run.wait_for_lines("name", 2).iter().map(|line| text(line).to_owned()).collect();
    told.sort();
    let cwd = std::fs::canonicalize(bed.path("deep")).unwrap();
    for (at, line) in told.iter().enumerate() {
        assert_eq!(*line, format!("name chosen instance {at} cwd {} namespace space", cwd.display()));
    }
    run.expect_stop();
}

#[test]
fn only_starts_the_named_apps() {
    let bed =
        Bed::with(&["a", "b", "c"].map(|name| STEADY.replace("\"app\"", &format!("\"{name}\""))).concat());
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.start(&["ecosystem.toml", "--only", "a,c"]);
    run.wait_for_line("a up");
    run.wait_for_line("c up");
    run.expect_stop();
    assert_eq!(run.out().lines_with("b up").len(), 0);

    let mut run = bed.start(&["ecosystem.toml", "--only", "nobody"]);
    let end = run.wait_end();
    assert!(matches!(end, End::Code(64 | 78)), "{end:?}{}", run.story());
    run.wait_for_err("nobody");
}

#[test]
fn restart_flags() {
    let bed = Bed::new();
    bed.script("crash.sh", "#!/bin/sh\necho x >> runs\nexit \"$1\"\n");
    let runs = |args: &[&str], code: i32| {
        bed.file("runs", "");
        said(&bed, args, code);
        bed.read("runs").lines().count()
    };
    assert_eq!(runs(&["crash.sh", "--no-autorestart", "--", "5"], 5), 1);
    assert_eq!(runs(&["crash.sh", "--stop-exit-codes", "0", "--", "0"], 0), 1);
    assert_eq!(runs(&["crash.sh", "--max-restarts", "3", "--restart-delay", "5", "--", "4"], 4), 3);
    assert_eq!(
        runs(&["crash.sh", "--max-restarts", "2", "--exp-backoff-restart-delay", "20", "--", "4"], 4),
        2
    );
    assert_eq!(
        runs(
            &["crash.sh", "--max-restarts", "2", "--min-uptime", "30s", "--restart-delay", "5", "--", "4"],
            4
        ),
        2
    );
}

#[test]
fn interpreter_flags() {
    let bed = Bed::new();
    bed.file("say.txt", "import sys\nprint('python', sys.flags.optimize)\n");
    let shown = said(
        &bed,
        &["say.txt", "--no-autorestart", "--interpreter", "python3", "--interpreter-args", "-O"],
        0,
    );
    assert_eq!(text(&shown), "python 1");
    bed.file("say.js", "console.log(process.execArgv.join(' '))\n");
    let shown = said(
        &bed,
        &["say.js", "--no-autorestart", "--node-args", "--max-old-space-size=64 --no-warnings"],
        0,
    );
    assert_eq!(text(&shown), "--max-old-space-size=64 --no-warnings");
}

#[test]
fn env_chooses_the_environment() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\nautorestart = false\nenv = { STAGE = \"plain\" }\nenv_production = { STAGE = \"production\" }\n",
    );
    bed.script("app.sh", "#!/bin/sh\necho \"stage $STAGE\"\n");
    assert_eq!(text(&said(&bed, &["ecosystem.toml"], 0)), "stage plain");
    assert_eq!(text(&said(&bed, &["ecosystem.toml", "--env", "production"], 0)), "stage production");
}

#[test]
fn output_and_error_name_files() {
    let bed = Bed::new();
    bed.script("say.sh", "#!/bin/sh\necho one\necho two >&2\n");
    said(&bed, &["say.sh", "--no-autorestart", "--output", "o.log", "--error", "e.log"], 0);
    assert_eq!(bed.read("o.log"), "one\n");
    assert_eq!(bed.read("e.log"), "two\n");
}

#[test]
fn kill_timeout_and_user_flags() {
    let bed = Bed::new();
    bed.script("stubborn.py", workers::STUBBORN);
    let mut run = bed.start(&["stubborn.py", "--kill-timeout", "200"]);
    run.wait_for_line("up");
    run.expect_stop();
    run.wait_for_err("is still running after 200 ms");

    bed.script("id.sh", "#!/bin/sh\necho \"id $(id -u) $(id -g)\"\n");
    let shown = said(&bed, &["id.sh", "--no-autorestart", "--uid", "65534", "--gid", "65534"], 0);
    assert_eq!(text(&shown), "id 65534 65534");
}

#[test]
fn flags_of_pm2_runtime_are_known() {
    let bed = steady();
    for flags in [
        &["--max-memory-restart", "200M"][..],
        &["-c", "0 3 * * *"],
        &["--cron", "0 3 * * *"],
        &["--formatted"],
        &["--format"],
        &["--json"],
        &["--raw"],
        &["--delay", "0"],
        &["--web", "0"],
        &["--watch"],
        &["--time"],
        &["--log-date-format", "HH:mm"],
        &["--merge-logs"],
        &["--no-treekill"],
        &["--listen-timeout", "3000"],
        &["--wait-ready"],
        &["--source-map-support"],
        &["--no-vizion"],
        &["--no-pmx"],
    ] {
        let mut args = vec!["./steady.sh"];
        args.extend(flags);
        args.extend(["--", "app"]);
        let mut run = bed.start(&args);
        run.wait_for_line("app up");
        run.expect_stop();
    }
}

/// What PM2 users have, in each of its formats.
#[test]
fn every_format_and_shape_of_pm2_runs() {
    let object = r#"{"name": "app", "script": "./steady.sh", "args": ["app"]}"#;
    for (file, content) in [
        ("ecosystem.json", format!("{{\"apps\": [{object}]}}")),
        ("ecosystem.json", format!("{{\"apps\": {object}}}")),
        ("list.json", format!("[{object}]")),
        ("single.json", object.to_owned()),
        ("process.json", format!("// PM2 allows comments\n{{ /* here */ \"apps\": [{object},] }}\n")),
        ("ecosystem.yml", "apps:\n  - name: app\n    script: ./steady.sh\n    args: [app]\n".to_owned()),
        (
            "ecosystem.yaml",
            "apps:\n  - name: app\n    script: ./steady.sh\n    args: app\n    env:\n      KEY: 1\n"
                .to_owned(),
        ),
        ("procrun.toml", STEADY.to_owned()),
    ] {
        let bed = steady();
        bed.file(file, &content);
        let mut run = bed.start(&[file]);
        run.wait_for_line("0|app | app up");
        run.expect_stop();
    }
}

#[test]
fn in_pm2s_formats_an_unknown_key_warns_once_and_a_second_name_gets_a_number() {
    let object = r#"{"name": "app", "script": "./steady.sh", "args": ["app"], "some_unknown_key": 1}"#;
    let bed = steady();
    bed.file("ecosystem.json", format!("{{\"apps\": [{object}, {object}]}}"));
    let mut run = bed.start(&["ecosystem.json"]);
    run.wait_for_lines("app up", 2);
    run.expect_stop();
    let labels: BTreeSet<String> = run
        .out()
        .lines_with("app up")
        .iter()
        .map(|line| line.split(" | ").next().unwrap().trim().to_owned())
        .collect();
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["0|app", "1|app-1"]);
    assert!(!run.err().lines_with("some_unknown_key").is_empty(), "{}", run.story());
}

#[test]
fn a_service_of_pm2_is_accepted_with_one_notice() {
    let bed = Bed::with(&format!("{STEADY}instances = 2\nvizion = false\n"));
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_lines("app up", 2);
    run.expect_stop();
    assert_eq!(run.err().lines_with("vizion").len(), 1, "{}", run.story());
}

#[test]
fn procruns_own_settings_stand_beside_apps() {
    let bed = Bed::with(&format!("auto_exit = false\n{STEADY}autorestart = false\n"));
    bed.script("steady.sh", "#!/bin/sh\necho over\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    let end_or_line = || run.out().lines_with("over").len() == 1;
    wait_until("the app's only line", end_or_line);
    wait_until("the app to be gone", || run.children().is_empty());
    bed.file("ecosystem.toml", format!("auto_exit = false\n{}", STEADY.replace("\"app\"", "\"later\"")));
    bed.script("steady.sh", workers::STEADY);
    run.signal(support::SIGHUP);
    run.wait_for_line("later up");
    run.expect_stop();
}
