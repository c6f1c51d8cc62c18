//! The commands that need no supervisor: they make a file or print one.

use super::{
    commands::{OptionSpec, Verb},
    completions, convert, ecosystem, help,
};

/// A new command needs a row here and a function.
pub(super) static ALONE: &[Verb] = &[
    Verb {
        words: &["ecosystem", "init"],
        takes: "[simple]",
        count: (0, 1),
        options: &[OptionSpec {
            long: "format",
            short: None,
            value: "toml|json|yaml|js",
            help: "Format of the file (toml)",
        }],
        brief: "Create an ecosystem file",
        about: "Create an ecosystem file with the common keys and a comment for each, or with\n\
                `simple` a minimal one. An existing file is not changed.",
        run: ecosystem::ecosystem,
    },
    Verb {
        words: &["convert"],
        takes: "<FILE>",
        count: (1, 1),
        options: &[OptionSpec {
            long: "output",
            short: Some('o'),
            value: "FILE|-",
            help: "Write to FILE, or to stdout",
        }],
        brief: "Convert a PM2 ecosystem file to TOML",
        about: "Write ecosystem.toml beside an ecosystem file in another format, with the same\n\
                keys and the same meaning. The output names what was not converted. An existing\n\
                file is not changed.",
        run: convert::convert,
    },
    Verb {
        words: &["completions", "completion"],
        takes: "<bash|zsh|fish>",
        count: (1, 1),
        options: &[],
        brief: "Print shell completions",
        about: "Print a script that completes commands, options, files and names of apps:\n\
                \x20 bash  source <(procrun completions bash)    in ~/.bashrc\n\
                \x20 zsh   source <(procrun completions zsh)     in ~/.zshrc, after compinit\n\
                \x20 fish  procrun completions fish > ~/.config/fish/completions/procrun.fish",
        run: completions::completions,
    },
    Verb {
        words: &["help"],
        takes: "[COMMAND]",
        count: (0, 1),
        options: &[],
        brief: "Show the help of a command",
        about: "Show the options of a command; without a command, list all commands.\n\
                `procrun help environment` lists the variables that procrun reads.",
        run: help::help,
    },
    Verb {
        words: &["version"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Print the version",
        about: "Print the version of procrun.",
        run: help::version,
    },
];
