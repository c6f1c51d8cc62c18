//! The completion of fish: a line for each option of each command.

use std::fmt::Write as _;

use super::offered::{Offered, OfferedOption, Word};

const HEAD: &str = r"# Completion of procrun for fish: procrun completions fish > ~/.config/fish/completions/procrun.fish
function __procrun_command
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --
                echo --
                return
            case --socket
                set -e words[1]
            case '-*'
            case '*'
                echo $words[1]
                return
        end
        set -e words[1]
    end
end
function __procrun_none
    test -z (__procrun_command | string collect --allow-empty)
end
function __procrun_is
    contains -- (__procrun_command | string collect --allow-empty) $argv
end
function __procrun_targets
    set -l words (commandline -opc)
    set -l socket
    set -l at (contains -i -- --socket $words)
    and set socket --socket $words[(math $at + 1)]
    $words[1] $socket completions targets 2>/dev/null
end
";

pub(super) fn script(offered: &Offered) -> String {
    let mut text = HEAD.to_owned();
    let all: Vec<&str> = offered.commands.iter().flat_map(|command| command.words).copied().collect();
    let mut put = |line: String| {
        writeln!(text, "{line}").expect("writing to a String cannot fail");
    };
    for command in &offered.commands {
        let (word, brief) = (command.words[0], quoted(command.summary));
        put(format!("complete -c procrun -n __procrun_none -a {word} -d {brief}"));
    }
    // A script in front takes the same options.
    let runs = format!("not __procrun_is -- {}", all.join(" "));
    for option in &offered.options {
        put(line(&runs, option));
    }
    for command in &offered.commands {
        let is = format!("__procrun_is {}", command.words.join(" "));
        let is_quoted = quoted(&is);
        match &command.arguments {
            Word::File => {}
            Word::Any => put(format!("complete -c procrun -n {is_quoted} -f")),
            Word::Target => put(format!("complete -c procrun -n {is_quoted} -f -a '(__procrun_targets)'")),
            // fish offers files by default.
            Word::TargetOrFile => put(format!("complete -c procrun -n {is_quoted} -a '(__procrun_targets)'")),
            Word::Of(words) => {
                put(format!("complete -c procrun -n {is_quoted} -f -a {}", quoted(&words.join(" "))));
            }
        }
        for option in &command.options {
            put(line(&is, option));
        }
    }
    put("complete -c pm2-runtime -w procrun".to_owned());
    text
}

fn line(condition: &str, option: &OfferedOption) -> String {
    let mut line = format!("complete -c procrun -n {} -l {}", quoted(condition), option.long);
    if let Some(short) = option.short {
        write!(line, " -s {short}").expect("writing to a String cannot fail");
    }
    match &option.value {
        None => {}
        Some(Word::File) => line.push_str(" -r -F"),
        Some(Word::Any) => line.push_str(" -x"),
        Some(Word::Target | Word::TargetOrFile) => line.push_str(" -x -a '(__procrun_targets)'"),
        Some(Word::Of(words)) => {
            write!(line, " -x -a {}", quoted(&words.join(" "))).expect("writing to a String cannot fail");
        }
    }
    if !option.help.is_empty() {
        write!(line, " -d {}", quoted(option.help)).expect("writing to a String cannot fail");
    }
    line
}

/// A text in fish's single quotes, where a backslash takes the meaning of a quote and of itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}
