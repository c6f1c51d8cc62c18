//! What each command does, and what it says to good and to bad input.

use serde_json::Value;

use super::{APPS, Rough, socket, statuses, supervisor, wait_for_statuses};
use crate::support::{Bed, End, SIGINT, procfs, tool, wait_for, wait_until, workers};

#[test]
fn the_daily_commands_do_what_they_say_as_pid_1_and_elsewhere() {
    for pid1 in [true, false] {
        let bed = Bed::with(APPS);
        let mut run = supervisor(&bed, pid1, 3);
        let pong = bed.command(&["ping"]).ok();
        assert!(pong.starts_with("pong: procrun ") && pong.contains(" 3 processes, "), "{pong}");
        let table = bed.command(&["ls"]).ok();
        let squeezed = table.split_whitespace().collect::<Vec<_>>().join(" ");
        for cell in ["│ id │", "│ api ", "│ jobs ", "│ online │", " fork │"] {
            assert!(squeezed.contains(cell.trim()), "no {cell:?} in {table}");
        }
        let is_uptime =
            |cell: &str| cell.strip_suffix('s').is_some_and(|digits| digits.parse::<u32>().is_ok());
        assert!(squeezed.split(" │ ").any(is_uptime), "no uptime in {table}");
        assert!(!table.contains('\x1b'), "colours are for terminals");

        bed.command(&["stop", "api"]).ok();
        assert_eq!(statuses(&bed), ["api stopped", "api stopped", "worker online"]);
        bed.command(&["start", "1"]).ok();
        assert_eq!(statuses(&bed), ["api stopped", "api online", "worker online"]);
        let said = bed.command(&["restart", "all"]).ok();
        assert!(
            said.contains("worker (2): restarting, sending SIGTERM") && said.contains("worker (2) is online"),
            "{said}"
        );
        assert_eq!(statuses(&bed), ["api online", "api online", "worker online"]);
        let said = bed.command(&["reload", "jobs"]).ok();
        assert!(said.contains("worker is reloaded"), "{said}");
        bed.command(&["scale", "api", "+2"]).ok();
        assert_eq!(statuses(&bed).len(), 5);
        bed.command(&["scale", "api", "1"]).ok();
        assert_eq!(statuses(&bed), ["api online", "worker online"]);
        bed.command(&["scale", "api", "-1"]).ok();
        assert_eq!(statuses(&bed).len(), 2, "never below one");

        let restarts = || bed.command(&["jlist"]).json()[1]["pm2_env"]["restart_time"].as_u64();
        assert!(restarts() >= Some(2));
        bed.command(&["reset", "worker"]).ok();
        assert_eq!(restarts(), Some(0));
        bed.command(&["delete", "api", "2"]).ok();
        assert_eq!(statuses(&bed), Vec::<String>::new());
        assert!(!run.has_ended(), "who deletes the last app by hand does not end procrun");
        assert_eq!(bed.command(&["ls"]).ok().lines().count(), 4, "headings and no row");
        assert_eq!(bed.command(&["jlist"]).ok(), "[]\n");

        bed.command(&["kill"]).ok();
        assert_eq!(run.wait_end(), End::Code(0));
        bed.command(&["ping"]).fails(69, "no supervisor is running");
    }
}

#[test]
fn stopping_the_only_app_by_hand_does_not_end_the_container_and_its_own_end_does() {
    let bed =
        Bed::again("stop_exit_codes = [3]\n", "trap 'exit 3' USR1\necho ready\nwhile :; do sleep 0.05; done");
    let mut run = supervisor(&bed, true, 1);
    run.wait_for_line("ready");
    bed.command(&["stop", "main"]).ok();
    bed.command(&["ping"]).ok();
    assert!(!run.has_ended());
    bed.command(&["start", "main"]).ok();
    run.wait_for_lines("ready", 2);
    bed.command(&["signal", "USR1", "main"]).ok();
    run.expect_code(3);
}

