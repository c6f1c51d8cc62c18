//! `procrun completions`: the shells take what it prints, and offer what there is to type. Real shells; of
//! zsh's own functions only those that show an answer on the screen are stood in for.

use std::{collections::BTreeSet, process::Command};

use crate::support::{self, Bed, run_to_end, wait_until};

/// Prints what bash would offer for the line `$1`.
const BASH: &str = r#"
source <(procrun completions bash)
COMP_LINE=$1 COMP_POINT=${#1}
IFS=$' \t:' read -ra COMP_WORDS <<<"$1"
[[ $1 == *[\ :] ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[[ $(complete -p procrun) == *'-F _procrun procrun' && $(complete -p pm2-runtime) == *_procrun* ]] || echo unknown
_procrun
printf '%s\n' "${COMPREPLY[@]}"
"#;

const ZSH: &str = r#"
compdef() { [[ "$*" == '_procrun procrun pm2-runtime' ]] || print unknown }
_files() { print -r -- FILES }
_describe() { [[ $1 == -o ]] && shift; print -rl -- ${${(P)2}%%:*} }
compadd() { print -rl -- ${(P)2} }
source <(procrun completions zsh)
words=(${(z)1})
[[ $1 == *' ' ]] && words+=('')
CURRENT=$#words
_procrun
"#;

const FISH: &str = r"
procrun completions fish | source
complete -C $argv[1] | string replace -r '\t.*' ''
true
";

/// A shell that has procrun in its PATH.
fn run(bed: &Bed, program: &str, args: &[&str]) -> String {
    let built = support::binary().parent().unwrap().to_str().unwrap();
    let path = format!("{built}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(args).current_dir(bed.root());
    command.env("PATH", path).env("HOME", bed.root()).env("PROCRUN_HOME", bed.root());
    let output = run_to_end(command.env_remove("XDG_RUNTIME_DIR"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    assert_eq!(said, "", "{program} {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

type Shell = (&'static str, fn(&Bed, &str) -> String);

const SHELLS: [Shell; 3] = [
    ("bash", |bed, line| run(bed, "bash", &["--norc", "-c", BASH, "bash", line])),
    ("zsh", |bed, line| run(bed, "zsh", &["-f", "-c", ZSH, "zsh", line])),
    ("fish", |bed, line| run(bed, "fish", &["--no-config", "-c", FISH, line])),
];

/// What the shell offers for this line.
fn offered(shell: Shell, bed: &Bed, line: &str) -> BTreeSet<String> {
    (shell.1)(bed, line).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[track_caller]
fn expect(shell: Shell, bed: &Bed, line: &str, among: &[&str], not: &[&str]) {
    let offered = offered(shell, bed, line);
    for word in among {
        assert!(offered.contains(*word), "{}: no {word} for `{line}`: {offered:?}", shell.0);
    }
    for word in not {
        assert!(!offered.contains(*word), "{}: {word} for `{line}`: {offered:?}", shell.0);
    }
}

#[test]
fn the_shells_take_them() {
    let bed = Bed::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&bed, "procrun", &["completions", shell]);
        bed.file("script", &script);
        run(&bed, shell, &["-n", "script"]);
        assert!(script.lines().next().unwrap().starts_with('#'));
    }
}

#[test]
fn commands_options_and_words_are_offered_where_they_stand() {
    let bed = Bed::new();
    for shell in SHELLS {
        expect(shell, &bed, "procrun ", &["run", "check", "list", "ecosystem", "convert"], &["--json"]);
        expect(shell, &bed, "procrun -", &["--instances", "--kill-timeout", "--help"], &["list", "--lines"]);
        expect(shell, &bed, "procrun app.js --kill", &["--kill-timeout", "--kill-signal"], &["--lines"]);
        expect(shell, &bed, "procrun check x.toml --", &["--env-file"], &["--lines"]);
        expect(shell, &bed, "procrun logs --", &["--lines", "--json", "--socket"], &["--instances"]);
        expect(shell, &bed, "procrun --socket x logs --", &["--lines"], &["--instances"]);
        expect(
            shell,
            &bed,
            "procrun ecosystem --format ",
            &["toml", "json", "yaml", "js"],
            &["list", "simple"],
        );
        expect(shell, &bed, "procrun init ", &["simple"], &["list"]);
        expect(shell, &bed, "procrun completions ", &["bash", "zsh", "fish"], &["list"]);
        expect(shell, &bed, "procrun app.js -- --", &[], &["--instances", "--json"]);
    }
    // bash shows only what begins as the word does; the others see to that themselves.
    let of_st = ["start", "startOrGracefulReload", "startOrReload", "startOrRestart", "status", "stop"];
    assert_eq!(offered(SHELLS[0], &bed, "procrun st"), of_st.map(str::to_owned).into());
}

#[test]
fn files_are_offered_where_files_are_wanted() {
    let bed = Bed::new();
    bed.file("ecosystem.toml", "");
    // bash does it itself where nothing is offered.
    expect(SHELLS[0], &bed, "procrun eco", &["ecosystem", "ecosystem.toml"], &[]);
    expect(SHELLS[2], &bed, "procrun eco", &["ecosystem", "ecosystem.toml"], &[]);
    for line in
        ["procrun ", "procrun check ", "procrun convert ", "procrun convert -o ", "procrun --env-file "]
    {
        expect(SHELLS[1], &bed, line, &["FILES"], &[]);
        expect(SHELLS[2], &bed, line, &["ecosystem.toml"], &[]);
    }
    expect(SHELLS[0], &bed, "procrun stop ", &["ecosystem.toml"], &["list"]);
    expect(SHELLS[1], &bed, "procrun restart ", &["FILES"], &["list"]);
    expect(SHELLS[2], &bed, "procrun reload ", &["ecosystem.toml"], &["list"]);
    for line in ["procrun describe ", "procrun list ", "procrun logs --lines "] {
        expect(SHELLS[1], &bed, line, &[], &["FILES"]);
        expect(SHELLS[2], &bed, line, &[], &["ecosystem.toml"]);
    }
}

#[test]
fn what_runs_is_offered_by_its_name() {
    let bed = Bed::with(
        "[[apps]]\nname = \"api\"\nscript = \"sleep 1000\"\nnamespace = \"shop\"\n\
         [[apps]]\nname = \"shop:worker\"\nscript = \"sleep 1000\"\n",
    );
    for shell in SHELLS {
        expect(shell, &bed, "procrun stop ", &[], &["api", "shop", "all"]);
    }
    let socket = bed.path("s.sock");
    let socket = socket.to_str().unwrap();
    let mut procrun = bed.start(&["--socket", socket, "ecosystem.toml"]);
    wait_until("the socket", || {
        run(&bed, "procrun", &["completions", "targets", "--socket", socket]).contains("api\n")
    });
    for shell in SHELLS {
        for line in [
            format!("procrun describe --socket {socket} "),
            format!("procrun --socket {socket} logs "),
            format!("procrun signal HUP --socket {socket} "),
        ] {
            let all = ["api", "shop:worker", "shop", "default", "0", "1", "all"];
            expect(shell, &bed, &line, &all, &["ecosystem.toml", "FILES", "list"]);
        }
    }
    for (shell, file) in SHELLS.into_iter().zip(["ecosystem.toml", "FILES", "ecosystem.toml"]) {
        expect(shell, &bed, &format!("procrun stop --socket {socket} "), &["api", file], &["list"]);
    }
    // bash takes the colon for the end of a word and wants what comes behind it.
    let line = format!("procrun stop --socket {socket} shop:w");
    assert_eq!(offered(SHELLS[0], &bed, &line), ["worker".to_owned()].into());
    assert_eq!(offered(SHELLS[2], &bed, &line), ["shop:worker".to_owned()].into());
    procrun.expect_stop();
}
