//! `procrun convert`: every good file of `tests/corpus` that is no TOML means the same as TOML, and what
//! people see and get on the way.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::Launch;

/// procrun in this directory, with the environment of the corpus.
fn procrun(dir: &Path, args: &[&str]) -> Output {
    let variables = [("HOME", "/home/me"), ("PORT", "8080"), ("EMPTY", ""), ("CALLERS_TOKEN", "hunter2")];
    variables.iter().fold(Launch::new(dir, args), |launch, (name, value)| launch.env(name, value)).run()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `check` shows, without where it is from.
#[track_caller]
fn plan(dir: &Path, file: &str, args: &[&str]) -> Vec<String> {
    let output = procrun(dir, &[&["check", file], args].concat());
    assert_eq!(output.status.code(), Some(0), "{file} {args:?}: {}", text(&output.stderr));
    let text = text(&output.stdout);
    let lines = text.lines().map(|line| line.rfind("  # ").map_or(line, |origin| &line[..origin]));
    // The first line is the file's own name.
    lines.skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn directory_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// The good files in other formats: the directory, and the name of the file.
fn cases() -> Vec<(PathBuf, String)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut cases = Vec::new();
    for entry in fs::read_dir(corpus).unwrap() {
        let dir = entry.unwrap().path();
        let names = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let file = names.into_iter().find(|name| name.starts_with("ecosystem.")).unwrap();
        let expected = fs::read_to_string(dir.join("expected")).unwrap();
        if file != "ecosystem.toml" && expected.starts_with("exit code 0\n") {
            cases.push((dir, file));
        }
    }
    cases.sort();
    cases
}

/// Copies what a directory holds.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copied = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&copied).unwrap();
            copy(&path, &copied);
        } else {
            fs::copy(&path, copied).unwrap();
        }
    }
}

#[test]
fn every_good_file_means_the_same_as_toml() {
    let cases = cases();
    assert!(cases.len() > 15, "the corpus is there");
    for (case, file) in cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy(&case, dir.path());
        fs::create_dir(dir.path().join("sub")).unwrap();
        // Beside the file, and where every path is seen from elsewhere.
        for to in ["ecosystem.toml", "sub/other.toml"] {
            let output = procrun(dir.path(), &["convert", &file, "-o", to]);
            if name == "pm2-log-clash" {
                // Two apps that rotate one file differently: TOML has no leniency to say that with.
                assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
                assert!(text(&output.stderr).contains("rotates it differently"), "{}", text(&output.stderr));
                assert!(!dir.path().join(to).exists());
                continue;
            }
            assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
            let written = fs::read_to_string(dir.path().join(to)).unwrap();
            assert_eq!(plan(dir.path(), &file, &[]), plan(dir.path(), to, &[]), "{name}:\n{written}");
            let args = fs::read_to_string(case.join("args")).unwrap_or_default();
            let args: Vec<&str> = args.lines().collect();
            // That one looks at the arguments itself.
            if !args.is_empty() && name != "pm2-js-looks-at-argv" {
                assert_eq!(plan(dir.path(), &file, &args), plan(dir.path(), to, &args), "{name}:\n{written}");
            }
        }
    }
}

const MODULE: &str = r#"// Comments are lost.
process.env.FROM_FILE = 'x';
module.exports = {
  apps: [
    {
      name: 'api',
      script: 'a.js',
      node_args: '--inspect',
      instances: 1.5,
      pmx: false,
      unkown: 1,
      onExit: () => {},
      env_production: { NODE_ENV: 'production' },
      args: 'one "two three" $x ${y} $$',
      env: { CALLERS_TOKEN: process.env.CALLERS_TOKEN, OTHER_TOKEN: 'plain', N: 1 },
      watch: false,
      kill_timeout: 0,
    },
    { name: 'api', script: 'echo "$HOME" ${PORT}', filter_env: 'SECRET' },
  ],
  deploy: {},
};
"#;

