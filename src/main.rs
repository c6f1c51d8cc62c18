//! argv → command → exit code; nothing else.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(procrun::cli::main(std::env::args_os()))
}
