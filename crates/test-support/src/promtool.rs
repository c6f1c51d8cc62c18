//! The tools of Prometheus, where tests/setup.sh has put them or in PATH.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{repository, spawn};

/// A program of Prometheus.
pub fn program(name: &str) -> PathBuf {
    let own = repository().join("target/prometheus/usr/bin").join(name);
    if own.exists() { own } else { name.into() }
}

/// Requires that `promtool check metrics` finds nothing.
#[track_caller]
pub fn check_metrics(text: &str) {
    let mut command = Command::new(program("promtool"));
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command);
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let problems = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && problems.is_empty(), "{problems}");
}
