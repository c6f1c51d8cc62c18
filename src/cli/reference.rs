//! Writes docs/reference/command-line.md and docs/reference/options.md from the definitions of commands and
//! options.
//!
//! `BLESS=1 cargo test --lib reference` writes the pages. Without it, the tests fail when a page differs.

use std::fmt::Write as _;

use super::{
    app_options::{self, ShownOption},
    command::{AppOptions, Command, Group, HELP, OptionSpec, SOCKET},
    commands::COMMANDS,
};
use crate::generated_page::{cell, check};

const COMMANDS_PAGE: &str = "\
# Command line

<!-- Written by `BLESS=1 cargo test --lib reference` from src/cli/commands. Do not edit. -->

[Use the command line](../how-to/command-line.md) has examples by task. `procrun COMMAND --help` prints the text of this
page.

- A target is the name of an app, an id, a namespace, the path of a script, a pattern on names (`'/^api-/'`), or `all`.
- Commands that read or change apps connect to a running procrun. Their `--socket FILE` selects it by its
  [control socket](control-protocol.md#where-the-socket-is).
- Each command accepts `--help`.
- [Exit codes](exit-codes.md) are the same for all commands. A command below has the codes that mean more.

";

const OPTIONS_PAGE: &str = "\
# Options

<!-- Written by `BLESS=1 cargo test --lib reference` from the key table in src/config/keys. Do not edit. -->

Options of `procrun TARGET`, `run`, `check` and `start`. `restart`, `reload` and `serve` accept those that describe how
an app runs. With an ecosystem file, an option overrides the key of all apps that are started.

A TIME is in milliseconds, or has a unit: `300ms`, `5s`, `2m`, `1h`. A SIZE is in bytes, or has a unit: `300K`,
`200M`, `1G`.

";

/// Lines of a terminal as Markdown: indented lines are literal, the others are paragraphs.
fn prose(text: &str) -> String {
    let mut page = String::new();
    let mut is_literal = false;
    for line in text.lines() {
        if line.starts_with("  ") != is_literal {
            is_literal = !is_literal;
            page.push_str(if is_literal { "\n```text\n" } else { "```\n\n" });
        }
        page.push_str(line.trim_start());
        page.push('\n');
    }
    if is_literal {
        page.push_str("```\n");
    }
    page
}

fn row(page: &mut String, cells: &[&str]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("writing to a String cannot fail");
}

fn option(page: &mut String, option: &OptionSpec) {
    let short = option.short.map_or_else(String::new, |short| format!("`-{short}`, "));
    row(page, &[&format!("{short}{}", cell(&format!("`{}`", option.shown()))), &cell(option.help)]);
}

fn command(page: &mut String, command: &Command) {
    write!(page, "### {}\n\n`{}`\n\n{}", command.name(), command.usage(), prose(command.description))
        .expect("writing to a String cannot fail");
    if let [_, aliases @ ..] = command.words
        && !aliases.is_empty()
    {
        let aliases: Vec<String> = aliases.iter().map(|word| format!("`{word}`")).collect();
        writeln!(page, "\nAliases: {}.", aliases.join(", ")).expect("writing to a String cannot fail");
    }
    match command.app_options {
        AppOptions::None => {}
        AppOptions::Changes => {
            page.push_str("\n[Options](options.md) that describe how an app runs are accepted too.\n");
        }
        AppOptions::All => page.push_str("\nAll [options](options.md) are accepted.\n"),
    }
    let common = [SOCKET.long, HELP.long];
    let own: Vec<_> = command.all_options().filter(|option| !common.contains(&option.long)).collect();
    if !own.is_empty() {
        page.push_str("\n| option | effect |\n|---|---|\n");
        for of_command in own {
            option(page, of_command);
        }
    }
    if !command.exit_codes.is_empty() {
        page.push_str("\n| exit code | meaning |\n|---|---|\n");
        for (code, meaning) in command.exit_codes {
            row(page, &[&code.to_string(), &cell(meaning)]);
        }
    }
    if !command.examples.is_empty() {
        page.push_str("\n```text\n");
        let width = command.examples.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        for (line, meaning) in command.examples {
            writeln!(page, "{line:width$}  # {meaning}").expect("writing to a String cannot fail");
        }
        page.push_str("```\n");
    }
    page.push('\n');
}

fn commands_page() -> String {
    let mut page = COMMANDS_PAGE.to_owned();
    for group in Group::ALL {
        writeln!(page, "## {}\n", group.heading()).expect("writing to a String cannot fail");
        for of_group in COMMANDS.iter().filter(|command| command.group == group) {
            command(&mut page, of_group);
        }
    }
    page.trim_end().to_owned() + "\n"
}

fn options_page() -> String {
    let mut page = OPTIONS_PAGE.to_owned();
    for (heading, options) in app_options::groups() {
        writeln!(page, "## {heading}\n\n| option | key | effect |\n|---|---|---|")
            .expect("writing to a String cannot fail");
        for ShownOption { short, long, value, key, help, .. } in options {
            let short = short.map_or_else(String::new, |short| format!("`-{short}`, "));
            let key = key.map_or_else(String::new, |key| format!("`{key}`"));
            row(&mut page, &[&format!("{short}{}", cell(&format!("`--{long}{value}`"))), &key, &cell(help)]);
        }
        page.push('\n');
    }
    page.trim_end().to_owned() + "\n"
}

#[test]
fn the_page_of_commands_is_that_of_the_definitions() {
    check("command-line.md", &commands_page());
}

#[test]
fn the_page_of_options_is_that_of_the_table() {
    check("options.md", &options_page());
}

/// The reference has each command, argument, option, alias, exit code and example.
#[test]
fn the_reference_is_complete() {
    let page = commands_page();
    for command in COMMANDS {
        let (_, section) =
            page.split_once(&format!("### {}\n", command.name())).expect("each command has a section");
        let section = section.split("\n##").next().unwrap_or(section);
        let arguments = command.arguments.iter().map(|argument| argument.name.to_owned());
        let options = command
            .options
            .iter()
            .flat_map(|option| [cell(&format!("`{}`", option.shown())), cell(option.help)]);
        let aliases = command.words[1..].iter().map(|word| format!("`{word}`"));
        let codes = command.exit_codes.iter().map(|(_, meaning)| cell(meaning));
        let examples = command.examples.iter().map(|(line, _)| (*line).to_owned());
        for part in arguments.chain(options).chain(aliases).chain(codes).chain(examples) {
            assert!(section.contains(&part), "{}: {part}", command.name());
        }
    }
    let page = options_page();
    for option in app_options::groups().flat_map(|(_, options)| options) {
        assert!(page.contains(&cell(&format!("`--{}{}`", option.long, option.value))), "{}", option.long);
        assert!(page.contains(&cell(option.help)), "{}", option.long);
    }
}
