//! Every directory of `tests/corpus` is one ecosystem file and what `procrun check` says to it:
//! its exit code, its answer, its errors and notices. One bad file an error.
//!
//! `args` holds further arguments, one a line. `BLESS=1 cargo test --test config_corpus` writes
//! the answers anew; read the difference before you commit it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

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

#[expect(clippy::disallowed_methods, reason = "the test is the parent here")]
fn answer(case: &Path) -> String {
    let args = fs::read_to_string(case.join("args")).unwrap_or_default();
    let output = Command::new(env!("CARGO_BIN_EXE_procrun"))
        .arg("check")
        .arg(ecosystem_file(case))
        .args(args.lines())
        .current_dir(case)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/home/me")
        .env("PORT", "8080")
        .env("EMPTY", "")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let directory = case.to_str().unwrap();
    let text = format!(
        "exit code {}\n{}{}",
        output.status.code().expect("it is not killed by a signal"),
        String::from_utf8(output.stderr).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    );
    text.lines().map(|line| squeezed(&line.replace(directory, "<dir>")) + "\n").collect()
}

/// Paths differ from machine to machine, and with them the width of their column.
fn squeezed(line: &str) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    " ".repeat(indent) + &line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_file_gets_its_answer() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 60, "the corpus is there");
    for case in cases {
        let answer = answer(&case);
        let expected = case.join("expected");
        if bless {
            fs::write(&expected, &answer).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != answer {
            wrong.push(format!("{}:\n{answer}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
