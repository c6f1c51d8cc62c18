//! The command line: arguments, one file a command below `commands`, and how answers are printed.
//!
//! It makes no decision about applications.
//!
//! | file | contents |
//! |---|---|
//! | `command` | what a command is: words, arguments, options, help, function |
//! | `commands` | the commands, one file each, and their table |
//! | `parser`, `help_text`, `commands/completions`, `reference` | parser, help, completions and reference of the table |
//! | `target_line`, `app_options` | a line with a TARGET, and the options that describe an app |
//! | `connect`, `operations`, `background` | the supervisor of a command |
//! | `source_file`, `update_apps`, `saved_list` | apps from files, and changes of listed apps |
//! | `output`, `failure`, `process_table`, `log_output`, `event_text` | what commands print |

mod app_options;
mod background;
mod command;
mod commands;
mod connect;
mod create;
mod event_text;
mod failure;
mod foreground;
mod help_text;
mod inspect;
mod invoked_as;
mod log_output;
mod mini_list;
mod name_list;
mod node_version;
mod operations;
mod optional_values;
mod output;
mod parsed_args;
mod parser;
mod process_table;
mod process_tree;
#[cfg(test)]
mod reference;
mod saved_list;
mod since;
mod sort;
mod source_file;
mod stdin_client;
mod table;
mod target_line;
mod unsupported;
mod update_apps;
mod wrap;

use std::ffi::OsString;

use self::{
    command::Run,
    commands::COMMANDS,
    output::print,
    parser::{CommandLine, Parsed},
};
use crate::spec::{self, ExitCode};

/// Carries out a command line; returns the exit code of the process.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let command_line: Vec<OsString> = args.collect();
    if let Some((program, args)) = command_line.split_first()
        && program == spec::serve::WORKER
    {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        return crate::serve::run(&args);
    }
    match CommandLine::find(COMMANDS, &command_line) {
        Some(line) => run(&line),
        None => target_line::run(COMMANDS, command_line),
    }
}

fn run(line: &CommandLine<'_>) -> ExitCode {
    let done = line.parse().and_then(|parsed| match (parsed, line.command.run) {
        (Parsed::Help, _) => Ok(print(&help_text::of_command(line.command))),
        (Parsed::Args(args), Run::Function(function)) => function(&args),
        (Parsed::Args(args), Run::OfTable(function)) => function(&args, COMMANDS),
        (Parsed::Args(_), Run::Target(_)) => unreachable!("`target_line` parses its arguments"),
    });
    done.unwrap_or_else(|failure| {
        failure.print();
        failure.code
    })
}
