//! Every key, option, command and exit code that the pages name exists.

use std::collections::BTreeSet;

use super::{
    page::{Pages, code},
    shell::Shell,
};

/// Names in the same shape as keys of an app that are none: variables of a worker's, fields of `jlist`,
/// directories, and a key of a table in an app.
const VARIABLES: [&str; 6] =
    ["pm_id", "exit_reason", "node_modules", "__pycache__", "start_period", "ip_hash"];

/// Options of programs that are not procrun.
const FOREIGN_OPTIONS: [&str; 22] = [
    "--permission",
    "--init",
    "--read-only",
    "--cap-drop",
    "--fd",
    "--enable-source-maps",
    "--require",
    "--container",
    "--cpu-prof",
    "--inspect",
    "--trace",
    "--v8",
    "--event-loop-inspector",
    "--deep-monitoring",
    "--attach",
    "--parallel",
    "--ext",
    "--write",
    "--execute-command",
    "--hp",
    "--wait-ip",
    "--service-name",
];

/// The commands in the help of PM2 7.
const PM2_COMMANDS: &str = "start trigger deploy startOrRestart startOrReload pid create startOrGracefulReload stop \
    restart scale profile:mem profile:cpu reload id inspect delete del sendSignal ping updatePM2 update install \
    module:install module:update module:generate uninstall module:uninstall package publish module:publish set \
    multiset get conf config unset report link unlink monitor unmonitor open plus register login logout dump save \
    cleardump send attach resurrect unstartup startup logrotate ecosystem init reset describe desc info show env list \
    ls l ps status jlist slist sysinfos prettylist monit imonit dashboard dash flush reloadLogs logs kill pull forward \
    backward deepUpdate serve expose autoinstall examples install-otel uninstall-otel";

/// The options in the help of PM2 7 that say how an app runs, with a value where they need one.
const PM2_OPTIONS: &str = "--silent --ext js --name x --interpreter node --interpreter-args= --node-args= --output o \
    --error e --log l --filter-env X --log-type json --log-date-format YYYY --time --disable-logs --update-env --force \
    --instances 1 --parallel 2 --shutdown-with-message --pid p --kill-timeout 1 --listen-timeout 1 \
    --max-memory-restart 100M --restart-delay 1 --execute-command --max-restarts 1 --uid 0 --gid 0 --namespace n \
    --cwd . --cron @daily --write --source-map-support --wait-ready --merge-logs --watch \
    --ignore-watch x --watch-delay 1 --no-color --no-vizion --no-autostart --no-autorestart --stop-exit-codes 1 \
    --no-treekill --no-pmx --no-automation --trace --disable-trace --attach --v8 --event-loop-inspector \
    --deep-monitoring";

/// A key as its row has it, and its other names.
struct Key {
    name: String,
    others: Vec<String>,
}

/// The first column: keys, each with its other names behind it in parentheses.
fn keys(pages: &Pages) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for row in pages.table("| key (other names) | meaning | default |") {
        for part in row[0].split(')') {
            let (names, others) = part.split_once('(').unwrap_or((part, ""));
            keys.extend(code(names).into_iter().map(|name| Key { name, others: Vec::new() }));
            keys.last_mut().expect("a key before its other names").others.extend(code(others));
        }
    }
    keys
}

/// The keys of procrun itself.
fn root_keys(pages: &Pages) -> Vec<String> {
    let heads = ["| root key | meaning | default |", "| root key | meaning | page |"];
    heads.iter().flat_map(|head| pages.table(head)).flat_map(|row| code(&row[0])).collect()
}

/// What `procrun check` says to this file on stderr; it ends with this code.
#[track_caller]
fn check(ecosystem: &str, code: i32) -> Vec<String> {
    Shell::with(ecosystem).run("procrun check ecosystem.toml", code).err().lines()
}

/// Which of these keys `procrun check` does not know; their values are wrong, which is another matter.
fn unknown(file: impl Fn(&str) -> String, keys: &[&str]) -> Vec<String> {
    let text: String = keys.iter().map(|key| file(&key.replace("<name>", "test"))).collect();
    let errors = check(&text, 78);
    let found = errors.iter().filter_map(|line| line.split_once("unknown key `"));
    found.map(|(_, rest)| rest.split('`').next().expect("the first part").to_owned()).collect()
}

fn in_an_app(key: &str) -> String {
    format!("[[apps]]\n{key} = 0\n")
}

fn at_the_root(key: &str) -> String {
    format!("{key} = 0\n")
}

