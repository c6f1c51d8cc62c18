//! argv → command → exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(procrun::cli::main(std::env::args_os()))
}
