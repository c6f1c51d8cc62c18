//! `attach` and `send`: lines for the standard input of a process.

use super::{statuses, supervisor};
use crate::support::{Bed, CommandOutput, End, wait_until};

const ECHO: &str = r#"
[[apps]]
name = "echo"
script = "while read -r line; do echo \"got $line\"; done; echo end-of-input"
"#;

/// Runs a command with this shell pipeline before it.
#[track_caller]
fn piped(bed: &Bed, producer: &str, args: &[&str]) -> CommandOutput {
    let line = format!("{producer} | \"$@\"");
    bed.isolated(args).through(&["sh", "-c", &line, "sh"]).start().output()
}

#[test]
fn a_line_that_is_sent_reaches_the_process() {
    let bed = Bed::with(ECHO);
    let mut run = supervisor(&bed, false, 1);
    assert_eq!(bed.command(&["send", "echo", "hello world"]).ok(), "");
    run.wait_for_line("got hello world");
    bed.command(&["send", "0", "--", "--by-id"]).ok();
    run.wait_for_line("got --by-id");
    // A new process reads a new pipe.
    bed.command(&["restart", "echo"]).ok();
    bed.command(&["send", "echo", "again"]).ok();
    run.wait_for_line("got again");
    assert!(!run.out().lines().iter().any(|line| line.contains("end-of-input")));
    run.expect_stop();
}

#[test]
fn a_long_line_arrives_whole() {
    let bed = Bed::with(
        "[[apps]]\nname = \"count\"\nscript = \"while read -r line; do echo \\\"$line\\\" | wc -c; done\"\n",
    );
    let run = supervisor(&bed, false, 1);
    piped(&bed, "head -c 300000 /dev/zero | tr '\\0' x", &["attach", "count"]).ok();
    run.wait_for_line("300001");
}

#[test]
fn attach_by_a_pipe_sends_each_line_and_shows_the_answers() {
    let bed = Bed::with(ECHO);
    let run = supervisor(&bed, false, 1);
    let said = piped(&bed, "printf 'one\\r\\ntwo\\nthree'", &["attach", "echo"]);
    assert_eq!(said.ok(), "got one\ngot two\ngot three\n", "the lines as the process wrote them");
    // PM2's separator.
    let said = piped(&bed, "printf 'a\\nb\\n'", &["attach", "0", ";\n"]);
    assert_eq!(said.ok(), "got a;\ngot b;\n");
    assert_eq!(statuses(&bed), ["echo online"], "the end of the client's input is not the process's");
    assert!(!run.out().lines().iter().any(|line| line.contains("end-of-input")));
}

#[test]
fn attach_on_a_terminal_talks_to_a_repl_until_it_is_left() {
    let bed = Bed::with("[[apps]]\nname = \"calc\"\nscript = \"repl.js\"\n");
    bed.file(
        "repl.js",
        "const rl = require('readline').createInterface({\n\
           input: process.stdin, output: process.stdout, prompt: 'calc> ' });\n\
         rl.prompt();\n\
         rl.on('line', (line) => { console.log(line.split('+').reduce((a, b) => +a + +b)); rl.prompt(); });\n\
         rl.on('close', () => process.exit(9));\n",
    );
    let run = supervisor(&bed, false, 1);
    let pid = bed.command(&["pid", "calc"]).ok();
    for leave in [b"\x03", b"\x04"] {
        let mut attached = bed.isolated(&["attach", "calc"]).terminal().start();
        attached.wait_for_line("attached to calc (0)");
        attached.type_keys(b"20+22\n");
        // What is typed is echoed by the terminal, and the prompt has no end of line.
        attached.wait_for_line("42");
        attached.type_keys(b"1+1\n");
        attached.wait_for_line("calc> 2");
        attached.type_keys(leave);
        assert_eq!(attached.wait_end(), End::Code(0), "{}", attached.story());
        attached.wait_for_line("detached from calc (0)");
    }
    assert_eq!(bed.command(&["pid", "calc"]).ok(), pid, "the process goes on");
    drop(run);
}

#[test]
fn a_process_that_does_not_read_is_an_error_for_the_client_alone() {
    let bed = Bed::with("[[apps]]\nname = \"deaf\"\nscript = \"exec sleep 1000\"\n");
    let mut run = supervisor(&bed, false, 1);
    let mut waiting = bed
        .isolated(&["attach", "deaf"])
        .through(&["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' '\\n' | \"$@\"", "sh"])
        .start();
    // The supervisor answers meanwhile.
    for _ in 0..3 {
        assert_eq!(statuses(&bed), ["deaf online"]);
    }
    assert_eq!(waiting.wait_end(), End::Code(1));
    let err = waiting.err().lines().join("\n");
    assert!(err.contains("deaf (0) has not read its standard input for 5.0 s: 0 of 1 bytes"), "{err}");
    assert!(err.contains("hint: "), "{err}");
    bed.command(&["restart", "deaf"]).ok();
    bed.command(&["send", "deaf", "there is room again"]).ok();
    run.expect_stop();
}

#[test]
fn an_app_without_open_input_is_an_error() {
    let bed = Bed::with(
        "[[apps]]\nname = \"closed\"\nscript = \"exec sleep 1000\"\nstdin = \"null\"\n\
         [[apps]]\nname = \"two\"\nscript = \"exec sleep 1000\"\ninstances = 2\n\
         [[apps]]\nname = \"resting\"\nscript = \"exec sleep 1000\"\nautostart = false\n\
         [[apps]]\nname = \"shut\"\nscript = \"exec sleep 1000 < /dev/null\"\n",
    );
    let _run = supervisor(&bed, false, 4);
    for command in [&["send", "closed", "x"][..], &["attach", "closed"]] {
        let err = bed.command(command).fails(1, "the standard input of closed (0) is /dev/null");
        assert!(err.contains("hint: set `stdin = \"open\"`"), "{err}");
    }
    let err = bed.command(&["attach", "two"]).fails(1, "`two` selects 2 processes");
    assert!(err.contains("by its id: 1, 2"), "{err}");
    bed.command(&["send", "2", "x"]).ok();
    bed.command(&["send", "resting", "x"]).fails(1, "resting (3) is not running");
    bed.command(&["send", "nothing", "x"]).fails(1, "`nothing`");
    wait_until("the process to have no pipe", || {
        let said = bed.command(&["send", "shut", "x"]);
        said.code == 1 && said.err.contains("shut (4) has closed its standard input")
    });
    bed.command(&["send", "two"]).fails(64, "needs");
}