#[test]
fn a_target_is_a_name_an_id_a_namespace_or_all_and_nothing_else() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    let ids = |words: &[&str]| bed.command(&[&["id"], words].concat()).ok();
    assert_eq!(ids(&["api"]), "[ 0, 1 ]\n");
    assert_eq!(ids(&["jobs"]), "[ 2 ]\n");
    assert_eq!(ids(&["2", "0"]), "[ 0, 2 ]\n");
    assert_eq!(ids(&["all"]), "[ 0, 1, 2 ]\n");

    let before = statuses(&bed);
    bed.command(&["stop", "worker", "aip"]).fails(1, "did you mean `api`?");
    bed.command(&["restart", "7"]).fails(1, "the ids are 0-2");
    bed.command(&["scale", "api", "many"]).fails(1, "not a number of instances");
    bed.command(&["scale", "api", "1001"]).fails(1, "instances");
    bed.command(&["env", "nobody"]).fails(1, "nobody");
    assert_eq!(statuses(&bed), before, "a mistake changes nothing");

    bed.command(&["stop"]).fails(64, "needs <NAME|ID|NAMESPACE|all|FILE>");
    bed.command(&["list", "api"]).fails(64, "unexpected argument");
    bed.command(&["list", "--jsno"]).fails(64, "--jsno");
    bed.command(&["signal", "HUPP", "api"]).fails(64, "unknown signal `HUPP`");
    bed.command(&["--json", "list"]).fails(64, "options must come after the command");
}

#[test]
fn an_app_that_was_scaled_to_none_can_be_scaled_again_and_added_again() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, true, 3);
    bed.command(&["scale", "api", "0"]).ok();
    assert_eq!(statuses(&bed), ["worker online"]);
    bed.command(&["scale", "api", "2"]).ok();
    assert_eq!(statuses(&bed).len(), 3);
    bed.command(&["scale", "api", "0"]).ok();
    // What it starts has its environment, and ends with it.
    let mut added = bed.isolated(&["start", "ecosystem.toml"]).start();
    added.expect_code(0);
    assert_eq!(statuses(&bed).iter().filter(|one| *one == "api online").count(), 2);
    bed.command(&["scale", "all", "2"]).fails(1, "`all` means 2 applications");
}

#[test]
fn what_was_stopped_uses_nothing() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    wait_until("figures", || bed.command(&["list", "--json"]).json()["instances"][2]["memory"].is_u64());
    let stopped = bed.command(&["stop", "worker", "--json"]).json();
    assert_eq!(stopped[0]["pid"], Value::Null);
    assert_eq!([&stopped[0]["cpu"], &stopped[0]["memory"]], [&Value::Null; 2], "{stopped}");
}

#[test]
fn a_mistyped_command_is_answered_with_the_right_one() {
    let bed = Bed::with(APPS);
    bed.command(&["lsit"]).fails(127, "did you mean `procrun list`?");
    bed.command(&["resart", "api"]).fails(64, "did you mean `procrun restart`?");
    bed.command(&["other", "api"]).fails(64, "`-- api`");
    bed.command(&["start", "api.sh", "ecosystem.toml"])
        .fails(64, "`api.sh`: no such file, and no such app in the list");
    assert!(bed.command(&["help", "ls"]).ok().contains("Usage: procrun list [OPTIONS]"));
    let _run = supervisor(&bed, false, 3);
    bed.script("api.sh", "#!/bin/sh");
    let script = bed.path("api.sh").display().to_string();
    bed.command(&["restart", "api.sh"]).fails(1, &format!("`procrun start {script}` adds one"));
    bed.command(&["restart", "-a", "worker"]).ok();
}