#[test]
fn every_key_is_known() {
    let pages = Pages::for_users();
    let keys = keys(&pages);
    let names: Vec<&str> = keys
        .iter()
        .flat_map(|key| [&key.name].into_iter().chain(&key.others))
        .map(String::as_str)
        .chain(["no_such_key"])
        .collect();
    assert_eq!(unknown(in_an_app, &names), ["no_such_key"]);

    let at_root = root_keys(&pages);
    let names: Vec<&str> = at_root.iter().map(String::as_str).chain(["no_such_key"]).collect();
    assert_eq!(unknown(at_the_root, &names), ["no_such_key"]);
}

#[test]
fn other_names_are_the_same_key() {
    let mut tried = 0;
    for Key { name, others } in keys(&Pages::for_users()) {
        for other in others {
            let errors = check(&format!("[[apps]]\n{name} = 0\n{other} = 0\n"), 78);
            let expected = format!("`{other}` in app 1 is the same key as `{name}`");
            assert!(errors.iter().any(|line| line.ends_with(&expected)), "{expected}: {errors:?}");
            tried += 1;
        }
    }
    assert!(tried > 0);
}

/// Unit tests compare the names of metrics with the code.
fn is_metric(word: &str) -> bool {
    word.starts_with("procrun_")
}

/// `max_memory_restart` in the prose is as much a promise as a row of the table.
#[test]
fn every_word_like_a_key_is_one() {
    let mut pages = Pages::for_users();
    // The fields of events and the names of metrics look like keys; unit tests compare them with the code.
    let others = ["events.md", "event-values.md", "metrics.md"].map(|name| format!("docs/reference/{name}"));
    pages.0.retain(|page| !others.contains(&page.path));
    let is_like_a_key =
        |word: &str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let words: BTreeSet<String> = pages.code().into_iter().filter(|word| is_like_a_key(word)).collect();
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !VARIABLES.contains(word) && !is_metric(word))
        .collect();
    let not_in_apps = unknown(in_an_app, &words);
    let not_in_apps: Vec<&str> = not_in_apps.iter().map(String::as_str).collect();
    assert!(not_in_apps.len() < words.len());
    assert_eq!(unknown(at_the_root, &not_in_apps), [""; 0]);
}

/// `on_errored = "exit"` in the prose, in an application or at the root.
#[test]
fn every_setting_is_right() {
    let pages = Pages::for_users();
    let at_root = root_keys(&pages);
    let mut tried = 0;
    for setting in pages.code() {
        let Some((key, _)) = setting.split_once(" = ") else { continue };
        let app = "[[apps]]\nname = \"api\"\nscript = \"app.js\"\n";
        let file = if at_root.iter().any(|name| name == key) {
            format!("{setting}\n{app}")
        } else {
            format!("{app}{setting}\n")
        };
        assert_eq!(check(&file, 0), [""; 0], "{setting}");
        tried += 1;
    }
    assert!(tried > 0);
}

/// The commands of the reference, and their other words.
fn commands(pages: &Pages) -> Vec<Key> {
    let page = pages.find("docs/reference/command-line.md").expect("the reference is there");
    let sections = page.prose.split("\n### ").skip(1);
    let commands: Vec<Key> = sections
        .map(|section| {
            let name = section.lines().next().expect("a heading").to_owned();
            let others = section.lines().find_map(|line| line.strip_prefix("Aliases: ")).map(code);
            Key { name, others: others.unwrap_or_default() }
        })
        .collect();
    assert!(commands.len() > 30, "the reference has {} commands", commands.len());
    commands
}

/// What the help says of a command.
fn help_of(command: &str) -> String {
    Shell::new().run(&format!("procrun {command} --help"), 0).out().lines().join("\n")
}

#[test]
fn the_reference_lists_exactly_the_commands() {
    let commands = commands(&Pages::for_users());
    let help = help();
    // The commands stand between the usage and the options, by groups.
    let listed = help.lines().skip_while(|line| *line != "Run and check:");
    let in_help: BTreeSet<&str> = listed
        .take_while(|line| *line != "What to run:")
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .collect();
    let on_page: BTreeSet<&str> = commands.iter().map(|command| command.name.as_str()).collect();
    assert_eq!(in_help, on_page);
    for Key { name, others } in &commands {
        let others = others.join(", ");
        let said = help_of(name);
        let also = said.lines().find_map(|line| line.strip_prefix("Also:  ")).unwrap_or_default();
        assert_eq!(others, also, "{name}");
    }
}

