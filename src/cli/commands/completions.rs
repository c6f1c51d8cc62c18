//! `procrun completions`: scripts with which a shell completes a command line of procrun.
//!
//! The scripts are generated from the tables of options and commands. Names of apps are read at completion
//! time: `procrun completions targets` prints them, and prints nothing if no supervisor answers.

mod bash;
mod fish;
mod offered;
mod zsh;

use std::collections::BTreeSet;

use self::offered::Offered;
use crate::{
    cli::{
        command::{Argument, Command, Occurs, Run},
        failure::Failure,
        output::print,
        parsed_args::ParsedArgs,
    },
    config::EX_USAGE,
    control::Request,
    spec::ExitCode,
};

pub(super) static COMPLETIONS: Command = Command {
    words: &["completions", "completion"],
    arguments: &[Argument::new("bash|zsh|fish", Occurs::Once)],
    summary: "Print shell completions",
    description: "Print a script that completes commands, options, files and names of apps:\n\
                  \x20 bash  source <(procrun completions bash)    in ~/.bashrc\n\
                  \x20 zsh   source <(procrun completions zsh)     in ~/.zshrc, after compinit\n\
                  \x20 fish  procrun completions fish > ~/.config/fish/completions/procrun.fish",
    run: Run::OfTable(completions),
    ..Command::DEFAULT
};

fn completions(args: &ParsedArgs, commands: &[&'static Command]) -> Result<ExitCode, Failure> {
    let offered = Offered::new(commands);
    Ok(print(&match args.words[0].as_str() {
        "bash" => bash::script(&offered),
        "zsh" => zsh::script(&offered),
        "fish" => fish::script(&offered),
        "targets" => targets(args),
        other => {
            let message = format!("unknown shell `{other}`: must be bash, zsh or fish");
            return Err(Failure::new(EX_USAGE, message));
        }
    }))
}

/// The targets of commands, one per line.
fn targets(args: &ParsedArgs) -> String {
    let overview = args.supervisor().and_then(|mut supervisor| supervisor.overview(&Request::List));
    let Ok(overview) = overview else { return String::new() };
    let instances = overview.instances;
    let words: BTreeSet<String> = instances
        .iter()
        .flat_map(|one| [one.name.clone(), one.namespace.clone(), one.id.to_string()])
        .chain(["all".to_owned()])
        .filter(|word| !word.contains('\n'))
        .collect();
    words.into_iter().map(|word| word + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::COMMANDS,
        offered::{Word, app_options},
        *,
    };
    use crate::cli::{app_options::OTHER_MEANING, command::AppOptions};

    type Script = fn(&Offered) -> String;

    /// Each command, option and kind of argument of the definitions is in the script of each shell.
    #[test]
    fn every_command_and_option_is_in_every_script() {
        let offered = Offered::new(COMMANDS);
        let scripts: [(&str, Script); 3] =
            [("bash", bash::script), ("zsh", zsh::script), ("fish", fish::script)];
        for (shell, script) in scripts {
            let script = script(&offered);
            for command in COMMANDS {
                let name = command.name();
                // The part of the script that belongs to the command.
                let part: String = if shell == "fish" {
                    let condition = format!("'__procrun_is {}'", command.words.join(" "));
                    script.lines().filter(|line| line.contains(&condition)).collect()
                } else {
                    let begin = format!("        {})\n", command.words.join("|"));
                    let (_, rest) = script.split_once(&begin).unwrap_or_else(|| panic!("{shell}: {name}"));
                    rest.split_once("esac ;;").expect("an arm has an end").0.to_owned()
                };
                let of_app = match command.app_options {
                    AppOptions::None => Vec::new(),
                    AppOptions::Changes | AppOptions::All => {
                        app_options(OTHER_MEANING).map(|option| option.long).collect()
                    }
                };
                for long in command.all_options().map(|option| option.long).chain(of_app) {
                    let written = if shell == "fish" { format!("-l {long} ") } else { format!("--{long}") };
                    assert!(format!("{part} ").contains(&written), "{shell}: {name} --{long}");
                }
                let has_target = command
                    .arguments
                    .iter()
                    .any(|argument| matches!(Word::of(argument.name), Word::Target | Word::TargetOrFile));
                assert!(!has_target || part.contains("targets"), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn every_option_is_offered_once() {
        for command in Offered::new(COMMANDS).commands {
            let mut options: Vec<_> = command.options.iter().map(|option| option.long).collect();
            let count = options.len();
            options.sort_unstable();
            options.dedup();
            assert_eq!(options.len(), count, "{:?}", command.words);
        }
    }
}