#[test]
fn a_pattern_names_the_apps_that_match() {
    let app = |name| format!("[[apps]]\nname = \"{name}\"\nscript = \"exec sleep 1000\"\n");
    let bed = Bed::with(&[app("api-1"), app("api-2"), app("web")].concat());
    let _run = supervisor(&bed, false, 3);
    let counts = || {
        let list = bed.command(&["jlist"]).json();
        let count = |one: &Value| one["pm2_env"]["restart_time"].as_u64();
        list.as_array().unwrap().iter().map(count).collect::<Vec<_>>()
    };
    bed.command(&["restart", "/^api-/"]).ok();
    assert_eq!(counts(), [Some(1), Some(1), Some(0)]);
    bed.command(&["reload", "/^WEB$/i"]).ok();
    assert_eq!(counts(), [Some(1), Some(1), Some(1)]);
    assert_eq!(bed.command(&["id", "/^api/", "web"]).ok(), "[ 0, 1, 2 ]\n");
    assert_eq!(bed.command(&["pid", "/2$/"]).ok().lines().count(), 1);
    assert!(bed.command(&["logs", "/^api/", "--nostream", "--raw"]).ok().is_empty());
    bed.command(&["scale", "/api-1/", "2"]).ok();
    bed.command(&["scale", "/api/", "2"]).fails(1, "means 2 applications");
    bed.command(&["stop", "/^(api|w)/"]).ok();
    assert_eq!(statuses(&bed), ["api-1 stopped", "api-2 stopped", "web stopped", "api-1 stopped"]);
    // A directory that is there is no pattern to `start`.
    bed.command(&["start", "/-2/"]).ok();
    assert_eq!(statuses(&bed)[1], "api-2 online");
    bed.command(&["start", "/^x/"]).fails(1, "no app matches the pattern `/^x/`");
    bed.command(&["stop", "/^x/"]).fails(1, "no app matches the pattern `/^x/`");
    bed.command(&["stop", "/^(?!web)/"]).fails(1, "look-around");
    bed.command(&["stop", "/(a{500}){500}/"]).fails(1, "size limit");
    bed.command(&["delete", "/./"]).ok();
    assert!(statuses(&bed).is_empty());
}

#[test]
fn a_command_and_a_file_of_its_name_are_told_apart() {
    let bed = Bed::new();
    bed.script("list", "#!/bin/sh\necho I am a file\nexit 5\n");
    let mut run = bed.isolated(&["./list", "--no-autorestart"]).start();
    run.wait_for_line("I am a file");
    run.expect_code(5);
    assert!(bed.command(&["list"]).ok().contains("namespace"));
    let help = bed.command(&["list", "--help"]).ok();
    assert!(help.contains("Usage: procrun list [OPTIONS]") && help.contains("ls, ps, status"), "{help}");
}

#[test]
fn a_stop_by_command_sends_nodes_signal_to_node_and_sigterm_to_others() {
    let bed = Bed::with(
        "[[apps]]\nname = \"node\"\nscript = \"signals.js\"\n\
         [[apps]]\nname = \"python\"\nscript = \"signals.py\"\n\
         [[apps]]\nname = \"asked\"\nscript = \"signals.py\"\nkill_signal = \"SIGQUIT\"\n",
    );
    bed.file(
        "signals.js",
        "for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => { console.log('node got', s); process.exit(); });\n\
         setInterval(() => {}, 1000); console.log('node up');",
    );
    bed.script("signals.py", workers::SIGNALS);
    let run = supervisor(&bed, false, 3);
    run.wait_for_line("node up");
    run.wait_for_lines("| up", 2);
    bed.command(&["stop", "all"]).ok();
    run.wait_for_line("node got SIGINT");
    run.wait_for_line("python | got 15");
    run.wait_for_line("asked  | got 3");
}

