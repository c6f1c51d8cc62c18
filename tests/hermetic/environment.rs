//! The environment a worker gets.

use std::collections::BTreeMap;

use crate::support::{Bed, Launch, text, wait_until};

/// Prints its whole environment as `env NAME=value`, then waits.
const TELLS_ENV: &str = "#!/usr/bin/env python3\n\
    import os, time\n\
    for name, value in sorted(os.environ.items()):\n    print('env %s=%s' % (name, value))\n\
    print('told', flush=True)\ntime.sleep(1000)\n";

/// Starts, waits until this number of workers have printed their environment, and returns it by worker label.
fn environments(launch: Launch<'_>, count: usize) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut run = launch.pid1().start();
    run.wait_for_lines("told", count);
    run.expect_stop();
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in run.out().lines() {
        let (label, text) = line.split_once(" | ").expect("a prefix");
        if let Some((name, value)) = text.strip_prefix("env ").and_then(|pair| pair.split_once('=')) {
            found.entry(label.trim().to_owned()).or_default().insert(name.to_owned(), value.to_owned());
        }
    }
    found
}

/// The environment of the only worker.
fn environment(launch: Launch<'_>) -> BTreeMap<String, String> {
    environments(launch, 1).into_values().next().expect("one worker")
}

fn value<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str)
}

fn env_bed(keys: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"web\"\nscript = \"./tells.py\"\n{keys}"));
    bed.script("tells.py", TELLS_ENV);
    bed
}

#[test]
fn a_worker_gets_pm2s_variables() {
    let bed =
        env_bed("namespace = \"shop\"\ninstances = 2\n[[apps]]\nname = \"job\"\nscript = \"./tells.py\"\n");
    let found = environments(bed.launch(&["ecosystem.toml"]), 3);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["0|web", "1|web", "2|job"]);
    for (label, expected) in [
        ("0|web", ["0", "0", "web", "shop", "2"]),
        ("1|web", ["1", "1", "web", "shop", "2"]),
        ("2|job", ["0", "2", "job", "default", "1"]),
    ] {
        let environment = &found[label];
        let names = ["NODE_APP_INSTANCE", "pm_id", "name", "namespace", "instances"];
        for (name, expected) in names.into_iter().zip(expected) {
            assert_eq!(value(environment, name), Some(expected), "{name} of {label}");
        }
        assert_eq!(value(environment, "exec_mode"), Some("fork_mode"), "{label}");
        assert_eq!(value(environment, "PM2_HOME"), None, "{label}");
    }
}

