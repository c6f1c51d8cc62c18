//! The order of starts and stops, with the real binary and real processes.

mod commands;
mod stack;

use crate::support::{Bed, Launch};

/// A procrun that keeps to the bed's home.
fn launch<'a>(bed: &'a Bed, args: &[&str]) -> Launch<'a> {
    bed.launch(args).env("PROCRUN_HOME", &bed.path("home").to_string_lossy())
}

/// What a command says on stdout and stderr; it ends with this code.
#[track_caller]
fn ask(bed: &Bed, args: &[&str], code: i32) -> String {
    let mut run = launch(bed, args).start();
    run.expect_code(code);
    [run.out().lines(), run.err().lines()].concat().join("\n")
}