#[test]
fn describe_shows_earlier_exits() {
    let bed = Bed::again("", "exec sleep 1000");
    let _run = supervisor(&bed, false, 1);
    bed.command(&["signal", "KILL", "main"]).ok();
    wait_for_statuses(&bed, &["main online"]);
    wait_until("the end to be known", || bed.command(&["describe", "main"]).ok().contains("SIGKILL"));
    let text = bed.command(&["describe", "main"]).ok();
    for part in ["main (0)", "signal SIGKILL, up ", "restarts            1", "stop signal         SIGTERM"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let json = bed.command(&["show", "0", "--json"]).json();
    assert_eq!(json[0]["exits"][0]["code"], 137);
    assert!(json[0]["open_files"].as_u64() > Some(0), "{json}");
}

#[test]
fn what_restarts_an_app_is_shown() {
    let bed = Bed::again(
        "watch = ['src']\nrestart_delay = '2s'\ncron_restart = '0 3 * * *'\ncron_timezone = 'UTC'\n",
        "exec sleep 1000",
    );
    std::fs::create_dir(bed.path("src")).unwrap();
    let _run = supervisor(&bed, false, 1);
    let text = bed.command(&["describe", "main"]).ok();
    let src = bed.path("src").display().to_string();
    let watched = format!("watch               [{src:?}]");
    for part in
        ["restart_delay       2s", "cron_restart        0 3 * * *", "cron_timezone       UTC", &watched]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // Settings that are the default are not shown; `--json` has the same ones.
    assert!(!text.contains("min_uptime"), "{text}");
    let json = bed.command(&["describe", "main", "--json"]).json();
    assert_eq!((&json[0]["settings"]["restart_delay"], &json[0]["min_uptime"]), (&"2s".into(), &1000.into()));
    assert_eq!(json[0]["settings"].get("min_uptime"), None);
    let env = &bed.command(&["jlist"]).json()[0]["pm2_env"];
    assert_eq!((&env["watch"], &env["restart_delay"]), (&true.into(), &2000.into()), "{env}");
    assert_eq!(env["cron_restart"], "0 3 * * *");
}

#[test]
fn a_new_process_has_no_figures_of_the_one_before() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app.py\"\n");
    bed.script(
        "app.py",
        "#!/usr/bin/env python3\nimport os, time\nis_first = not os.path.exists('again')\n\
         held = b'x' * (200 << 20) if is_first else b''\nopen('again', 'w').close()\nprint('up', flush=True)\n\
         time.sleep(1000)\n",
    );
    let run = supervisor(&bed, false, 1);
    run.wait_for_line("up");
    let memory = || bed.command(&["list", "--json"]).json()["instances"][0]["memory"].as_u64();
    assert!(memory().is_some_and(|memory| memory > 200 << 20), "{}", run.story());
    bed.command(&["restart", "app"]).ok();
    // Within the time for which figures are kept.
    assert!(memory().is_none_or(|memory| memory < 100 << 20), "{}", run.story());
}

#[test]
fn secrets_are_masked_unless_they_are_requested() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    for args in [&["env", "0"][..], &["env", "api", "--json"], &["jlist"], &["describe", "all", "--json"]] {
        let text = bed.command(args).ok();
        assert!(!text.contains("hunter2"), "{args:?}: {text}");
        assert!(text.contains("shown"), "{args:?}: {text}");
    }
    let text = bed.command(&["env", "0", "--reveal"]).ok();
    assert!(text.contains("API_TOKEN=hunter2\n") && text.contains("NODE_APP_INSTANCE=0\n"), "{text}");
}

