//! How lines look on stdout and stderr.

use crate::support::{Bed, wait_until};
use serde_json::Value;

#[test]
fn a_line_has_id_and_name_before_it() {
    let bed = Bed::once("", "echo text\necho \"  two  words \"\necho\necho 'a | b'");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    assert_eq!(run.out().lines(), ["0|main | text", "0|main |   two  words ", "0|main | ", "0|main | a | b"]);
}

#[test]
fn labels_are_aligned_and_without_colour_in_a_pipe() {
    let bed = Bed::with(
        "[[apps]]\nname = \"a\"\nscript = \"./say.sh\"\nautorestart = false\n\
         [[apps]]\nname = \"much-longer\"\nscript = \"./say.sh\"\nautorestart = false\n",
    );
    bed.script("say.sh", "#!/bin/sh\necho text\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    let mut lines = run.out().lines();
    lines.sort();
    assert_eq!(lines, ["0|a           | text", "1|much-longer | text"]);
}

#[test]
fn a_terminal_gets_stable_colours() {
    let bed = Bed::with(
        "[[apps]]\nname = \"a\"\nscript = \"./say.sh\"\nautorestart = false\n\
         [[apps]]\nname = \"b\"\nscript = \"./say.sh\"\nautorestart = false\n",
    );
    bed.script("say.sh", "#!/bin/sh\necho alpha\necho omega\n");
    let coloured = || {
        let mut run = bed.launch(&["ecosystem.toml"]).env("TERM", "xterm").terminal().start();
        run.expect_code(0);
        wait_until("all lines", || {
            run.out().lines_with("alpha").len() == 2 && run.out().lines_with("omega").len() == 2
        });
        let mut lines = [run.out().lines_with("alpha"), run.out().lines_with("omega")].concat();
        lines.sort();
        lines
    };
    let first = coloured();
    assert!(first.iter().all(|line| line.contains('\x1b')), "{first:?}");
    let label = |line: &str| line.split("alpha").next().unwrap().split("omega").next().unwrap().to_owned();
    let labels: std::collections::BTreeSet<String> = first.iter().map(|line| label(line)).collect();
    assert_eq!(labels.len(), 2, "one colour an app: {first:?}");
    assert_eq!(first, coloured(), "the same ones each time");
}

#[test]
fn stdout_goes_to_stdout_and_stderr_to_stderr() {
    for pid1 in [false, true] {
        let bed = Bed::once("", "echo to-out\necho to-err >&2");
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.expect_code(0);
        assert_eq!(run.out().lines(), ["0|main | to-out"]);
        assert_eq!(run.err().lines_with("to-err"), ["0|main | to-err"]);
        assert_eq!(run.err().lines_with("to-out").len(), 0);
    }
}

#[test]
fn procruns_own_lines_are_on_stderr_under_its_name() {
    let bed = Bed::once("", "echo text");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    assert!(!run.err().lines().is_empty(), "starts and ends are said");
    assert!(run.err().lines().iter().all(|line| line.contains("procrun")), "{}", run.story());
}

#[test]
fn log_level_selects_the_lines_of_procrun() {
    let said = |level: &str| {
        let bed = Bed::once("", "echo text");
        let mut run = bed.start(&["ecosystem.toml", "--log-level", level]);
        run.expect_code(0);
        assert_eq!(run.out().lines().len(), 1, "{}", run.story());
        run.err().lines().len()
    };
    assert_eq!(said("error"), 0);
    assert_eq!(said("warn"), 0);
    assert!(said("info") > 0);
    assert!(said("debug") >= said("info"));
}

#[test]
fn raw_lines_are_as_the_worker_wrote_them() {
    let bed = Bed::once("", "echo text\nprintf '\\033[31mred\\033[0m\\n'\nprintf 'no newline'");
    let mut run = bed.start(&["ecosystem.toml", "--raw"]);
    run.expect_code(0);
    assert_eq!(run.out().lines(), ["text", "\x1b[31mred\x1b[0m", "no newline"]);
}

/// All lines of stdout as JSON records.
#[track_caller]
fn records(lines: &[String]) -> Vec<Value> {
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
        .collect()
}

fn looks_like_a_time(text: &str) -> bool {
    let shape: String = text.chars().take(19).map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    // ISO 8601, or PM2's own default for `--format`.
    ["9999-99-99T99:99:99", "9999-99-99 99:99:99", "9999-99-99-99:99:99"].contains(&shape.as_str())
}

#[test]
fn json_records_have_pm2s_shape() {
    let bed = Bed::once("", "echo 'say \"hi\"\t\\'\nsleep 0.05\necho to-err >&2");
    let mut run = bed.start(&["ecosystem.toml", "--json"]);
    run.expect_code(0);
    let out = records(&run.out().lines());
    assert_eq!(out.len(), 1);
    let keys: Vec<&String> = out[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert_eq!(out[0]["message"], "say \"hi\"\t\\");
    assert_eq!(out[0]["type"], "out");
    assert_eq!(out[0]["process_id"], 0);
    assert_eq!(out[0]["app_name"], "main");
    assert!(looks_like_a_time(out[0]["timestamp"].as_str().unwrap()), "{}", out[0]);

    // procrun's own lines are records too.
    let err = records(&run.err().lines());
    let of_the_app: Vec<&Value> = err.iter().filter(|record| record["app_name"] == "main").collect();
    assert_eq!(of_the_app.len(), 1, "{}", run.story());
    assert_eq!(of_the_app[0]["message"], "to-err");
    assert_eq!(of_the_app[0]["type"], "err");
    assert!(err.iter().any(|record| record["app_name"] == "procrun"), "{}", run.story());
}

#[test]
fn a_line_that_is_a_json_object_can_be_merged() {
    let script = "echo '{\"level\":\"info\",\"msg\":\"hello\",\"n\":1.50}'\necho 'not json'\necho '[1]'";
    let bed = Bed::once("log_type = \"json\"\n", script);
    let mut run = bed.start(&["ecosystem.toml", "--json"]);
    run.expect_code(0);
    let out = records(&run.out().lines());
    assert_eq!(out.len(), 3);
    assert_eq!(out[0]["level"], "info");
    assert_eq!(out[0]["msg"], "hello");
    assert_eq!(out[0]["app_name"], "main");
    assert_eq!(out[0]["process_id"], 0);
    assert_eq!(out[1]["message"], "not json");
    assert_eq!(out[2]["message"], "[1]");

    let bed = Bed::once("", script);
    let mut run = bed.start(&["ecosystem.toml", "--json"]);
    run.expect_code(0);
    assert_eq!(
        records(&run.out().lines())[0]["message"],
        "{\"level\":\"info\",\"msg\":\"hello\",\"n\":1.50}"
    );
}

#[test]
fn format_gives_keys_and_values() {
    let bed = Bed::once("", "echo message one");
    let mut run = bed.start(&["ecosystem.toml", "--format"]);
    run.expect_code(0);
    let line = run.out().lines().remove(0);
    let (time, rest) = line.split_once(" app=").expect("an app");
    assert_eq!(rest, "main id=0 type=out message=message one");
    assert!(looks_like_a_time(time.strip_prefix("timestamp=").expect("a timestamp")), "{line}");
}

#[test]
fn time_and_log_date_format_put_a_time_before_the_text() {
    let bed = Bed::once("time = true\n", "echo text");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    let line = run.out().lines().remove(0);
    assert!(line.ends_with("text") && line.contains("main"), "{line}");
    assert!((0..line.len()).any(|at| line.is_char_boundary(at) && looks_like_a_time(&line[at..])), "{line}");

    for (pattern, shape) in [
        ("YYYY/MM/DD HH:mm", "9999/99/99 99:99"),
        ("[on] DD.MM.YY [at] HH-mm-ss.SSS", "on 99.99.99 at 99-99-99.999"),
    ] {
        let bed = Bed::once(&format!("log_date_format = \"{pattern}\"\n"), "echo text");
        let mut run = bed.start(&["ecosystem.toml"]);
        run.expect_code(0);
        let line = run.out().lines().remove(0);
        let seen: String = line.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert!(seen.contains(shape), "{pattern}: {line}");
    }
}

#[test]
fn a_partial_last_line_gets_its_newline() {
    let bed = Bed::again("max_restarts = 3\nrestart_delay = 5\n", "printf 'no newline'\nexit 1");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(1);
    assert_eq!(run.out().lines(), ["0|main | no newline"; 3]);
    assert_eq!(run.out().unfinished(), b"");
}

#[test]
fn a_prompt_is_not_mixed_with_the_lines_of_others() {
    let bed = Bed::with(
        "[[apps]]\nname = \"a\"\nscript = \"printf 'half a '; until [ -f gone ]; do sleep 0.02; done; echo line\"\nautorestart = false\n\
         [[apps]]\nname = \"b\"\nscript = \"until [ -f asked ]; do sleep 0.02; done; echo whole line; touch gone\"\nautorestart = false\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    // It is shown before its line ends.
    run.wait_for_line("0|a | half a ");
    bed.file("asked", "");
    run.expect_code(0);
    assert_eq!(run.out().lines(), ["0|a | half a ", "1|b | whole line", "0|a | [...] line"]);
}

#[test]
fn bytes_that_are_not_utf8_pass_unchanged_and_are_escaped_in_json() {
    let script = "printf 'a\\377\\376\\300z\\n'\nprintf 'nul\\000here\\n'\nprintf 'cr\\r\\n'";
    let bed = Bed::once("", script);
    let mut run = bed.start(&["ecosystem.toml", "--raw"]);
    run.expect_code(0);
    let raw = run.out().raw_lines();
    assert_eq!(raw[0], b"a\xff\xfe\xc0z");
    assert_eq!(raw[1], b"nul\0here");

    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    assert_eq!(run.out().raw_lines()[0], b"0|main | a\xff\xfe\xc0z");

    let mut run = bed.start(&["ecosystem.toml", "--json"]);
    run.expect_code(0);
    for line in run.out().raw_lines() {
        assert!(std::str::from_utf8(&line).is_ok_and(|line| serde_json::from_str::<Value>(line).is_ok()));
    }
    let first = &records(&run.out().lines())[0]["message"];
    let first = first.as_str().unwrap();
    assert!(first.starts_with('a') && first.ends_with('z') && first.len() > 2, "{first:?}");
}
