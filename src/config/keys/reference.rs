//! Writes docs/reference/configuration.md and docs/reference/root-keys.md from the key table.

use std::fmt::Write as _;

use super::{
    APP_KEYS, Change, Key, RUNTIME_KEYS, Section, all,
    app::SERVICES,
    root::{FILE_KEYS, NAMED_ENVIRONMENT},
};
use crate::generated_page::{cell, check};

const APP_PAGE: &str = "\
# Configuration keys

<!-- Written by `BLESS=1 cargo test --lib reference` from the key table in src/config/keys. Do not edit. -->

The keys of an app in an [ecosystem file](ecosystem-files.md). [Keys at the root](root-keys.md) lists the keys beside
the apps. Durations are milliseconds or `\"300ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`. Sizes are bytes or `\"300K\"`, `\"200M\"`,
`\"1G\"` (powers of 1024). The [JSON Schema](ecosystem-files.md#check-in-an-editor) of these keys helps editors.

## Keys of an app

";

const LIVE_KEYS: &str = "\
### Changes

[`procrun apply` and SIGHUP](../how-to/change-running-apps.md) apply a change of these keys to the running processes:
";

const REPLACED: &str = "A change of any other key replaces the processes of the app.

Keys of PM2's own services are accepted with a notice and have no effect: [PM2
compatibility](pm2-compatibility.md#keys-without-effect).
";

const ROOT_PAGE: &str = "\
# Keys at the root

<!-- Written by `BLESS=1 cargo test --lib reference` from the key table in src/config/keys. Do not edit. -->

These keys stand beside the apps of an [ecosystem file](ecosystem-files.md). [Configuration keys](configuration.md)
lists the keys of an app.

## Settings of procrun

These keys concern procrun itself. Each `PROCRUN_<KEY>` [variable](environment.md#variables-that-procrun-reads) sets the
key of that name.

";

fn row<D, S>(page: &mut String, Key { name, aliases, meaning, default, .. }: &Key<D, S>) {
    let mut names = format!("`{name}`");
    if !aliases.is_empty() {
        let aliases: Vec<String> = aliases.iter().map(|alias| format!("`{alias}`")).collect();
        write!(names, " ({})", aliases.join(", ")).expect("writing to a String cannot fail");
    }
    line(page, [&names, meaning, default]);
}

fn line(page: &mut String, cells: [&str; 3]) {
    let [name, meaning, last] = cells.map(cell);
    let last = if last.is_empty() { last } else { last + " " };
    writeln!(page, "| {name} | {meaning} | {last}|").expect("writing to a String cannot fail");
}

fn app_page() -> String {
    let mut page = APP_PAGE.to_owned();
    for Section { heading, keys } in APP_KEYS.iter().filter(|section| section.heading != SERVICES) {
        write!(page, "### {heading}\n\n| key (other names) | meaning | default |\n|---|---|---|\n")
            .expect("writing to a String cannot fail");
        for key in *keys {
            row(&mut page, key);
            if key.name == "env" {
                line(&mut page, NAMED_ENVIRONMENT);
            }
        }
        page.push('\n');
    }
    let live = all(APP_KEYS).filter(|key| key.change == Change::Live);
    let live: Vec<String> = live.map(|key| format!("`{}`", key.name)).collect();
    page + LIVE_KEYS + &wrapped(&format!("{}.", live.join(", "))) + REPLACED
}

/// Words in lines of at most 120 characters.
fn wrapped(words: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words.split(' ') {
        if column > 0 && column + 1 + word.len() > 120 {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text + "\n"
}

fn root_page() -> String {
    let mut page = ROOT_PAGE.to_owned();
    page.push_str("| root key | meaning | default |\n|---|---|---|\n");
    for key in all(RUNTIME_KEYS) {
        row(&mut page, key);
    }
    page.push_str("\n## Keys that build the list of apps\n\n| root key | meaning | page |\n|---|---|---|\n");
    for key in FILE_KEYS {
        line(&mut page, [&format!("`{}`", key.name), key.meaning, key.page]);
    }
    page
}

#[test]
fn the_page_of_app_keys_is_that_of_the_table() {
    check("configuration.md", &app_page());
}

#[test]
fn the_page_of_root_keys_is_that_of_the_table() {
    check("root-keys.md", &root_page());
}

#[test]
fn every_key_is_documented() {
    for section in APP_KEYS.iter().filter(|section| section.heading != SERVICES) {
        for key in section.keys {
            assert!(!key.meaning.is_empty() && !key.default.is_empty(), "{}", key.name);
        }
    }
    assert!(all(RUNTIME_KEYS).all(|key| !key.meaning.is_empty() && !key.default.is_empty()));
}
