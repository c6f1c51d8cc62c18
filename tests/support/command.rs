//! Commands that run to their end: what they print, and their exit code.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use super::{
    bed::{Bed, run_to_end},
    run::{End, Procrun},
};

/// What a command has printed, and its exit code.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl CommandOutput {
    #[track_caller]
    fn of(mut run: Procrun) -> Self {
        let End::Code(code) = run.wait_end() else { panic!("killed by a signal{}", run.story()) };
        let text = |lines: Vec<String>| lines.into_iter().map(|line| line + "\n").collect();
        Self { code, out: text(run.out().lines()), err: text(run.err().lines()) }
    }

    /// Demand exit code 0; stdout.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Demand exit code 0 and JSON on stdout.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Demand this exit code and this text on stderr; stderr.
    #[track_caller]
    pub fn fails(self, code: i32, with: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(with), "no {with:?} in {self:?}");
        self.err
    }

    /// Demand this exit code; stdout and stderr.
    #[track_caller]
    pub fn exits(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.out + &self.err
    }
}

impl Procrun {
    /// Wait for the end of a command.
    #[track_caller]
    pub fn output(self) -> CommandOutput {
        CommandOutput::of(self)
    }
}

impl Bed {
    /// Run a command in the bed's own home to its end.
    #[track_caller]
    pub fn command(&self, args: &[&str]) -> CommandOutput {
        self.isolated(args).start().output()
    }
}

/// Run procrun in a directory that is no bed, with these variables only, and with PATH.
#[track_caller]
pub fn procrun_in(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_procrun"));
    command.args(args).current_dir(dir).env_clear();
    command.env("PATH", std::env::var_os("PATH").expect("a PATH")).envs(variables.iter().copied());
    run_to_end(&mut command)
}