#[test]
fn each_instance_has_its_own_arguments_variables_and_files() {
    let bed = Bed::with(
        "[defaults]\nout_file = \"logs/{name}-{instance}.log\"\npid_file = \"{instance}-{id}.pid\"\n\
         [[apps]]\nname = \"first\"\nscript = \"./waits.sh\"\n\
         [[apps]]\nname = \"web\"\nscript = \"./waits.sh\"\ninstances = 2\nincrement_var = \"NEXT\"\n\
         args = [\"--port=300{instance}\", '{\"a\":{\"b\":{}}}', \"{{instance}}\", \"{id}\"]\n\
         env = { PORT = \"300{instance}\", NEXT = \"1{instance}\", JSON = '{\"a\":{}}', OTHER = \"{name}\" }\n",
    );
    bed.script("waits.sh", "#!/bin/sh\necho \"got $* $PORT $NEXT $JSON $OTHER\"\nexec sleep 1000\n");
    let mut run = bed.launch(&["ecosystem.toml"]).pid1().start();
    run.wait_for_lines("got", 3);
    run.wait_for_line(r#"1|web   | got --port=3000 {"a":{"b":{}}} {instance} {id} 3000 10 {"a":{}} {name}"#);
    run.wait_for_line(r#"2|web   | got --port=3001 {"a":{"b":{}}} {instance} {id} 3001 12 {"a":{}} {name}"#);
    for file in ["logs/first-0.log", "logs/web-0.log", "logs/web-1.log"] {
        wait_until(file, || bed.exists(file));
    }
    for file in ["0-0.pid", "0-1.pid", "1-2.pid"] {
        wait_until(file, || bed.exists(file));
    }
    run.expect_stop();
}

#[test]
fn pm2_home_is_left_alone() {
    let bed = env_bed("");
    let found = environment(bed.launch(&["ecosystem.toml"]).env("PM2_HOME", "/somewhere"));
    assert_eq!(value(&found, "PM2_HOME"), Some("/somewhere"));
}

#[test]
fn the_later_source_of_a_variable_wins() {
    let bed = env_bed(
        "env_file = \".env\"\nenv = { C = \"env\", D = \"env\", NUMBER = 3, TRUTH = true }\n\
         env_production = { D = \"production\" }\nenv_other = { A = \"other\" }\n",
    );
    bed.file(".env", "# a comment\nB=file\nexport C=file\nD='file'\nQUOTED=\"two words\"\n\nEMPTY=\n");
    let launch = bed.launch(&["ecosystem.toml", "--env", "production"]);
    let found =
        environment(launch.env("A", "caller").env("B", "caller").env("C", "caller").env("D", "caller"));
    for (name, expected) in [
        ("A", "caller"),
        ("B", "file"),
        ("C", "env"),
        ("D", "production"),
        ("QUOTED", "two words"),
        ("EMPTY", ""),
        ("NUMBER", "3"),
        ("TRUTH", "true"),
    ] {
        assert_eq!(value(&found, name), Some(expected), "{name}");
    }
}

#[test]
fn without_env_only_the_plain_one_counts() {
    let bed = env_bed("env = { D = \"env\" }\nenv_production = { D = \"production\" }\n");
    assert_eq!(value(&environment(bed.launch(&["ecosystem.toml"])), "D"), Some("env"));
}

#[test]
fn filter_env_keeps_the_callers_variables_out() {
    let caller = |bed: &Bed| {
        let launch = bed.launch(&["ecosystem.toml"]);
        environment(launch.env("REACT_KEY", "1").env("SECRET", "2").env("SECRETARY", "3").env("PLAIN", "4"))
    };
    let some = caller(&env_bed("filter_env = [\"REACT_\", \"SECRET\"]\nenv = { REACT_OWN = \"5\" }\n"));
    assert_eq!(value(&some, "REACT_KEY"), None);
    assert_eq!(value(&some, "SECRET"), None);
    assert_eq!(value(&some, "SECRETARY"), None, "names that start with it");
    assert_eq!(value(&some, "PLAIN"), Some("4"));
    assert_eq!(value(&some, "REACT_OWN"), Some("5"), "what the file sets stays");

    let none = caller(&env_bed("filter_env = true\nenv = { OWN = \"5\" }\ninterpreter = \"python3\"\n"));
    assert_eq!(value(&none, "PLAIN"), None);
    assert_eq!(value(&none, "HOME"), None);
    assert_eq!(value(&none, "OWN"), Some("5"));
    assert_eq!(value(&none, "name"), Some("web"));
}

#[test]
fn instance_var_increment_var_and_port() {
    let bed = env_bed(
        "instances = 3\ninstance_var = \"WORKER\"\nincrement_var = \"PORT\"\nenv = { PORT = 3000 }\n",
    );
    let found = environments(bed.launch(&["ecosystem.toml"]), 3);
    for (at, (label, environment)) in found.iter().enumerate() {
        assert_eq!(value(environment, "WORKER"), Some(at.to_string().as_str()), "{label}");
        assert_eq!(value(environment, "PORT"), Some((3000 + at).to_string().as_str()), "{label}");
    }

    let bed = env_bed("port = 8123\n");
    assert_eq!(value(&environment(bed.launch(&["ecosystem.toml"])), "PORT"), Some("8123"));
}

#[test]
fn append_env_to_name() {
    let bed = env_bed("append_env_to_name = true\nenv_production = { D = \"1\" }\n");
    let found = environment(bed.launch(&["ecosystem.toml", "--env", "production"]));
    assert_eq!(value(&found, "name"), Some("web-production"));
}

#[test]
fn the_environment_is_computed_at_each_spawn() {
    let bed = Bed::again(
        "env = { KEY = \"value\" }\nrestart_delay = 5\n",
        "echo \"env KEY=$KEY NODE_APP_INSTANCE=$NODE_APP_INSTANCE pm_id=$pm_id\"\n\
         [ -f again ] && exec sleep 1000\n> again\nexit 1\n",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    let told = run.wait_for_lines("env ", 2);
    assert_eq!(text(&told[0]), "env KEY=value NODE_APP_INSTANCE=0 pm_id=0");
    assert_eq!(told[0], told[1]);
    run.expect_stop();
}

#[test]
fn braces_expand_in_toml_only() {
    let bed = env_bed("env = { A = \"${GIVEN}\", B = \"${MISSING:-default}\", C = \"$${GIVEN}\" }\n");
    let found = environment(bed.launch(&["ecosystem.toml"]).env("GIVEN", "given"));
    for (name, expected) in [("A", "given"), ("B", "default"), ("C", "${GIVEN}")] {
        assert_eq!(value(&found, name), Some(expected), "{name}");
    }
    bed.file(
        "ecosystem.json",
        r#"{"apps": [{"name": "web", "script": "./tells.py", "env": {"A": "${GIVEN}"}}]}"#,
    );
    let found = environment(bed.launch(&["ecosystem.json"]).env("GIVEN", "given"));
    assert_eq!(value(&found, "A"), Some("${GIVEN}"));
}

/// What `check` says of a key of the root: its value and where it comes from.
#[track_caller]
fn root_setting(bed: &Bed, args: &[&str], variables: &[(&str, &str)], key: &str) -> String {
    let mut launch = bed.launch(&[&["check"], args].concat());
    for (name, value) in variables {
        launch = launch.env(name, value);
    }
    let mut run = launch.start();
    run.expect_code(0);
    let lines = run.out().lines();
    let line = lines.iter().find(|line| line.trim_start().starts_with(&format!("{key} ")));
    line.unwrap_or_else(|| panic!("no {key} in {lines:?}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_variable_sets_a_root_key_after_a_flag_and_before_the_file() {
    let bed = Bed::with(
        "log_format = \"keyvalue\"\n[[apps]]\nname = \"main\"\nscript = \"echo hello; sleep 1000\"\n",
    );
    let json = [("PROCRUN_LOG_FORMAT", "json")];
    assert_eq!(
        root_setting(&bed, &["ecosystem.toml"], &[], "log_format"),
        "log_format keyvalue # ecosystem.toml:1:14"
    );
    assert_eq!(
        root_setting(&bed, &["ecosystem.toml"], &json, "log_format"),
        "log_format json # environment $PROCRUN_LOG_FORMAT"
    );
    assert_eq!(
        root_setting(&bed, &["ecosystem.toml", "--raw"], &json, "log_format"),
        "log_format raw # --raw"
    );
    let mut run = bed.launch(&["ecosystem.toml"]).env("PROCRUN_LOG_FORMAT", "json").start();
    run.wait_for_line("\"message\":\"hello\"");
    assert!(run.err().lines_with("no effect").is_empty(), "{}", run.story());
    run.expect_stop();
}

#[test]
fn a_wrong_variable_names_itself_and_an_unknown_one_is_a_warning() {
    let bed = Bed::with("[[apps]]\nname = \"main\"\nscript = \"sleep 1000\"\n");
    let mut run = bed.launch(&["ecosystem.toml"]).env("PROCRUN_LOG_FORMAT", "jsno").start();
    run.expect_code(78);
    let said = run.err().lines().join("\n");
    assert!(said.contains("the variable `PROCRUN_LOG_FORMAT` must be \"prefix\", "), "{said}");
    let mut run = bed.launch(&["ecosystem.toml"]).env("PROCRUN_LOG_FROMAT", "json").start();
    run.wait_for_err("did you mean `PROCRUN_LOG_FORMAT`?");
    run.wait_for_err("is online, pid");
    run.expect_stop();
}
