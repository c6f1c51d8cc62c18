//! `procrun ecosystem`: what it writes passes `procrun check`, as it is and with every example in it
//! switched on.

use std::{fs, path::Path, process::Output};

use crate::support::Launch;

fn procrun(dir: &Path, args: &[&str]) -> Output {
    Launch::new(dir, args).run()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const FORMATS: [(&[&str], &str); 5] = [
    (&[], "ecosystem.toml"),
    (&["--format", "toml"], "ecosystem.toml"),
    (&["--format", "json"], "ecosystem.json"),
    (&["--format", "yaml"], "ecosystem.yaml"),
    (&["--format", "js"], "ecosystem.config.js"),
];

/// What `check` says to it, which has to be good.
#[track_caller]
fn checked(dir: &Path, file: &str) -> String {
    let output = procrun(dir, &["check", file]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    // A cluster with a health check is told what that cannot see: rightly so, when all examples are on.
    let notices = said.lines().filter(|line| !line.ends_with("use `heartbeat`")).count();
    assert_eq!(notices, 0, "{said}");
    text(&output.stdout)
}

#[test]
fn what_is_written_is_right_in_every_format() {
    for mode in ["ecosystem", "init"] {
        for (args, file) in FORMATS {
            for simple in [&["simple"][..], &[]] {
                let dir = tempfile::tempdir().unwrap();
                let output = procrun(dir.path(), &[&[mode], simple, args].concat());
                assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
                assert!(
                    text(&output.stdout).starts_with(&format!("wrote {file}\n")),
                    "{}",
                    text(&output.stdout)
                );
                assert!(text(&output.stdout).contains(&format!("`procrun check {file}`")));
                let shown = checked(dir.path(), file);
                assert!(shown.contains("\napp app\n"), "{shown}");
                assert!(shown.contains("env.NODE_ENV"), "{shown}");
            }
        }
    }
}

/// A line that is commented out: an example, and not a sentence, which begins with a capital.
fn switched_on(line: &str) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    let rest = line.trim_start();
    let example = ["# ", "// "].iter().find_map(|mark| rest.strip_prefix(mark));
    match example.filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '"')) {
        Some(example) => format!("{indent}{example}"),
        None => line.to_owned(),
    }
}

#[test]
fn every_example_in_it_is_right_too() {
    for (args, file) in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(procrun(dir.path(), &[&["ecosystem"], args].concat()).status.code(), Some(0));
        fs::write(dir.path().join(".env"), "FROM_FILE=1\n").unwrap();
        let path = dir.path().join(file);
        let whole = fs::read_to_string(&path).unwrap();
        let on: Vec<String> = whole.lines().map(switched_on).collect();
        let examples = whole.lines().zip(&on).filter(|(was, is)| was != is).count();
        assert!(examples >= 20, "{examples} examples:\n{whole}");
        fs::write(&path, on.join("\n") + "\n").unwrap();
        let shown = checked(dir.path(), file);
        for (key, value) in [
            ("log_format", "json"),
            ("args", "[\"--port\", \"3000\"]"),
            ("instances", "one per CPU"),
            ("kill_signal", "SIGTERM"),
            ("on_errored", "exit"),
            ("env.FROM_FILE", "1"),
            ("env.NODE_ENV", "production"),
            ("health", "http http://127.0.0.1:3000/healthz"),
            ("heartbeat", "10s"),
            ("rlimits", "nofile=4096"),
        ] {
            let is_it = |line: &str| {
                let line = line.trim_start();
                line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(value))
            };
            assert!(shown.lines().any(is_it), "{key} is not {value} in\n{shown}");
        }
    }
}

#[test]
fn an_existing_file_is_kept() {
    for (args, file) in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file), "mine").unwrap();
        let output = procrun(dir.path(), &[&["ecosystem"], args].concat());
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.starts_with(&format!("error: {file} already exists and was not changed\n")), "{said}");
        assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), "mine");
    }
}

/// There `module.exports` is an error in a `.js`.
#[test]
fn in_a_package_of_es_modules_it_is_cjs() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("package.json"), r#"{ "type": "module" }"#).unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    for at in [dir.path().to_owned(), dir.path().join("sub")] {
        assert_eq!(procrun(&at, &["ecosystem", "--format", "js"]).status.code(), Some(0));
        assert!(checked(&at, "ecosystem.config.cjs").contains("app app"));
    }
}

#[test]
fn other_words_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (args, part) in [
        (&["ecosystem", "--format", "xml"][..], "`--format` must be toml, json, yaml or js, not `xml`"),
        (&["ecosystem", "big"], "unknown argument `big`: must be `simple`"),
        (&["ecosystem", "simple", "x"], "unexpected argument `x`"),
        (&["ecosystem", "--bogus"], "--bogus"),
    ] {
        let output = procrun(dir.path(), args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
