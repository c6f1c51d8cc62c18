//! `procrun signal`: sends a signal to processes.

use crate::{
    cli::{
        command::{Argument, Command, Group, JSON, Occurs, Run},
        failure::Failure,
        operations::carry_out,
        parsed_args::ParsedArgs,
    },
    config::EX_USAGE,
    control::{Action, Request},
    spec::{ExitCode, Signal},
};

pub(super) static SIGNAL: Command = Command {
    words: &["signal", "sendSignal"],
    group: Group::Control,
    arguments: &[
        Argument::new("SIGNAL", Occurs::Once),
        Argument::new("NAME|ID|NAMESPACE|all", Occurs::OnceOrMore),
    ],
    options: &[JSON],
    summary: "Send a signal to processes",
    description: "Send a signal to the main processes of apps. SIGNAL is a name (HUP, SIGUSR2) or\n\
                  a number.",
    examples: &[("procrun signal HUP nginx", "tell nginx to reload its configuration")],
    run: Run::Function(signal),
    ..Command::DEFAULT
};

fn signal(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let (name, targets) = args.words.split_first().expect("the parser requires two words");
    let Some(signal) = Signal::parse(name) else {
        let hint = "write the signal before the targets: a name (HUP, SIGUSR2) or a number";
        return Err(Failure::new(EX_USAGE, format!("unknown signal `{name}`")).hint(hint));
    };
    let action = Action::Signal(signal);
    carry_out(args, &Request::Act { action, targets: targets.to_vec() })
}
