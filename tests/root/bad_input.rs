//! Targets that are no good: one clear error each, nothing started, nothing hanging.
//!
//! What can be wrong inside a file has its own corpus.

use std::os::unix::fs::PermissionsExt;

use crate::support::{self, Bed, End};

/// Start with this target and demand an error that contains `word`, and nothing on stdout.
#[track_caller]
fn refused(bed: &Bed, target: &str, codes: &[i32], word: &str) {
    for pid1 in [false, true] {
        let mut run = bed.launch(&[target]).pid1_if(pid1).start();
        let end = run.wait_end();
        assert!(codes.iter().any(|&code| end == End::Code(code)), "{target}: {end:?}{}", run.story());
        assert!(!run.err().lines_with(word).is_empty(), "{target}: no {word:?}{}", run.story());
        assert_eq!(run.out().lines().len(), 0, "{target}{}", run.story());
        assert!(run.err().lines().len() <= 8, "{target}: one clear error{}", run.story());
        assert!(!run.err().lines().iter().any(|line| line.contains("panicked")), "{target}{}", run.story());
        assert!(!bed.exists("started"), "{target}: something started{}", run.story());
    }
}

#[test]
fn files_that_hold_no_configuration() {
    let bed = Bed::new();
    bed.script("start.sh", "#!/bin/sh\n> started\n");
    for (name, content) in [
        ("empty.toml", &b""[..]),
        ("empty.json", b""),
        ("empty.yaml", b""),
        ("blank.toml", b"\n\n# nothing\n"),
        ("none.toml", b"apps = []\n"),
        ("none.json", b"{\"apps\": []}"),
        ("none.yml", b"apps: []\n"),
        ("scalar.json", b"42"),
        ("null.json", b"null"),
        ("text.yaml", b"just text\n"),
        ("other.json", b"{\"name\": \"a package\", \"version\": \"1.0.0\"}"),
        ("binary.toml", b"\x7fELF\x00\x01\xff\xfe"),
        ("binary.json", b"\xff\xfe{\x00}\x00"),
        ("bom-only.json", b"\xef\xbb\xbf"),
        ("deep.json", "[".repeat(100_000).leak().as_bytes()),
        ("half.json", b"{\"apps\": [{\"script\": \"./start.sh\""),
        ("half.yaml", b"apps:\n  - script: \"./start.sh\n"),
    ] {
        bed.file(name, content);
        refused(&bed, name, &[78], name);
    }
}

#[test]
fn a_byte_order_mark_is_no_error() {
    let bed = Bed::new();
    bed.file(
        "bom.json",
        "\u{feff}{\"apps\": [{\"name\": \"app\", \"script\": \"echo hello; \", \"autorestart\": false}]}",
    );
    let mut run = bed.start(&["bom.json"]);
    run.expect_code(0);
    run.wait_for_line("hello");
}

#[test]
fn targets_that_are_missing_or_no_file() {
    let bed = Bed::new();
    std::fs::create_dir(bed.path("directory")).unwrap();
    std::fs::create_dir(bed.path("directory.toml")).unwrap();
    refused(&bed, "missing.toml", &[78, 127], "missing.toml");
    refused(&bed, "missing.config.js", &[78, 127], "missing.config.js");
    refused(&bed, "./directory", &[78, 126], "directory");
    refused(&bed, "directory.toml", &[78], "directory.toml");
    refused(&bed, "", &[64, 78, 127], "");
}