/// Each command of PM2 is a command here, or its row says what to do instead, and so does procrun.
#[test]
fn every_command_of_pm2_is_here_or_in_the_table_of_differences() {
    let pages = Pages::for_users();
    let here = commands(&pages);
    let is_here =
        |word: &str| here.iter().any(|key| key.name == word || key.others.iter().any(|other| other == word));
    let rows = pages.table("| | pm2 | procrun |");
    let first = |text: &String| text.split(' ').next().unwrap_or_default().to_owned();
    let in_table: Vec<String> = rows.iter().flat_map(|row| code(&row[0])).map(|name| first(&name)).collect();
    let mut without = Vec::new();
    for word in PM2_COMMANDS.split_whitespace().filter(|word| !is_here(word)) {
        assert!(in_table.iter().any(|name| name == word), "no row for `{word}`");
        without.push(word);
    }
    assert!(without.len() > 20, "{without:?}");
    let shell = Shell::new();
    // reloadLogs is no error, and a directory of the shell is called examples.
    for word in without.iter().filter(|word| !["reloadLogs", "examples"].contains(word)) {
        let said = shell.run(&format!("procrun {word} x"), 64).err().lines().join("\n");
        assert!(said.contains(&format!("procrun does not have PM2's command `{word}`")), "{said}");
    }
}

#[test]
fn every_option_of_pm2_is_taken() {
    let shell = Shell::new();
    shell.file("app.js", "");
    let run = shell.run(&format!("procrun check app.js {PM2_OPTIONS}"), 0);
    assert_eq!(run.err().lines_with("error:"), [""; 0], "{}", run.story());
}

fn help() -> String {
    Shell::new().run("procrun --help", 0).out().lines().join("\n")
}

#[test]
fn every_option_is_in_the_help() {
    let pages = Pages::for_users();
    let lines = pages.blocks().flat_map(|block| block.text.lines());
    let typed = lines.filter(|line| line.starts_with("procrun ")).map(str::to_owned);
    let mut options = BTreeSet::new();
    for line in typed.chain(pages.code()) {
        // Behind `--` they are the application's.
        let words = line.split_whitespace().take_while(|word| !matches!(*word, "--" | "#"));
        let long = words.filter(|word| word.starts_with("--"));
        options.extend(long.map(|word| word.split(['=', '[']).next().expect("the first part").to_owned()));
    }
    let of_commands: String = commands(&pages).iter().map(|command| help_of(&command.name)).collect();
    let help = help() + &of_commands;
    let known: BTreeSet<&str> = help.split(|c: char| !(c.is_alphanumeric() || c == '-')).collect();
    options.retain(|option| !FOREIGN_OPTIONS.contains(&option.as_str()));
    assert!(options.len() > 5, "{options:?}");
    for option in options {
        assert!(known.contains(option.as_str()), "`procrun --help` does not know {option}");
    }
}

/// One row is no number: the application's own code.
#[test]
fn the_exit_codes_are_those_of_the_help() {
    let rows = Pages::for_users().table("| code | meaning |");
    let on_page = rows.iter().map(|row| row[0].parse::<u8>().ok());
    let help = help();
    let in_help = help
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Not the second line of a row.
        .filter(|line| !line.starts_with("    "))
        .map(|line| line.split_whitespace().next().expect("a word").parse::<u8>().ok());
    let in_help: Vec<_> = in_help.collect();
    assert_eq!(on_page.collect::<Vec<_>>(), in_help);
    assert_eq!(in_help.iter().filter(|code| code.is_none()).count(), 1);
}

/// The table of variables is that of `procrun help environment`.
#[test]
fn every_variable_of_procrun_is_named() {
    let help = Shell::new().run("procrun help environment", 0).out().lines();
    let in_help: Vec<&str> = help
        .iter()
        .filter_map(|line| line.strip_prefix("  ")?.split_once("  "))
        .map(|(name, _)| name)
        .collect();
    let rows = Pages::for_users().table("| variable | sets | value |");
    let on_page: Vec<String> = rows.iter().flat_map(|row| code(&row[0])).collect();
    assert_eq!(on_page, in_help);
    for (row, name) in rows.iter().zip(&on_page) {
        let key = name.trim_start_matches("PROCRUN_").to_lowercase();
        let of_key = code(&row[1]).contains(&key);
        assert!(of_key || !root_keys(&Pages::for_users()).contains(&key), "{name}");
    }
}
