//! The commands that need no supervisor: they make a file or print one.

use super::{
    commands::{Option_, Verb},
    completions, convert, ecosystem, help,
};

/// What a new one needs is a row here and a function.
pub(super) static ALONE: &[Verb] = &[
    Verb {
        words: &["ecosystem", "init"],
        takes: "[simple]",
        count: (0, 1),
        options: &[Option_ {
            long: "format",
            short: None,
            value: "toml|json|yaml|js",
            help: "Its form (toml)",
        }],
        brief: "Write a file to begin with",
        about: "Writes an ecosystem file with the keys that people need, each with its comment,\n\
                or with `simple` the shortest one. A file that is there already stays as it is.",
        run: ecosystem::ecosystem,
    },
    Verb {
        words: &["convert"],
        takes: "<FILE>",
        count: (1, 1),
        options: &[Option_ {
            long: "output",
            short: Some('o'),
            value: "FILE|-",
            help: "Write it there, or to stdout",
        }],
        brief: "An ecosystem file of PM2's as TOML",
        about: "Writes ecosystem.toml beside an ecosystem file in another format: the same keys,\n\
                and the same meaning. It says what is not in it. A file that is there already\n\
                stays as it is.",
        run: convert::convert,
    },
    Verb {
        words: &["completions", "completion"],
        takes: "<bash|zsh|fish>",
        count: (1, 1),
        options: &[],
        brief: "What a shell completes lines with",
        about: "Prints what a shell needs to complete commands, options, files and the names of\n\
                what runs:\n\
                \x20 bash  source <(procrun completions bash)    in ~/.bashrc\n\
                \x20 zsh   source <(procrun completions zsh)     in ~/.zshrc, behind compinit\n\
                \x20 fish  procrun completions fish > ~/.config/fish/completions/procrun.fish",
        run: completions::completions,
    },
    Verb {
        words: &["help"],
        takes: "[COMMAND]",
        count: (0, 1),
        options: &[],
        brief: "Show the help of a command",
        about: "Prints the options of a command; without a command, lists all commands.\n\
                `procrun help environment` lists the variables that procrun reads.",
        run: help::help,
    },
    Verb {
        words: &["version"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Print the version",
        about: "Prints the version of procrun.",
        run: help::version,
    },
];