#[test]
fn keys_stay_as_they_were_written_and_others_are_reported() {
    let dir = directory_with(&[("ecosystem.config.js", MODULE)]);
    let output = procrun(dir.path(), &["convert", "ecosystem.config.js"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(
        text(&output.stdout),
        "wrote ecosystem.toml: 2 apps of ecosystem.config.js\n\
         check it with `procrun check ecosystem.toml`, run it with `procrun ecosystem.toml`\n"
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("ecosystem.toml")).unwrap(),
        r#"# Made from ecosystem.config.js by `procrun convert`.
# Values that the file computes are constants here. Comments and functions are not converted.

[[apps]]
name = "api"
script = "a.js"
node_args = "--inspect"
instances = 1
args = 'one "two three" $x $${y} $$$$'
watch = false

[apps.env_production]
NODE_ENV = "production"

[apps.env]
FROM_FILE = "x"
CALLERS_TOKEN = "${CALLERS_TOKEN}"
OTHER_TOKEN = "plain"
N = 1

[[apps]]
name = "api-1"
script = 'echo "$HOME" $${PORT}'
filter_env = "=SECRET"

[apps.env]
FROM_FILE = "x"
"#
    );
    let notices: Vec<&str> = said.lines().map(|line| line.strip_prefix("notice: ").unwrap()).collect();
    assert_eq!(
        notices,
        [
            "ecosystem.config.js: `deploy` is left out: procrun does not use it",
            "ecosystem.config.js: `pmx` is left out: procrun does not have this feature of PM2",
            "ecosystem.config.js: `unkown` in app `api` is left out: unknown key",
            "ecosystem.config.js: the variables that it sets in `process.env` are now in `env`",
            "app `api`: the value of OTHER_TOKEN is in plain text; \"${OTHER_TOKEN}\" reads it from the environment",
            "ecosystem.config.js: the second app `api` is now `api-1`",
            "Node exits on an unhandled promise rejection, and PM2 prevents that; \
             node_args = \"--unhandled-rejections=warn\" keeps these apps running: api",
            "ecosystem.config.js: functions are left out: `onExit`",
        ]
    );
}

/// What `require('dotenv').config()` does: the secrets stay where they are.
#[test]
fn a_dotenv_file_is_named_and_not_copied() {
    const LOADS_DOTENV: &str = "for (const line of require('fs').readFileSync('.env', 'utf8').trim().split('\\n'))\n\
         process.env[line.split('=')[0]] = line.split('=')[1];\n\
         module.exports = [{ script: 'a.js' }, { script: 'b.js', env_file: 'more.env' }];\n";
    let dir = directory_with(&[
        ("etc/ecosystem.config.js", LOADS_DOTENV),
        ("etc/more.env", "MORE=1\n"),
        (".env", "DB_PASSWORD=hunter3\nA=b\n"),
    ]);
    let output = procrun(dir.path(), &["convert", "etc/ecosystem.config.js"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let written = fs::read_to_string(dir.path().join("etc/ecosystem.toml")).unwrap();
    assert!(!written.contains("hunter3"), "{written}");
    assert!(written.contains("script = \"a.js\"\ncwd = \"..\"\nenv_file = \"../.env\"\n"), "{written}");
    assert!(written.contains("env_file = [\"../.env\", \"more.env\"]\n"), "{written}");
    let (was, is) = ("etc/ecosystem.config.js", "etc/ecosystem.toml");
    assert_eq!(plan(dir.path(), was, &[]), plan(dir.path(), is, &[]));
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let dir = directory_with(&[("e.json", r#"{"apps":[{"script":"a.js"}]}"#), ("ecosystem.toml", "mine")]);
    let output = procrun(dir.path(), &["convert", "e.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: ecosystem.toml already exists and was not changed\n  \
         hint: `-o FILE` writes to another file, `-o -` to stdout\n"
    );
    assert_eq!(fs::read_to_string(dir.path().join("ecosystem.toml")).unwrap(), "mine");

    let output = procrun(dir.path(), &["convert", "e.json", "-o", "-"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        "# Made from e.json by `procrun convert`.\n# Comments are not converted.\n\n[[apps]]\nscript = \"a.js\"\n"
    );
    assert_eq!(fs::read_to_string(dir.path().join("ecosystem.toml")).unwrap(), "mine");
}

#[test]
fn the_copy_has_the_permissions_of_the_file() {
    let dir = directory_with(&[("e.yaml", "script: a.js\nenv: { API_KEY: secret }\n")]);
    fs::set_permissions(dir.path().join("e.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    let output = procrun(dir.path(), &["convert", "e.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mode = fs::metadata(dir.path().join("ecosystem.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_cannot_be_converted_is_an_error_and_nothing_is_written() {
    let dir = directory_with(&[
        ("x.toml", "[[apps]]\nscript = \"a.js\"\n"),
        ("a.js", ""),
        ("bad.json", r#"{"apps":[{"script":"a.js","instances":"many"}]}"#),
        ("throws.config.js", "throw new Error('no');"),
    ]);
    for (file, code, part) in [
        ("x.toml", 64, "x.toml is TOML already\n  hint: `convert` accepts JSON"),
        ("a.js", 64, "a.js is not an ecosystem file"),
        ("none.json", 78, "none.json does not exist"),
        ("none", 127, "`none` not found"),
        ("bad.json", 78, "bad.json:1:39: `instances` in app 1 must be"),
        ("throws.config.js", 78, "cannot be evaluated: Error: no"),
    ] {
        let output = procrun(dir.path(), &["convert", file, "-o", "out.toml"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{file}: {said}");
        assert!(said.contains(part), "{file}: {said}");
        assert!(!said.contains("started"), "{file}: {said}");
        assert_eq!(text(&output.stdout), "");
        assert!(!dir.path().join("out.toml").exists(), "{file}");
    }
    let output = procrun(dir.path(), &["convert", "bad.json", "-o", "no/such/dir.toml"]);
    assert_ne!(output.status.code(), Some(0));
}