#[test]
fn the_list_knows_the_version_of_an_app_and_what_pm2_tells_of_it() {
    let bed = Bed::with(
        "[[apps]]\nname = \"api\"\nscript = \"src/main.js\"\ninstances = 2\nexec_mode = \"fork\"\nport = 3000\n\
         increment_var = \"PORT\"\nenv = { NODE_ENV = \"production\" }\ncron_restart = \"0 3 * * *\"\ntreekill = false\n",
    );
    std::fs::create_dir(bed.path("src")).unwrap();
    bed.file("src/main.js", "setInterval(() => {}, 1000);\n");
    bed.file("package.json", r#"{"name": "api", "version": "3.2.1"}"#);
    let _run = supervisor(&bed, false, 2);
    // What is deployed beside a running process is not what it runs.
    bed.file("package.json", r#"{"name": "api", "version": "3.3.0"}"#);
    bed.command(&["restart", "1"]).ok();
    let list = bed.command(&["jlist"]).json();
    let of = |id: usize, key: &str| list[id]["pm2_env"][key].clone();
    assert_eq!((of(0, "version"), of(1, "version")), ("3.2.1".into(), "3.3.0".into()));
    assert_eq!((of(0, "env")["PORT"].clone(), of(1, "env")["PORT"].clone()), ("3000".into(), "3001".into()));
    assert_eq!((of(0, "treekill"), of(0, "merge_logs")), (false.into(), false.into()));
    assert_ne!(of(0, "unique_id"), of(1, "unique_id"));
    assert!(list[0]["pm2_env"].as_object().unwrap().contains_key("node_version"));
    let text = bed.command(&["describe", "1"]).ok();
    for part in [
        "version             3.3.0",
        "NODE_ENV            production",
        "created at          20",
        "next run            20",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(text.contains(&format!("script path         {}", bed.path("src/main.js").display())), "{text}");
}

/// What pm2-prometheus-exporter and the like read.
const EXPORTER: &str = r#"
import json, sys
processes = json.load(sys.stdin)
for process in processes:
    env = process["pm2_env"]
    labels = (process["pm_id"], process["name"], env["exec_mode"], env["status"], env["NODE_APP_INSTANCE"])
    assert isinstance(process["pid"], int) and process["pid"] > 1, process
    assert process["monit"]["memory"] > 0 and process["monit"]["cpu"] >= 0, process
    assert env["pm_uptime"] >= env["created_at"] > 1.6e12, env
    assert env["restart_time"] == 0 and env["unstable_restarts"] == 0, env
    for key in ("pm_exec_path", "pm_out_log_path", "pm_err_log_path", "instances", "namespace", "pm_cwd"):
        assert key in env, key
    print(*labels)
"#;

#[test]
fn jlist_is_read_by_what_was_written_for_pm2() {
    let bed = Bed::with(APPS);
    bed.file("exporter.py", EXPORTER);
    let _run = supervisor(&bed, false, 3);
    // A process whose program has just been loaded has no memory yet.
    let list = wait_for("figures of all", || {
        let list = bed.command(&["jlist"]).json();
        let measured = list.as_array()?.iter().all(|it| it["monit"]["memory"].as_u64() > Some(0));
        measured.then_some(list)
    });
    bed.file("jlist.json", list.to_string());
    let read = tool("sh", &["-c", "python3 exporter.py < jlist.json"], bed.root());
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&read.stderr).into_owned();
    assert_eq!(
        said, "0 api fork_mode online 0\n1 api fork_mode online 1\n2 worker fork_mode online 0\n",
        "{complaint}"
    );
    let pretty = bed.command(&["prettylist"]).ok();
    assert!(pretty.starts_with("[\n  {\n    ") && pretty.contains("\n    name: 'worker',\n"), "{pretty}");
}

#[test]
fn a_process_that_is_gone_uses_nothing() {
    let bed = Bed::new();
    bed.file("ecosystem.toml", APPS);
    let _run = supervisor(&bed, false, 3);
    // In one go, so that the figures are not looked at again.
    let mut client = Rough::greeted(&socket(&bed));
    let mut memory = || {
        let instances = &client.asks(r#""list""#)["overview"]["instances"];
        instances.as_array().unwrap().iter().map(|one| one["memory"].is_u64()).collect::<Vec<_>>()
    };
    assert_eq!(memory(), [true, true, true]);
    bed.command(&["stop", "api"]).ok();
    assert_eq!(memory(), [false, false, true]);
}

#[test]
fn pids_are_those_that_run() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, false, 3);
    let pids = |args: &[&str]| -> Vec<i32> {
        bed.command(args).ok().lines().map(|line| line.parse().unwrap()).collect()
    };
    let mut all = pids(&["pid"]);
    let mut children: Vec<i32> = run.children().into_iter().map(|child| child.pid).collect();
    all.sort_unstable();
    children.sort_unstable();
    assert_eq!(all, children);
    assert_eq!(pids(&["pid", "worker"]).len(), 1);
    bed.command(&["stop", "worker"]).ok();
    assert_eq!(bed.command(&["pid", "worker"]).code, 1, "a script must not go on with nothing");
}

#[test]
fn healthcheck_tells_docker_how_it_is() {
    let bed = Bed::with(
        "[[apps]]\nname = \"web\"\nscript = \"exec sleep 1000\"\n\
         [[apps]]\nname = \"migrate\"\nscript = \"true\"\nautorestart = false\n",
    );
    assert_eq!(bed.command(&["healthcheck"]).code, 1, "no supervisor runs");
    let _run = supervisor(&bed, true, 2);
    wait_for_statuses(&bed, &["web online", "migrate stopped"]);
    bed.command(&["healthcheck"]).ok();
    bed.command(&["healthcheck", "web"]).ok();
    bed.command(&["healthcheck", "migrate"]).fails(1, "migrate (1) is stopped");
    bed.command(&["stop", "web"]).ok();
    bed.command(&["healthcheck"]).fails(1, "no process is online");

    let bed = Bed::again("max_restarts = 2\nexp_backoff_restart_delay = 1\n", "exit 4");
    bed.file("ecosystem.toml", format!("auto_exit = false\n{}", bed.read("ecosystem.toml")));
    let run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_err("errored");
    bed.command(&["healthcheck"]).fails(1, "main (0) is errored");
}

#[test]
fn an_interrupted_reload_command_stops_waiting_and_nothing_else() {
    let bed =
        Bed::again("kill_timeout = \"60s\"\n", "trap 'sleep 1; exit' TERM\nwhile :; do sleep 0.05; done");
    let _run = supervisor(&bed, false, 1);
    let pid = |bed: &Bed| bed.command(&["pid", "main"]).out;
    let before = pid(&bed);
    let mut reload = bed.isolated(&["reload", "main"]).start();
    reload.wait_for_line("sending SIGTERM");
    reload.signal(SIGINT);
    assert_eq!(reload.wait_end(), End::Signal(SIGINT));
    wait_until("another process", || {
        let now = pid(&bed);
        !now.is_empty() && now != before
    });
    wait_for_statuses(&bed, &["main online"]);
}

#[test]
fn a_client_that_evaluates_a_file_can_be_interrupted_and_starts_with_its_own_limits() {
    let bed = Bed::new();
    bed.script(
        "main.sh",
        "#!/bin/sh\necho \"limit $(ulimit -Sn)\"\ntrap 'sleep 1; exit' TERM\nwhile :; do sleep 0.05; done",
    );
    bed.file(
        "ecosystem.config.js",
        "module.exports = { apps: [{ name: 'main', script: './main.sh', kill_timeout: '60s' }] }",
    );
    let mut start = bed.isolated(&["start", "ecosystem.config.js"]).after("ulimit -Sn 200").start();
    start.expect_code(0);
    wait_until("its limit", || {
        bed.command(&["logs", "main", "--nostream", "--raw"]).out.contains("limit 200\n")
    });
    let mut reload = bed.isolated(&["reload", "ecosystem.config.js"]).start();
    reload.wait_for_line("sending SIGTERM");
    reload.signal(SIGINT);
    assert_eq!(reload.wait_end(), End::Signal(SIGINT));
    wait_for_statuses(&bed, &["main online"]);
}

#[test]
fn a_failed_operation_is_reported() {
    let bed = Bed::again("", "exec sleep 1000");
    let _run = supervisor(&bed, false, 1);
    let pid = bed.command(&["pid", "main"]).ok();
    std::fs::remove_file(bed.path("main.sh")).unwrap();
    bed.command(&["restart", "main"]).fails(1, "main.sh does not exist");
    assert!(!procfs::alive(pid.trim().parse().unwrap()));
    bed.command(&["signal", "USR1", "main"]).fails(1, "is not running");
}

#[test]
fn two_commands_at_once_both_get_their_answer() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    let runs: Vec<_> = [["restart", "api"], ["restart", "all"], ["restart", "worker"], ["list", "--json"]]
        .iter()
        .map(|args| bed.isolated(args).start())
        .collect();
    for run in runs {
        let said = run.output();
        assert_eq!(said.code, 0, "{said:?}");
    }
    assert_eq!(statuses(&bed), ["api online", "api online", "worker online"]);
}
