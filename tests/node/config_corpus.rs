//! Every directory of `tests/corpus` has one ecosystem file, and in `expected` what `procrun check` prints for it:
//! its exit code, settings, errors and notices. There is one bad file for each error.
//!
//! `expected` has no settings that are the default, so a new key changes only the file of [`ALL_SETTINGS`].
//!
//! `args` holds further arguments, one a line. `BLESS=1 cargo test --test node config_corpus` overwrites the
//! expected answers; read the difference before you commit it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::support::{self, Launch};

/// The case whose `expected` has all settings.
const ALL_SETTINGS: &str = "all-settings";

fn cases() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut cases: Vec<PathBuf> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn ecosystem_file(case: &Path) -> String {
    let mut names =
        fs::read_dir(case).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.find(|name| name.starts_with("ecosystem.")).expect("a file called ecosystem.*")
}

fn answer(case: &Path) -> String {
    let args = fs::read_to_string(case.join("args")).unwrap_or_default();
    let file = ecosystem_file(case);
    let args: Vec<&str> = ["check", &file].into_iter().chain(args.lines()).collect();
    let output = Launch::new(case, &args).env("HOME", "/home/me").env("PORT", "8080").env("EMPTY", "").run();
    let directory = case.to_str().unwrap();
    let text = format!(
        "exit code {}\n{}{}",
        output.status.code().expect("it is not killed by a signal"),
        String::from_utf8(output.stderr).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    );
    let has_all = case.ends_with(ALL_SETTINGS);
    let lines = text.lines().filter(|line| has_all || !is_default(line));
    lines.map(|line| squeezed(&line.replace(directory, "<dir>")) + "\n").collect()
}

/// Whether a line is a setting with its default.
fn is_default(line: &str) -> bool {
    line.starts_with(' ') && line.ends_with("  # default")
}

