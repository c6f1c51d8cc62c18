//! Every row of the key table does what it promises.

use std::collections::BTreeMap;

use super::{
    super::{Patch, draft::Draft, target::Format, tests::load},
    *,
};
use crate::spec::{AppSpec, diff::same_but_instances};

/// The keys of `lib/API/schema.json` in PM2 7.0.
const PM2_SCHEMA: &str = "script name name_prefix filter_env namespace install_url cwd args exec_interpreter \
    node_args out_file error_file log_file disable_logs log_type log_date_format time env \
    max_memory_restart pid_file restart_delay exp_backoff_restart_delay source_map_support \
    disable_source_map_support wait_ready instances kill_timeout shutdown_with_message listen_timeout \
    cron_restart merge_logs vizion autostart autorestart stop_exit_codes watch_delay watch ignore_watch \
    watch_options min_uptime max_restarts execute_command exec_mode force append_env_to_name \
    post_update trace disable_trace v8 event_loop_inspector deep_monitoring increment_var \
    instance_var pmx automation treekill port username uid gid windowsHide kill_retry_time write io";

#[test]
fn the_owner_of_a_key_is_pm2_if_its_schema_has_it() {
    let of_pm2 = |word: &str| PM2_SCHEMA.split_whitespace().any(|key| key == word);
    for key in all(APP_KEYS) {
        let is_of_pm2 = key.names().any(of_pm2);
        assert_eq!(key.owner == Owner::Pm2, is_of_pm2, "{}", key.name);
    }
    assert!(all(RUNTIME_KEYS).all(|key| key.owner == Owner::Procrun), "PM2 reads no key beside `apps`");
}

#[test]
fn no_word_means_two_keys() {
    let mut words: Vec<_> = words(APP_KEYS).collect();
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), count);
}

#[test]
fn keys_are_found_by_each_of_their_names() {
    let name = |word| find(APP_KEYS, word).map(|key| key.name);
    assert_eq!(name("out_file"), Some("out_file"));
    assert_eq!(name("outFile"), Some("out_file"));
    assert_eq!(name("output"), Some("out_file"));
    assert_eq!(name("maxMemoryRestart"), Some("max_memory_restart"));
    assert_eq!(name("node_args"), Some("interpreter_args"));
    assert_eq!(name("nodeArgs"), Some("interpreter_args"));
    assert_eq!(name("interpreterArgs"), Some("interpreter_args"));
    assert_eq!(name("execInterpreter"), Some("interpreter"));
    assert_eq!(name("windowsHide"), Some("windowsHide"));
    assert_eq!(name("combineLogs"), Some("merge_logs"));
    assert_eq!(name("outfile"), None);
    assert_eq!(name("outFil"), None);
}

/// The spec of an app with these keys.
fn app(keys: &BTreeMap<&str, &str>) -> AppSpec {
    let lines = keys.iter().fold(String::new(), |lines, (key, value)| lines + key + " = " + value + "\n");
    let text = format!("[[apps]]\n{lines}[[apps]]\nname = 'db'\nscript = 'db.sh'\n");
    let loaded = load(Format::Toml, text.as_bytes()).unwrap_or_else(|problems| panic!("{text}{problems}"));
    AppSpec::clone(&loaded.plan.apps[0])
}

/// Keys without which others have no effect.
fn context(key: &str) -> BTreeMap<&'static str, &'static str> {
    let mut keys = BTreeMap::from([("name", "'app'"), ("script", "'app.sh'")]);
    match key {
        "exec_mode" => keys.insert("script", "'app.js'"),
        "cron_timezone" => keys.insert("cron_restart", "'@daily'"),
        _ if key.starts_with("watch_") || key == "ignore_watch" => keys.insert("watch", "true"),
        _ => None,
    };
    keys
}

/// An app without the key, and the same app with the example of its row.
fn before_and_after(key: &Key<Draft, AppSpec>) -> (AppSpec, AppSpec) {
    let mut keys = context(key.name);
    let before = app(&keys);
    keys.insert(key.name, key.example);
    (before, app(&keys))
}

/// Keys with an example that has an effect alone: without `--env` there is nothing to append, and there is no file
/// with variables.
fn with_example() -> impl Iterator<Item = &'static Key<Draft, AppSpec>> {
    all(APP_KEYS)
        .filter(|key| !key.example.is_empty() && !["append_env_to_name", "env_file"].contains(&key.name))
}

