//! Writes docs/reference/command-line.md and docs/reference/options.md from the tables of commands and options.
//!
//! `BLESS=1 cargo test --lib reference` writes the pages. Without it, the tests fail when a page differs.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    commands::{OptionSpec, Verb},
    flags, help,
    offline_commands::ALONE,
    verbs::VERBS,
};

const COMMANDS: &str = "\
# Command line

<!-- Written by `BLESS=1 cargo test --lib reference` from the tables in src/cli. Do not edit. -->

`procrun TARGET` and `procrun run TARGET` run applications in the foreground, and `procrun check TARGET` prints
the effective configuration. [Options](options.md) lists their options and those of `procrun start`.

The other commands connect to a running procrun. A target of a command is the name of an app, an id, a
namespace, the path of a script, a pattern on names (`'/^api-/'`), or `all`. Each command accepts `--help`.
Each command to a running procrun accepts `--socket FILE`, which selects a supervisor by its control socket.

";

const OPTIONS: &str = "\
# Options

<!-- Written by `BLESS=1 cargo test --lib reference` from the tables in src/cli. Do not edit. -->

Options of `procrun TARGET`, `run`, `check` and `start`. `restart` and `reload` accept those that describe how
an app runs. With an ecosystem file, an option overrides the key of all apps that are started.

A TIME is in milliseconds, or has a unit: `300ms`, `5s`, `2m`, `1h`. A SIZE is in bytes, or has a unit: `300K`,
`200M`, `1G`.

";

/// Text for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Lines of a terminal as Markdown: indented lines are literal, the others are one paragraph.
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

fn option(page: &mut String, option: &OptionSpec) {
    let short = option.short.map_or_else(String::new, |short| format!("`-{short}`, "));
    let value = match option.value {
        "" => String::new(),
        value if value.starts_with('[') => value.to_owned(),
        value => format!(" <{value}>"),
    };
    let long = cell(&format!("`--{}{value}`", option.long));
    writeln!(page, "| {short}{long} | {} |", cell(option.help)).expect("a String takes everything");
}

fn command(page: &mut String, verb: &Verb) {
    let takes = if verb.takes.is_empty() { String::new() } else { format!(" {}", verb.takes) };
    write!(page, "## {0}\n\n`procrun {0}{takes} [OPTIONS]`\n\n{1}", verb.words[0], prose(verb.about))
        .expect("a String takes everything");
    if let [_, others @ ..] = verb.words
        && !others.is_empty()
    {
        let others: Vec<String> = others.iter().map(|word| format!("`{word}`")).collect();
        writeln!(page, "\nAliases: {}.", others.join(", ")).expect("a String takes everything");
    }
    if !verb.options.is_empty() {
        page.push_str("\n| option | effect |\n|---|---|\n");
        for of_verb in verb.options {
            option(page, of_verb);
        }
    }
    page.push('\n');
}

fn commands_page() -> String {
    let mut page = COMMANDS.to_owned();
    let (_, start) = help::START.split_once("Usage: ").expect("the help of start has its usage");
    let (usage, _) = start.split_once('\n').expect("lines follow");
    let (about, _) = help::START.split_once("\n\n").expect("the help of start has paragraphs");
    write!(page, "## start\n\n`{usage}`\n\n{}\n", prose(about)).expect("a String takes everything");
    for verb in VERBS.iter().chain(ALONE) {
        command(&mut page, verb);
    }
    page.trim_end().to_owned() + "\n"
}

fn options_page() -> String {
    let mut page = OPTIONS.to_owned();
    for (heading, options) in flags::groups() {
        writeln!(page, "## {heading}\n\n| option | key | effect |\n|---|---|---|")
            .expect("a String takes everything");
        for flags::Row { names, key, effect } in options {
            let key = key.map_or_else(String::new, |key| format!("`{key}`"));
            writeln!(page, "| {} | {key} | {} |", cell(&names), cell(effect))
                .expect("a String takes everything");
        }
        page.push('\n');
    }
    page.trim_end().to_owned() + "\n"
}

/// Compares the page with the file, or writes the file.
fn check(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, page).expect("the page can be written");
    }
    let file = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(file, page, "docs/reference/{name} differs: run `BLESS=1 cargo test --lib reference`");
}

#[test]
fn the_page_of_commands_is_that_of_the_table() {
    check("command-line.md", &commands_page());
}

#[test]
fn the_page_of_options_is_that_of_the_table() {
    check("options.md", &options_page());
}