/// Paths differ from machine to machine, and with them the width of their column.
fn squeezed(line: &str) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    " ".repeat(indent) + &line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_file_gets_its_answer() {
    let cases = cases();
    assert!(cases.len() > 60, "the corpus is there");
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    // Some files run into the deadline; the others need not wait for them.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    if let Err(answer) = check(case) {
                        wrong.lock().unwrap().push(format!("{}:\n{answer}", case.display()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The answer, if it is not the expected one.
fn check(case: &Path) -> Result<(), String> {
    let answer = answer(case);
    let expected = case.join("expected");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected, &answer).unwrap();
    }
    if fs::read_to_string(&expected).unwrap_or_default() == answer { Ok(()) } else { Err(answer) }
}

/// Arguments, the exit code, and a part of what is said. The first is what procrun is called.
const TYPED: [(&[&str], u8, &str); 49] = [
    (&["procrun"], 64, "missing TARGET"),
    (&["procrun", "--help"], 0, "Exit codes:"),
    (&["procrun", "run", "-h"], 0, "procrun npm -- start"),
    (&["procrun", "help"], 0, "Examples:"),
    (&["procrun", "-V"], 0, "procrun 0."),
    (&["procrun", "--bogus", "x"], 64, "--bogus"),
    (&["procrun", "--instanecs", "2", "x"], 64, "--instances"),
    (&["procrun", "check"], 64, "`check` needs a TARGET"),
    (&["procrun", "a", "b"], 64, "-- b"),
    (&["procrun", "start", "none"], 127, "`none` not found"),
    (&["pm2-runtime", "start", "none"], 127, "`none` not found"),
    (&["pm2-runtime", "none"], 127, "`none` not found"),
    (&["procrun", "check", "none"], 127, "`none` not found"),
    (&["procrun", "check", "./none.js"], 127, "`./none.js` not found"),
    (&["procrun", "check", "."], 126, "is a directory"),
    (&["procrun", "check", "none.toml"], 78, "none.toml does not exist"),
    (&["procrun", "check", "none.config.js"], 78, "none.config.js does not exist"),
    (&["procrun", "check", "dir.toml"], 78, "is a directory"),
    (&["procrun", "check", "fifo.yaml"], 78, "is not a regular file"),
    (&["procrun", "check", "sh", "-n", "shell", "--", "-c", "exit"], 0, "[\"-c\", \"exit\"]"),
    (&["procrun", "check", "sh", "-i", "-1"], 0, "one per CPU less 1"),
    (&["procrun", "check", "sh", "-i", "-1000"], 0, "`instances` is -1000 on"),
    (&["procrun", "check", "sh", "--max-memory-restart", "1K"], 0, "less than a process needs"),
    (&["procrun", "check", "app.js", "--port", "3000"], 64, "PORT=3000"),
    (&["procrun", "check", "--config", "app.js"], 64, "the ecosystem file is the TARGET"),
    (&["procrun", "check", "Procfile"], 64, "is a Procfile, not an ecosystem file"),
    (&["procrun", "check", "etc/supervisord.conf"], 64, "is a supervisord configuration"),
    (&["procrun", "check", "docker-compose.yml"], 64, "is a Compose file"),
    (&["procrun", "check", "other.conf"], 64, "is a supervisord configuration"),
    (&["procrun", "check", "empty.config.js"], 78, "empty.config.js: the file is empty"),
    (&["procrun", "check", "alone.config.js"], 78, "alone.config.js: exports nothing"),
    (
        &["procrun", "-c", "x.toml"],
        64,
        "`-c` is `--cron`; the ecosystem file is the TARGET: `procrun x.toml`",
    ),
    (&["procrun", "run"], 64, "`procrun run ecosystem.toml`; `procrun ecosystem` creates such a file"),
    (&["procrun", "check", "./etc"], 126, "name the file in it"),
    (&["procrun", "check", "./conf"], 126, "`procrun ./conf/ecosystem.yaml` runs its ecosystem file"),
    (&["procrun", "check", "./package"], 0, "app package"),
    (&["procrun", "sh", "--user", "no-such-user"], 126, "or give its number: `user = 1000`"),
    (&["procrun", "check", "tab.yaml"], 78, "tab.yaml:3:1: not valid YAML: a line is indented with a tab"),
    (
        &["procrun", "check", "syntax.config.js"],
        78,
        "syntax.config.js:3:17: cannot be evaluated: SyntaxError: Unexpected identifier",
    ),
    (
        &["procrun", "check", "syntax.config.js"],
        78,
        "\n  3 |     { name: \"a\" script: \"x\" },\n    |                 ^",
    ),
    (&["procrun", "--format", "check", "--raw", "sh"], 0, "# --raw"),
    (&["procrun", "check", "app.js", "--only", "app", "--delay", "2"], 0, "start_delay"),
    (&["procrun", "check", "sh", "--secret", "--public", "--machine-name", "--env"], 0, "app sh"),
    (&["procrun", "check", "--machine-name", "--env", "--raw", "sh"], 0, "app sh"),
    (&["procrun", "check", "sh", "--delay", "1.5"], 0, "start_delay        1.5s"),
    (&["procrun", "check", "sh", "--delay", "abc"], 64, "`--delay` must be seconds or a duration"),
    (&["procrun", "check", "sh", "--watch-delay", "abc"], 64, "`--watch-delay` must be seconds"),
    (&["procrun", "check", "sh", "--delay", "-1"], 64, "`--delay` cannot be negative"),
    (&["procrun", "check", "sh", "--kill-timeout", "-1"], 64, "`--kill-timeout` cannot be negative"),
];

#[test]
fn what_people_type_gets_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("dir.toml")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in ["etc", "conf", "package"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    for (name, text) in [
        ("app.js", ""),
        ("conf/ecosystem.yaml", "- script: a\n"),
        ("package/index.js", ""),
        ("other.conf", "[supervisord]\n[program:web]\ncommand=web\n"),
        ("empty.config.js", "\n"),
        ("alone.config.js", "const apps = [];\n"),
        ("docker-compose.yml", "services:\n  web:\n    image: nginx\n"),
        ("tab.yaml", "apps:\n  - name: a\n\tscript: b\n"),
        ("syntax.config.js", "module.exports = {\n  apps: [\n    { name: \"a\" script: \"x\" },\n  ],\n};\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    for name in ["procrun", "pm2-runtime"] {
        std::os::unix::fs::symlink(support::binary(), dir.path().join(name)).unwrap();
    }
    for (line, code, part) in TYPED {
        let home = dir.path().join("home");
        let launch = Launch::new(dir.path(), &line[1..]).binary(dir.path().join(line[0]));
        // No supervisor of another test or of this machine.
        let output = launch.env("PROCRUN_HOME", home.to_str().unwrap()).run();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code.into()), "{line:?}: {said}");
        assert!(said.contains(part), "{line:?}: {said}");
    }
}