fn names(keys: impl Iterator<Item = &'static Key<Draft, AppSpec>>) -> Vec<&'static str> {
    keys.map(|key| key.name).collect()
}

#[test]
fn every_documented_key_has_an_example_that_is_not_its_default() {
    for key in all(APP_KEYS) {
        assert_eq!(key.example.is_empty(), key.meaning.is_empty(), "{}", key.name);
    }
    let is_default = |key: &&Key<Draft, AppSpec>| {
        let (before, after) = before_and_after(key);
        before == after
    };
    assert_eq!(names(with_example().filter(is_default)), [""; 0]);
    let runtime = |text: &str| {
        let text = format!("{text}\n[[apps]]\nscript = 'app.sh'\n");
        load(Format::Toml, text.as_bytes()).unwrap_or_else(|problems| panic!("{text}{problems}")).plan.runtime
    };
    for key in all(RUNTIME_KEYS) {
        assert_ne!(runtime(""), runtime(&format!("{} = {}", key.name, key.example)), "{}", key.name);
    }
}

#[test]
fn a_change_does_what_the_row_says() {
    let is_wrong = |key: &&Key<Draft, AppSpec>| {
        let (before, after) = before_and_after(key);
        // Another name is another app.
        before.name == after.name && same_but_instances(&before, &after) != (key.change == Change::Live)
    };
    assert_eq!(names(with_example().filter(is_wrong)), [""; 0]);
}

/// The key whose part of the spec a key sets.
fn key_of_part(key: &str) -> &str {
    match key {
        "critical" => "on_errored",
        "disable_source_map_support" => "source_map_support",
        "name_prefix" => "name",
        "port" => "env",
        "time" => "log_date_format",
        _ => key,
    }
}

#[test]
fn a_changed_key_is_reported_by_its_name() {
    let is_wrong = |key: &&Key<Draft, AppSpec>| {
        let (before, after) = before_and_after(key);
        !changed_keys(&before, &after).contains(&key_of_part(key.name))
    };
    assert_eq!(names(with_example().filter(is_wrong)), [""; 0]);
    let (one, other) = (app(&context("")), app(&context("exec_mode")));
    assert_eq!(changed_keys(&one, &one), [""; 0]);
    assert_eq!(changed_keys(&one, &other), ["script"]);
}

#[test]
fn settings_are_the_keys_that_are_not_the_default() {
    let settings = |keys: &[(&'static str, &'static str)]| -> Vec<&str> {
        let mut all = context("");
        all.extend(keys.iter().copied());
        non_default_settings(&app(&all)).into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(settings(&[]), ["name", "script", "cwd"]);
    assert_eq!(settings(&[("oneshot", "true")]), ["name", "script", "cwd", "oneshot"]);
    // Keys that `check` shows only because of another key.
    for (key, value) in [
        ("wait_ready", "true"),
        ("heartbeat", "'30s'"),
        ("cron_restart", "'@daily'"),
        ("watch", "true"),
        ("out_file", "'out.log'"),
        ("listen", "'tcp://127.0.0.1:80'"),
    ] {
        assert_eq!(settings(&[(key, value)]).iter().filter(|shown| **shown == key).count(), 1, "{key}");
        assert_eq!(settings(&[(key, value)]).len(), 4, "{key}");
    }
    let is_missing = |key: &&Key<Draft, AppSpec>| {
        let (_, after) = before_and_after(key);
        let is_shown = key.part.is_some() && (key.show)(&after).is_some();
        is_shown && !non_default_settings(&after).iter().any(|(shown, _)| *shown == key.name)
    };
    assert_eq!(names(with_example().filter(is_missing)), [""; 0]);
}

#[test]
fn a_patch_does_what_the_key_does_in_a_file() {
    let is_wrong = |key: &&Key<Draft, AppSpec>| {
        let (mut patched, after) = before_and_after(key);
        let patch = Patch { keys: vec![key.name.to_owned()], from: Box::new(after.clone()) };
        patch.apply(&mut patched).unwrap();
        patched != after
    };
    let with_patch = with_example().filter(|key| key.can_be_patched());
    assert_eq!(names(with_patch.filter(is_wrong)), [""; 0]);
}
