//! `-`: an ecosystem file on stdin, in the foreground and for the supervisor that runs.

use super::{APPS, statuses, supervisor};
use crate::support::{Bed, Launch};

const DOCUMENTS: [&str; 3] = [
    "[[apps]]\nname = \"piped\"\nscript = \"echo from stdin; exec sleep 1000\"\n",
    r#"{"apps": [{"name": "piped", "script": "echo from stdin; exec sleep 1000"}]}"#,
    "apps:\n  - name: piped\n    script: echo from stdin; exec sleep 1000\n",
];

/// Text that is no ecosystem file, and what the error says.
const WRONG: [(&str, &str); 4] = [
    ("", "stdin"),
    ("[[apps]]\nname = \"x\n", "stdin:2"),
    ("{\"apps\": [", "stdin:1"),
    ("[[apps]]\nname = \"x\"\nscrpit = \"a\"\n", "scrpit"),
];

/// A command whose stdin is this text.
fn with_stdin<'a>(bed: &'a Bed, args: &[&str], text: &str) -> Launch<'a> {
    bed.file("input", text);
    bed.isolated(args).after("exec < input")
}

#[test]
fn a_document_on_stdin_runs_in_the_foreground() {
    for text in DOCUMENTS {
        let bed = Bed::new();
        let mut run = with_stdin(&bed, &["-"], text).start();
        run.wait_for_line("0|piped");
        run.wait_for_line("from stdin");
        run.expect_stop();
    }
    for (text, says) in WRONG {
        let bed = Bed::new();
        let said = with_stdin(&bed, &["-"], text).start().output();
        said.fails(78, says);
    }
}

#[test]
fn a_document_on_stdin_is_added_to_what_runs() {
    for text in DOCUMENTS {
        let bed = Bed::with(APPS);
        let run = supervisor(&bed, false, 3);
        // What it starts has its environment, and ends with it.
        let mut added = with_stdin(&bed, &["start", "-"], text).start();
        added.expect_code(0);
        assert_eq!(statuses(&bed), ["api online", "api online", "worker online", "piped online"]);
        run.wait_for_line("from stdin");
        let before = bed.command(&["pid", "piped"]).ok();
        // What has not changed is left alone; `restart` and `delete` take the same text.
        with_stdin(&bed, &["start", "-"], text).start().output().ok();
        assert_eq!(bed.command(&["pid", "piped"]).ok(), before);
        with_stdin(&bed, &["restart", "-"], text).start().output().ok();
        assert_ne!(bed.command(&["pid", "piped"]).ok(), before);
        with_stdin(&bed, &["delete", "-"], text).start().output().ok();
        assert_eq!(statuses(&bed), ["api online", "api online", "worker online"]);
    }
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    for (text, says) in WRONG {
        with_stdin(&bed, &["start", "-"], text).start().output().fails(78, says);
        assert_eq!(statuses(&bed), ["api online", "api online", "worker online"], "nothing is added");
    }
}
