//! The room of supervisor.

use std::process::{Command, Stdio};

use crate::config::{Evaluation, EvaluationEnd, Loaded, Problems, Read, Source};

/// Runs what the source asks for and gives the exit code of procrun.
#[expect(clippy::needless_pass_by_value, reason = "the supervisor keeps it")]
pub fn run(source: Source) -> u8 {
    match evaluate(&source) {
        Ok(_) => 0,
        Err(problems) => {
            eprintln!("{problems}");
            problems.exit_code()
        }
    }
}

/// Reads the source; a JavaScript file is evaluated by a child.
///
/// # Errors
/// Everything that is wrong with it.
pub fn evaluate(source: &Source) -> Result<Loaded, Problems> {
    match source.read()? {
        Read::Loaded(loaded) => Ok(loaded),
        Read::NeedsEvaluation(evaluation) => stand_in(evaluation),
    }
}

#[expect(clippy::disallowed_methods, reason = "a stand-in until the supervisor spawns")]
fn stand_in(evaluation: Evaluation) -> Result<Loaded, Problems> {
    let output = Command::new("timeout")
        .args(["-s", "KILL", "3"])
        .arg(&evaluation.program)
        .args(&evaluation.args)
        .current_dir(&evaluation.cwd)
        .stdin(Stdio::null())
        .output();
    match output {
        Err(error) => evaluation.finish(EvaluationEnd::SpawnFailed(error.to_string()), b"", b""),
        Ok(output) => {
            let end = match output.status.code() {
                _ if output.stdout.len() > evaluation.max_output => EvaluationEnd::TooMuchOutput,
                Some(code) => EvaluationEnd::Exited(u8::try_from(code).unwrap_or(1)),
                None => EvaluationEnd::TimedOut,
            };
            evaluation.finish(end, &output.stdout, &output.stderr)
        }
    }
}