#[test]
fn a_file_that_may_not_be_read() {
    let bed = Bed::with("[[apps]]\nname = \"a\"\nscript = \"touch started; \"\n");
    std::fs::set_permissions(bed.path("ecosystem.toml"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let binary = bed.copy(support::binary(), "procrun");
    let launch = bed.launch(&["ecosystem.toml"]).binary(binary);
    let mut run = launch.through(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]).start();
    run.expect_code(78);
    run.wait_for_err("ecosystem.toml");
}

#[test]
fn values_that_cannot_be_meant() {
    let bed = Bed::new();
    for (key, word) in [
        ("args = [\"a\\u0000b\"]", "args"),
        ("instances = 1000000", "instances"),
        ("instances = \"many\"", "instances"),
        ("kill_timeout = -1", "kill_timeout"),
        ("kill_timeout = \"10 parsecs\"", "kill_timeout"),
        ("restart_delay = -1", "restart_delay"),
        ("max_restarts = -1", "max_restarts"),
        ("log_max_size = \"99999999999999999999G\"", "log_max_size"),
        ("max_memory_restart = \"-5M\"", "max_memory_restart"),
        ("kill_signal = \"SIGNOTHING\"", "kill_signal"),
        ("stop_exit_codes = [300]", "stop_exit_codes"),
        ("env = { \"A=B\" = \"1\" }", "A=B"),
        ("env = { KEY = \"a\\u0000b\" }", "KEY"),
        ("env_file = \"not-there.env\"", "not-there.env"),
        ("cron_restart = \"every now and then\"", "cron_restart"),
        ("autorestart = \"perhaps\"", "autorestart"),
        ("script_typo = 1", "script_typo"),
        ("[[apps]]\nname = \"bad\"\nscript = \"touch started; \"", "bad"),
        ("[[apps]]\nname = \"no-script\"", "script"),
        ("[[apps]]\nname = \"\"\nscript = \"touch started; \"", "name"),
    ] {
        bed.file("bad.toml", format!("[[apps]]\nname = \"bad\"\nscript = \"touch started; \"\n{key}\n"));
        refused(&bed, "bad.toml", &[78], word);
        refused(&bed, "bad.toml", &[78], "bad.toml");
    }
}

#[test]
fn all_errors_are_shown_at_once() {
    let bed = Bed::with(
        "[[apps]]\nname = \"a\"\nscript = \"touch started; \"\nkill_timeout = -1\n\
         [[apps]]\nname = \"b\"\nscript = \"touch started; \"\ninstances = \"many\"\nwatsh = true\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(78);
    let said = run.err().lines().join("\n");
    for (key, line) in [("kill_timeout", 4), ("instances", 8), ("watsh", 9)] {
        assert!(said.contains(key), "{key}: {said}");
        let at = [format!("ecosystem.toml:{line}:"), format!("line {line}")];
        assert!(at.iter().any(|at| said.contains(at)), "{key} at line {line}: {said}");
    }
    assert!(!run.err().lines_with("watch").is_empty(), "the nearest known key{}", run.story());
    assert!(!bed.exists("started"));
}

#[test]
fn a_file_whose_name_steers_a_terminal_is_shown_escaped() {
    let bed = Bed::new();
    for (name, content) in [
        ("a\u{1b}[2J.toml", "[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n"),
        ("b\u{1b}[2J.toml", "[[apps]]\nname = 1\n"),
        (
            "c\u{1b}[2J.json",
            "{\"apps\": [{\"name\": \"app\", \"script\": \"sleep 1\", \"unknown\": 1}], \"deploy\": {}}",
        ),
    ] {
        bed.file(name, content);
        for command in [&["check", name][..], &["convert", name, "-o", "-"], &[name], &["start", name]] {
            let mut run = bed.launch(command).env("PROCRUN_HOME", bed.root().to_str().unwrap()).start();
            if command.len() == 1 && name.starts_with('a') {
                run.wait_for_err("is online");
                run.expect_stop();
            } else if command.len() > 1 {
                run.wait_end();
            } else if run.has_ended() {
                continue;
            } else {
                run.stop();
            }
            let all = [run.out().lines(), run.err().lines()].concat().join("\n");
            assert!(!all.contains('\u{1b}'), "{command:?}: {all:?}");
        }
        let mut kill = bed.launch(&["kill"]).env("PROCRUN_HOME", bed.root().to_str().unwrap()).start();
        kill.wait_end();
    }
}
