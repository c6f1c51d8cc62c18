//! Tests of whole files: invalid text never panics, and valid files give their plans.

use std::{collections::BTreeMap, ffi::OsString, path::Path, time::Duration};

use proptest::prelude::*;

use super::{
    EX_CONFIG, FlagValue, Flags, Invocation, Loaded, Problems, Read, Source,
    document::Parsed,
    file,
    keys::{APP_KEYS, RUNTIME_KEYS, words},
    target::Format,
};
use crate::spec::{
    AppSpec, Backoff, ExecMode, InheritEnv, Instances, Interpreter, LogStyle, Signal, Verbosity,
};

fn invocation(target: &str, cwd: &Path) -> Invocation {
    let environment = [("PORT", "80"), ("HOME", "/home/me"), ("PATH", "/usr/bin:/bin")];
    Invocation {
        target: target.into(),
        flags: Flags::default(),
        args: None,
        environment: environment.map(|(name, value)| (OsString::from(name), OsString::from(value))).into(),
        cwd: cwd.to_owned(),
        command_line: vec!["procrun".into(), target.into()],
    }
}

/// The plan of the text of `/srv/etc/x.*`, read from `/srv/cwd`.
pub(super) fn load(format: Format, text: &[u8]) -> Result<Loaded, Problems> {
    load_with(format, text, Flags::default())
}

fn load_with(format: Format, text: &[u8], flags: Flags) -> Result<Loaded, Problems> {
    let name = match format {
        Format::Toml => "../etc/x.toml",
        Format::Json | Format::Script => "../etc/x.json",
        Format::Yaml => "../etc/x.yaml",
    };
    let source = Source::new(Invocation { flags, ..invocation(name, Path::new("/srv/cwd")) })?;
    let text = file::text(text.to_vec()).map_err(|unreadable| source.unreadable(&unreadable))?;
    let Parsed { root, problems, .. } = source.parse(&text, format)?;
    source.load_file(&root, format, &[], problems)
}

fn only_app(loaded: &Loaded) -> &AppSpec {
    assert_eq!(loaded.plan.apps.len(), 1);
    &loaded.plan.apps[0]
}

#[test]
fn defaults_are_the_specs() {
    let loaded = load(Format::Toml, b"[[apps]]\nscript = 'dist/main.py'").unwrap();
    let app = only_app(&loaded);
    assert_eq!(app.name, "main");
    assert_eq!(app.namespace, "default");
    assert_eq!(app.exec.script, "dist/main.py");
    assert_eq!(app.exec.interpreter, Interpreter::Auto);
    assert_eq!(app.exec.cwd, Path::new("/srv/etc"), "a TOML file is relative to its directory");
    assert_eq!(app.instances, Instances::Count(1));
    assert_eq!(app.exec_mode, ExecMode::Fork);
    assert_eq!(app.restart, crate::spec::RestartPolicy::default());
    assert_eq!(app.stop, crate::spec::StopPolicy::default());
    assert_eq!(app.logs, crate::spec::LogSpec::default());
    assert_eq!(app.env.instance_var, "NODE_APP_INSTANCE");
    assert_eq!(app.env.inherit, InheritEnv::All);
    assert!(app.autostart);
    assert_eq!(loaded.plan.runtime, crate::spec::Runtime::default());
    assert_eq!(loaded.notices, [""; 0]);
    assert_eq!(loaded.files_read, [Path::new("/srv/etc/x.toml")]);

    let loaded =
        load(Format::Json, br#"{"script": "a.js", "cwd": "app/../sub", "out_file": "o.log"}"#).unwrap();
    let app = only_app(&loaded);
    assert_eq!(app.exec.cwd, Path::new("/srv/cwd/sub"), "PM2's files are relative to the caller's directory");
    assert_eq!(app.logs.files.out.as_deref(), Some(Path::new("/srv/cwd/sub/o.log")));
}

#[test]
fn variables_set_the_cwd_and_the_includes_of_the_main_file() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let main = "cwd = 'of-file'\ninclude = ['no.toml']\n[[apps]]\nname = 'a'\nscript = 'a.js'\n\
                [[apps]]\nname = 'b'\nscript = 'b.js'\ncwd = 'sub'\n";
    write("etc/x.toml", main);
    write("conf.d/c.toml", "[[apps]]\nscript = 'c.js'");
    write("conf.d/d.toml", "cwd = 'd'\n[[apps]]\nscript = 'd.js'");
    write("other/e.toml", "[[apps]]\nscript = 'e.js'");
    let load = |variables: &[(&str, &str)]| {
        let mut invocation = invocation("etc/x.toml", &root);
        invocation.environment.extend(variables.iter().map(|(name, value)| (name.into(), value.into())));
        match Source::new(invocation).unwrap().read() {
            Ok(Read::Loaded(loaded)) => Ok(loaded),
            Ok(Read::NeedsEvaluation(_)) => unreachable!("it is TOML"),
            Err(problems) => Err(problems.to_string()),
        }
    };
    let loaded = load(&[("PROCRUN_CWD", "work"), ("PROCRUN_INCLUDE", "conf.d/*.toml:other/e.toml")]).unwrap();
    let cwds: Vec<(&str, &Path)> = loaded
        .plan
        .apps
        .iter()
        .map(|app| (app.name.as_str(), app.exec.cwd.strip_prefix(&root).unwrap()))
        .collect();
    let expected = [("a", "work"), ("b", "work/sub"), ("c", "work"), ("d", "work/d"), ("e", "work")];
    assert_eq!(cwds, expected.map(|(name, cwd)| (name, Path::new(cwd))));
    let cwd = loaded.settings[0].settings.iter().find(|setting| setting.key == "cwd").unwrap();
    assert_eq!(cwd.origin.to_string(), "environment $PROCRUN_CWD");
    assert_eq!(loaded.notices, [""; 0]);

    let wrong = load(&[("PROCRUN_INCLUDE", "/nowhere/f.toml")]).unwrap_err();
    assert!(wrong.contains("the variable `PROCRUN_INCLUDE` names /nowhere/f.toml, which"), "{wrong}");
    let wrong = load(&[("PROCRUN_CWD", "")]).unwrap_err();
    assert!(wrong.contains("`include` names"), "an empty variable has no effect: {wrong}");
}

