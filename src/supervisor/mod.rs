//! The room of supervisor.

use crate::config::{EX_CONFIG, Loaded, Problem, Problems, Read, Source};

/// Runs what the source asks for and gives the exit code of procrun.
pub fn run(source: Source) -> u8 {
    match evaluate(&source) {
        Ok(_) => 0,
        Err(problems) => problems.exit_code(),
    }
}

/// Reads the source; a JavaScript file is evaluated by a child.
///
/// # Errors
/// Everything that is wrong with it.
pub fn evaluate(source: &Source) -> Result<Loaded, Problems> {
    match source.read()? {
        Read::Loaded(loaded) => Ok(loaded),
        Read::NeedsEvaluation(_) => Err(Problems::one(EX_CONFIG, Problem::new("cannot be evaluated yet"))),
    }
}
