//! Commands that run to their end: their output and exit code.

use serde_json::Value;

use super::{
    bed::Bed,
    run::{End, Procrun},
};

/// The output and the exit code of a command.
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

    /// Requires exit code 0; returns stdout.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Requires exit code 0 and JSON on stdout; returns the JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Requires this exit code and this text on stderr; returns stderr.
    #[track_caller]
    pub fn fails(self, code: i32, with: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(with), "no {with:?} in {self:?}");
        self.err
    }

    /// Requires this exit code; returns stdout and stderr.
    #[track_caller]
    pub fn exits(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.out + &self.err
    }
}

impl Procrun {
    /// Waits for the end of a command.
    #[track_caller]
    pub fn output(self) -> CommandOutput {
        CommandOutput::of(self)
    }
}

impl Bed {
    /// Runs a command with the `PROCRUN_HOME` of the bed to its end.
    #[track_caller]
    pub fn command(&self, args: &[&str]) -> CommandOutput {
        self.isolated(args).start().output()
    }
}