#[test]
fn a_name_is_one_line_whatever_the_script() {
    for (script, name) in [("/", "app"), ("echo a\\necho b", "echo a echo b"), ("\\u0001", "app")] {
        let loaded = load(Format::Json, format!("{{\"script\": \"{script}\"}}").as_bytes()).unwrap();
        assert_eq!(only_app(&loaded).name, name);
    }
    let long = "x ".repeat(1000);
    let loaded = load(Format::Json, format!("{{\"script\": \"{long}\"}}").as_bytes()).unwrap();
    assert!(only_app(&loaded).name.len() <= 60);
}

#[test]
fn cluster_and_merged_logs_follow_pm2() {
    let mode = |rest: &str| {
        let text = format!("{{\"script\": \"a.js\" {rest}}}");
        let loaded = load(Format::Json, text.as_bytes()).unwrap();
        let app = only_app(&loaded);
        (app.exec_mode, app.logs.files.merge)
    };
    assert_eq!(mode(""), (ExecMode::Fork, false));
    assert_eq!(mode(r#", "instances": 1"#), (ExecMode::Cluster, false));
    assert_eq!(mode(r#", "instances": -1"#), (ExecMode::Cluster, false));
    assert_eq!(mode(r#", "instances": 2, "exec_mode": "fork""#), (ExecMode::Fork, false));
    assert_eq!(mode(r#", "instances": "max", "exec_mode": "fork_mode""#), (ExecMode::Fork, true));
    assert_eq!(mode(r#", "instances": "max""#), (ExecMode::Cluster, true));
    assert_eq!(mode(r#", "instances": "max", "exec_mode": "cluster""#), (ExecMode::Cluster, false));
    assert_eq!(mode(r#", "instances": 2, "interpreter": "python3""#), (ExecMode::Fork, false));
    assert_eq!(mode(r#", "instances": 2, "interpreter": "/opt/bin/bun""#), (ExecMode::Cluster, false));
    assert_eq!(mode(r#", "exec_mode": "cluster", "merge_logs": true"#), (ExecMode::Cluster, true));
}

#[test]
fn waits_between_restarts() {
    let backoff = |format, text: &str| {
        let loaded = load(format, text.as_bytes()).unwrap();
        only_app(&loaded).restart.backoff
    };
    let toml = |rest: &str| backoff(Format::Toml, &format!("script = 'a'\n{rest}"));
    let exponential = |ms| Backoff::Exponential { initial: Duration::from_millis(ms), first_at_once: false };
    assert_eq!(toml(""), Backoff::DEFAULT);
    assert_eq!(toml("restart_delay = 0"), Backoff::Fixed(Duration::ZERO));
    assert_eq!(toml("restart_delay = '2s'"), Backoff::Fixed(Duration::from_secs(2)));
    assert_eq!(toml("restart_delay = 5\nexp_backoff_restart_delay = 7"), exponential(7));
    assert_eq!(toml("exp_backoff_restart_delay = 0"), Backoff::DEFAULT);
    let json = |rest: &str| backoff(Format::Json, &format!("{{\"script\": \"a\", {rest}}}"));
    assert_eq!(json(r#""restart_delay": 0"#), Backoff::DEFAULT, "PM2 takes 0 for unset");
    assert_eq!(json(r#""restart_delay": "3000""#), Backoff::Fixed(Duration::from_secs(3)));
}

#[test]
fn flags_override_the_file() {
    let mut flags = Flags::default();
    flags.set("name", "--name", FlagValue::Text("other".into()));
    flags.set("instances", "--instances", FlagValue::Text("max".into()));
    flags.set("autorestart", "--no-autorestart", FlagValue::Switch(false));
    flags.set("log_format", "--json", FlagValue::Text("json".into()));
    flags.set("log_level", "--log-level", FlagValue::Text("trace".into()));
    flags.set("cwd", "--cwd", FlagValue::Text("sub".into()));
    flags.set("kill_signal", "--kill-signal", FlagValue::Text("hup".into()));
    let text = b"log_format = 'raw'\n[[apps]]\nname = 'a'\nscript = 'a.sh'\ninstances = 3\ncwd = 'x'";
    let loaded = load_with(Format::Toml, text, flags).unwrap();
    let app = only_app(&loaded);
    assert_eq!(app.name, "other");
    assert_eq!(app.instances, Instances::CpusMinus(0));
    assert!(!app.restart.autorestart);
    assert_eq!(app.exec.cwd, Path::new("/srv/cwd/sub"), "a flag is relative to the caller's directory");
    assert_eq!(app.stop.kill_signal, Some(Signal::HUP));
    assert_eq!(loaded.plan.runtime.log.style, LogStyle::Json);
    assert_eq!(loaded.plan.runtime.log.verbosity, Verbosity::Trace);
}

#[test]
fn an_empty_script_is_no_script_in_pm2s_formats() {
    let problems = load(Format::Json, br#"{"name": "a", "script": ""}"#).unwrap_err();
    assert!(problems.to_string().contains("x.json:1:1: app `a` has no `script`"), "{problems}");
}

#[test]
fn the_flag_value_null_unsets_a_key() {
    let text = b"[[apps]]\nname = 'a'\nscript = 'a.js'\nnode_args = '--inspect'\nmax_restarts = 3\ncwd = 'x'";
    let mut flags = Flags::default();
    flags.set("interpreter_args", "--node-args", FlagValue::Text("--no-warnings".into()));
    flags.set("interpreter_args", "--node-args", FlagValue::Text("null".into()));
    flags.set("max_restarts", "--max-restarts", FlagValue::Text("null".into()));
    flags.set("kill_timeout", "--kill-timeout", FlagValue::Text("null".into()));
    flags.set("kill_timeout", "--kill-timeout", FlagValue::Text("3s".into()));
    let loaded = load_with(Format::Toml, text, flags).unwrap();
    let app = only_app(&loaded);
    assert_eq!(app.exec.interpreter_args, [""; 0]);
    assert_eq!(app.restart.max_restarts, crate::spec::RestartPolicy::default().max_restarts);
    assert_eq!(app.stop.kill_timeout, Duration::from_secs(3), "the last one applies");
    assert_eq!(app.exec.cwd, Path::new("/srv/etc/x"));
}

#[test]
fn pm2s_own_variables_give_defaults() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.json"), r#"[{"script": "a"}, {"script": "b", "kill_timeout": 5}]"#)
        .unwrap();
    let mut invocation = invocation("x.json", dir.path());
    invocation.environment.insert("PM2_KILL_SIGNAL".into(), "SIGTERM".into());
    invocation.environment.insert("PM2_KILL_TIMEOUT".into(), "20000".into());
    invocation.environment.insert("PM2_KILL_USE_MESSAGE".into(), "true".into());
    let Read::Loaded(loaded) = Source::new(invocation).unwrap().read().unwrap() else {
        panic!("no JavaScript")
    };
    let stops: Vec<_> = loaded.plan.apps.iter().map(|app| app.stop.clone()).collect();
    assert_eq!(stops[0].kill_signal, Some(Signal::TERM));
    assert_eq!(stops[0].kill_timeout, Duration::from_secs(20));
    assert_eq!(stops[1].kill_timeout, Duration::from_millis(5));
    assert!(stops.iter().all(|stop| stop.with_message));
}

#[test]
fn pm2s_own_variables_are_named_when_they_are_wrong() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.json"), r#"[{"script": "a"}, {"script": "b"}]"#).unwrap();
    let mut invocation = invocation("x.json", dir.path());
    invocation.environment.insert("PM2_KILL_SIGNAL".into(), "SIGNOPE".into());
    invocation.environment.insert("PM2_KILL_TIMEOUT".into(), "-1".into());
    let Read::Loaded(loaded) = Source::new(invocation).unwrap().read().unwrap() else {
        panic!("no JavaScript")
    };
    assert_eq!(loaded.notices.len(), 2, "{:?}", loaded.notices);
    assert!(loaded.notices[0].contains("PM2_KILL_SIGNAL"), "{:?}", loaded.notices);
    assert!(loaded.notices[1].contains("PM2_KILL_TIMEOUT"), "{:?}", loaded.notices);
}

#[test]
fn a_script_alone_is_one_app() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("job.py"), "").unwrap();
    let mut invocation = invocation("job.py", dir.path());
    invocation.args = Some(vec!["--x".into(), "y z".into()]);
    let source = Source::new(invocation).unwrap();
    let Read::Loaded(loaded) = source.read().unwrap() else { panic!("no JavaScript") };
    let app = only_app(&loaded);
    assert_eq!((app.name.as_str(), app.exec.script.as_str()), ("job", "job.py"));
    assert_eq!(app.exec.args, ["--x", "y z"]);
    assert_eq!(app.exec.cwd, dir.path());
    assert_eq!(loaded.files_read, [""; 0].map(Path::new));
}

#[test]
fn a_source_reads_its_file_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    let source = Source::new(invocation("x.toml", dir.path())).unwrap();
    let problems = source.read().unwrap_err();
    assert_eq!(problems.exit_code(), EX_CONFIG);
    assert!(problems.to_string().contains("x.toml does not exist"), "{problems}");
    for script in ["a", "b"] {
        std::fs::write(&file, format!("script = '{script}'")).unwrap();
        let Read::Loaded(loaded) = source.read().unwrap() else { panic!("no JavaScript") };
        assert_eq!(only_app(&loaded).exec.script, script);
    }
}

#[test]
fn hostile_files_fail_quickly() {
    let keys = (0..60_000).map(|number| format!("kez{number} = 1")).collect::<Vec<_>>().join("\n");
    let apps = "[[apps]]\nscript = 'a'\n".repeat(40_000);
    let same = "{\"script\": \"a\"},".repeat(1000);
    let dots = vec!["a"; 300_000].join(".") + " = 1";
    let table = format!("[{}]", vec!["a"; 300_000].join("."));
    let inline = format!("x = {}1{}", "{a=".repeat(100_000), "}".repeat(100_000));
    for text in
        [keys, apps, dots, table, inline, "[".repeat(1_000_000), "x = ".to_owned() + &"[".repeat(900_000)]
    {
        let problems = load(Format::Toml, text.as_bytes()).unwrap_err();
        assert!(problems.iter().count() <= 100);
    }
    let loaded = load(Format::Json, format!("[{same}]").as_bytes()).unwrap();
    assert_eq!(loaded.plan.apps.len(), 1000);
    assert!(loaded.notices.len() <= 100);
}

/// Values of every type, valid and not.
const VALUES: [&str; 26] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "3",
    "1e400",
    "0.5",
    "99999999999999999999",
    "\"\"",
    "\" \"",
    "\"a\"",
    "\"a b\"",
    "\"5s\"",
    "\"-5s\"",
    "\"max\"",
    "\"80%\"",
    "\"* * * * *\"",
    "\"json\"",
    "\"\\u0000\"",
    "[]",
    "[1, \"a\", null, []]",
    "{}",
    "{\"A\": 1, \"=\": {}}",
    "[[[[[]]]]]",
];

fn any_config() -> impl Strategy<Value = String> {
    let known: Vec<&str> =
        words(APP_KEYS).chain(words(RUNTIME_KEYS)).chain(["env_x", "apps", "", "x"]).collect();
    let pair = (prop::sample::select(known), prop::sample::select(&VALUES[..]));
    let table = prop::collection::vec(pair, 0..12).prop_map(|pairs| {
        // YAML forbids repeated keys, so each is set once.
        let pairs: BTreeMap<&str, &str> = pairs.into_iter().collect();
        let pairs: Vec<String> =
            pairs.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        format!("{{{}}}", pairs.join(", "))
    });
    prop::collection::vec(table, 0..4).prop_map(|tables| match tables.as_slice() {
        [one] => one.clone(),
        many => format!("{{\"apps\": [{}]}}", many.join(", ")),
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in [Format::Toml, Format::Json, Format::Yaml] {
            let _ = load(format, &bytes);
        }
    }

    #[test]
    fn arbitrary_punctuation_never_panics(text in "[\\[\\]{}=:,.'\"#&*!|><\\-\\n a-c0-9${}~?%@]{0,80}") {
        for format in [Format::Toml, Format::Json, Format::Yaml] {
            let _ = load(format, text.as_bytes());
        }
    }

    #[test]
    fn any_value_under_any_key_is_taken_or_refused_with_its_place(text in any_config()) {
        for format in [Format::Json, Format::Yaml] {
            match load(format, text.as_bytes()) {
                Ok(loaded) => prop_assert_eq!(loaded.plan.apps.len(), loaded.settings.len()),
                Err(problems) => {
                    prop_assert_eq!(problems.exit_code(), EX_CONFIG);
                    for problem in problems.iter() {
                        prop_assert!(problem.place.is_some(), "{}", problem);
                    }
                }
            }
        }
    }
}

/// Values, of which each key accepts some.
fn some_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::json;
    const TEXTS: [&str; 23] = [
        "",
        "a",
        "max",
        "5s",
        "200M",
        "SIGTERM",
        "true",
        "0",
        "-1",
        "1.5",
        "a 'b c' \\d",
        "${PORT} $$ $x",
        "it's \"so\"",
        "../x",
        "~/x",
        "/dev/null",
        "json",
        "cluster",
        "off",
        "1,2",
        "=",
        "=A",
        "A",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|on| json!(on)),
        (-2_i64..20).prop_map(|number| json!(number)),
        prop_oneof![Just(0.5), Just(2.5), Just(1e12), Just(-1.5)].prop_map(|number| json!(number)),
        proptest::sample::select(&TEXTS[..]).prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items)),
            prop::collection::btree_map("[A-C${}. ]{1,3}", inner, 0..3).prop_map(|entries| json!(entries)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// The TOML of a conversion has the same plan, or an error about the key.
    #[test]
    fn a_conversion_means_the_same(
        apps in prop::collection::vec(
            prop::collection::btree_map(
                prop_oneof![
                    8 => proptest::sample::select(words(APP_KEYS).collect::<Vec<_>>()).prop_map(str::to_owned),
                    1 => Just("env_x".to_owned()),
                    1 => Just("nonsense".to_owned()),
                ],
                some_value(),
                0..5,
            ),
            1..3,
        ),
        at in prop_oneof![Just("/srv/cwd/e.toml"), Just("/srv/etc/e.toml"), Just("/opt/e.toml")],
    ) {
        let apps: Vec<_> = apps
            .into_iter()
            .map(|mut app| {
                for alias in ["exec", "cmd", "command", "env_file"] {
                    app.remove(alias);
                }
                app.insert("script".to_owned(), "a.js".into());
                app
            })
            .collect();
        let text = serde_json::json!({ "apps": apps }).to_string();
        if let Some(Err(problems)) = conversion(&text, at) {
            let all = problems.to_string();
            prop_assert!(all.contains("rotate"), "{text}\n{all}");
        }
    }
}

/// The conversion of a JSON file to a TOML file. `None`: the file has errors.
fn conversion(text: &str, at: &str) -> Option<Result<Loaded, Problems>> {
    let read = |source: Source| {
        let Parsed { root, problems, .. } = source.parse(text, Format::Json)?;
        source.load_file(&root, Format::Json, &[], problems)
    };
    let invocation = || invocation("../etc/x.json", Path::new("/srv/cwd"));
    read(Source::new(invocation()).unwrap()).ok()?;
    let converted = read(Source::to_convert(invocation(), Path::new(at)).unwrap());
    assert!(converted.as_ref().map_or(true, |loaded| loaded.conversion.is_some()));
    Some(converted)
}

#[test]
fn a_limit_without_a_value_is_left_out_of_a_conversion() {
    for limits in [r#"{"asx": ""}"#, r#"{"as": ""}"#, r#"{"as": null, "nofile": 10}"#] {
        let text = format!(r#"{{"apps": [{{"script": "a.js", "rlimits": {limits}}}]}}"#);
        assert!(conversion(&text, "/srv/cwd/e.toml").unwrap().is_ok(), "{limits}");
    }
}

/// The shutdown budget of a file of one app with this key at the root, and this environment.
fn shutdown_timeout(key: &str, grace: &str) -> (Option<Duration>, Vec<String>) {
    let mut invocation = invocation("../etc/x.toml", Path::new("/srv/cwd"));
    invocation.environment.insert("PROCRUN_GRACE_SECONDS".into(), grace.into());
    let source = Source::new(invocation).unwrap();
    let text = format!("{key}\n[[apps]]\nscript = 'app.sh'");
    let Parsed { root, problems, .. } = source.parse(&text, Format::Toml).unwrap();
    let loaded = source.load_file(&root, Format::Toml, &[], problems).unwrap();
    (loaded.plan.runtime.shutdown_timeout, loaded.notices)
}

#[test]
fn the_grace_time_of_the_container_bounds_a_stop() {
    for (key, grace, millis) in [
        ("", "", None),
        ("", "10", Some(9000)),
        ("", "30", Some(29_000)),
        ("", "2.5", Some(2250)),
        ("shutdown_timeout = '5s'", "10", Some(5000)),
        ("shutdown_timeout = '50s'", "10", Some(9000)),
        ("shutdown_timeout = '50s'", "", Some(50_000)),
        ("shutdown_timeout = 0", "", None),
    ] {
        let (time, notices) = shutdown_timeout(key, grace);
        assert_eq!(time, millis.map(Duration::from_millis), "{key} {grace}");
        assert_eq!(notices, [""; 0]);
    }
    for grace in ["soon", "-1", "0", "NaN", "inf"] {
        let (time, notices) = shutdown_timeout("", grace);
        assert_eq!(time, None, "{grace}");
        assert!(notices[0].contains(&format!("`{grace}` is not a number of seconds")), "{notices:?}");
    }
}

#[test]
fn every_format_has_dependencies() {
    let toml = b"[[apps]]\nname = 'api'\nscript = 'a.sh'\ndepends_on = ['db', { app = 'job', condition = 'completed' }]\n\
        [[apps]]\nname = 'db'\nscript = 'b.sh'\n[[apps]]\nname = 'job'\nscript = 'c.sh'\noneshot = true\n";
    let json = br#"{"apps":[{"name":"api","script":"a.sh","dependsOn":["db",{"app":"job"}]},
        {"name":"db","script":"b.sh"},{"name":"job","script":"c.sh","oneshot":true}]}"#;
    let yaml = b"apps:\n  - {name: api, script: a.sh, depends_on: [db, {app: job, condition: completed}]}\n\
        \x20 - {name: db, script: b.sh}\n  - {name: job, script: c.sh, oneshot: true}\n";
    for (format, text) in [(Format::Toml, &toml[..]), (Format::Json, &json[..]), (Format::Yaml, &yaml[..])] {
        let loaded = load(format, text).unwrap();
        let depends_on: Vec<String> =
            loaded.plan.apps[0].order.depends_on.iter().map(ToString::to_string).collect();
        assert_eq!(depends_on, ["db (started)", "job (completed)"]);
        assert!(loaded.plan.apps[2].order.oneshot);
    }
}
