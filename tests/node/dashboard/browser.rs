//! Runs scripts in the browser.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::support::{Bed, repository, spawn, web::prepared_file};

/// What all scripts use.
const HELPERS: &str = include_str!("helpers.mjs");

/// A script that runs beside the test. It prints a line where it waits for the test.
pub(super) struct Script {
    child: Child,
    lines: BufReader<ChildStdout>,
    printed: String,
}

impl Script {
    #[track_caller]
    pub(super) fn start(bed: &Bed, text: &str, url: &str) -> Self {
        bed.file("helpers.mjs", HELPERS);
        bed.file("script.mjs", text);
        let packages = bed.path("node_modules");
        if !packages.exists() {
            symlink(prepared_file("apps/node_modules"), packages).unwrap();
        }
        let mut command = Command::new("node");
        command.args(["script.mjs", url]).current_dir(bed.root()).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).env("IMAGES", images());
        command.env("POINTS", if is_blessed() { "50" } else { "2" });
        match installed() {
            Some(path) => command.env("BROWSER", path),
            None => command.env("PLAYWRIGHT_BROWSERS_PATH", prepared_file("browsers")),
        };
        let mut child = spawn(&mut command);
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines, printed: String::new() }
    }

    /// Waits for a line that the script prints.
    #[track_caller]
    pub(super) fn wait_for(&mut self, wanted: &str) {
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).expect("a pipe");
            assert!(length > 0, "the script has ended before {wanted:?}: {}", self.story());
            self.printed.push_str(&line);
            if line.trim_end() == wanted {
                return;
            }
        }
    }

    /// Waits for its end, which is a success.
    #[track_caller]
    pub(super) fn finish(mut self) {
        let story = self.story();
        let status = self.child.wait().expect("our own child");
        assert!(status.success(), "{story}");
    }

    /// What it prints until its end.
    fn story(&mut self) -> String {
        let mut rest = String::new();
        // Both ends are short: neither pipe fills up.
        let _ = self.lines.read_to_string(&mut rest);
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut errors);
        }
        format!("{}{rest}{errors}", self.printed)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // After `finish` it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script to its end.
#[track_caller]
pub(super) fn browse(bed: &Bed, text: &str, url: &str) {
    Script::start(bed, text, url).finish();
}

/// A Chromium or Chrome of this machine.
fn installed() -> Option<&'static str> {
    ["/usr/bin/chromium", "/usr/bin/google-chrome"].into_iter().find(|path| Path::new(path).exists())
}

fn is_blessed() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Where screenshots go: into the documentation if they are to be renewed.
fn images() -> String {
    let path = if is_blessed() { "docs/images" } else { "target/images" };
    let path = repository().join(path);
    std::fs::create_dir_all(&path).expect("our own directory");
    path.to_string_lossy().into_owned()
}
