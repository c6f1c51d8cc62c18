//! The supervisor in the background: started by the first command that needs it, and its saved list.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, chown, symlink},
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use super::{Rough, socket, statuses};
use crate::support::{self, Bed, DEADLINE, Procrun, procfs, wait_until, workers};

/// A bed with a script `app.sh` that says what it was given.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.script("app.sh", "#!/bin/sh\necho \"given $GIVEN\"\necho complaint >&2\nexec sleep 1000\n");
    bed
}

/// The start of what stays in the background. While this lives, so does that.
#[track_caller]
fn start(bed: &Bed, args: &[&str]) -> Procrun {
    let mut run = bed.isolated(&[&["start"], args].concat()).env("GIVEN", "first").start();
    run.expect_code(0);
    run
}

fn supervisor_pid(bed: &Bed) -> i32 {
    let pid = &bed.command(&["ping", "--json"]).json()["pid"];
    pid.as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid")
}

#[test]
fn start_brings_up_a_supervisor_that_stays() {
    let bed = bed();
    let run = start(&bed, &["./app.sh", "-i", "2"]);
    assert_eq!(run.out().lines_with("│ online").len(), 2, "{}", run.story());
    assert_eq!(statuses(&bed), ["app online", "app online"]);
    let pid = supervisor_pid(&bed);
    assert_eq!(procfs::process(pid).map(|it| it.state == 'Z'), Some(false));
    let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).unwrap().as_raw();
    assert_eq!(session, pid, "a session of its own");
    for fd in 0..3 {
        let leads = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(leads.to_str(), Some("/dev/null"), "it holds no terminal or pipe of its client");
    }
    wait_until("the log files", || {
        bed.read("home/logs/app-out-0.log") == "given first\n"
            && bed.read("home/logs/app-error-1.log") == "complaint\n"
    });
    assert!(bed.read("home/procrun.log").contains("app (1) is online, pid"));
    let mode = |path: &str| bed.path(path).metadata().unwrap().permissions().mode() & 0o777;
    for directory in ["home", "home/logs"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    let logs = bed.list("home/logs").into_iter().map(|name| format!("logs/{name}"));
    for file in logs.chain(bed.list("home")).filter(|name| name != "logs") {
        assert_eq!(mode(&format!("home/{file}")), 0o600, "{file}");
    }

    // The second one does not start another supervisor.
    let _more = start(&bed, &["./app.sh", "--name", "more"]);
    assert_eq!(supervisor_pid(&bed), pid);
    assert_eq!(statuses(&bed), ["app online", "app online", "more online"]);
    bed.command(&["start", "./app.sh", "--name", "more"]).fails(1, "app `more` already exists");
    let _again = start(&bed, &["./app.sh", "--name", "more", "--force"]);
    assert_eq!(statuses(&bed).last().map(String::as_str), Some("more-1 online"));
    bed.command(&["delete", "more", "more-1"]).ok();
    bed.command(&["stop", "all"]).ok();
    bed.command(&["start", "app"]).ok();
    assert_eq!(statuses(&bed), ["app online", "app online"]);

    assert_eq!(bed.read("home/procrun.pid"), format!("{pid}\n"));
    bed.command(&["kill"]).ok();
    assert!(!procfs::alive(pid) && !bed.exists("home/procrun.pid"));
    bed.command(&["ping"]).fails(69, "procrun start app.js");
    assert!(run.others().is_empty(), "nothing is left");
}

#[test]
fn an_ecosystem_file_can_be_started_again_and_changes() {
    let bed = bed();
    bed.file("ecosystem.toml", "[[apps]]\nname = \"one\"\nscript = \"./app.sh\"\nautorestart = false\n");
    let _run = start(&bed, &["ecosystem.toml"]);
    let pid = || bed.command(&["pid", "one"]).out;
    let before = pid();
    bed.file(
        "ecosystem.toml",
        "[[apps]]\nname = \"one\"\nscript = \"./app.sh\"\nargs = [\"x\"]\n\
         [[apps]]\nname = \"two\"\nscript = \"./app.sh\"\n",
    );
    let _again = start(&bed, &["ecosystem.toml"]);
    assert_eq!(statuses(&bed), ["one online", "two online"]);
    assert_ne!(pid(), before);
    bed.command(&["start", "ecosystem.toml", "--only", "three"]).fails(64, "there is no app `three`");
    bed.file("ecosystem.toml", "[[apps]]\nnaem = 1\n");
    bed.command(&["start", "ecosystem.toml"]).fails(78, "naem");
    assert_eq!(statuses(&bed), ["one online", "two online"]);
}

#[test]
fn an_app_that_cannot_start_is_reported_and_not_kept() {
    let bed = bed();
    bed.command(&["start", "./missing.sh"]).fails(127, "missing.sh");
    assert!(!bed.exists("home"), "no supervisor for nothing");
    let _run = start(&bed, &["./app.sh"]);
    bed.command(&["start", "./missing.sh"]).fails(127, "missing.sh");
    bed.command(&["start", "./app.sh", "--interpreter", "no-such-thing", "--name", "x"])
        .fails(1, "no-such-thing");
    assert_eq!(statuses(&bed), ["app online"]);
    bed.command(&["start", "app", "nobody"]).fails(1, "nobody");
}

#[test]
fn of_two_starts_at_once_one_brings_up_the_supervisor() {
    let bed = bed();
    let runs: Vec<Procrun> = (0..8)
        .map(|number| bed.isolated(&["start", "./app.sh", "--name", &format!("app{number}")]).start())
        .collect();
    let mut kept = Vec::new();
    for mut run in runs {
        run.expect_code(0);
        kept.push(run);
    }
    let mut names = statuses(&bed);
    names.sort();
    let expected: Vec<String> = (0..8).map(|number| format!("app{number} online")).collect();
    assert_eq!(names, expected);
    let log = bed.read("home/procrun.log");
    assert_eq!(log.matches("command: start").count(), 8, "{log}");
}

#[test]
fn an_app_has_the_environment_of_its_caller_until_it_gets_another() {
    let bed = bed();
    let _run = start(&bed, &["./app.sh"]);
    let given = |by: &str, args: &[&str]| {
        let mut run = bed.isolated(args).env("GIVEN", by).start();
        run.expect_code(0);
        run
    };
    let _second = given("second", &["restart", "app"]);
    assert!(bed.command(&["env", "app"]).ok().contains("GIVEN=first\n"));
    let _third = given("third", &["restart", "app", "--update-env"]);
    wait_until("the new environment", || bed.read("home/logs/app-out.log").ends_with("given third\n"));
    let _fourth = given("fourth", &["start", "./app.sh", "--name", "other"]);
    wait_until("its own environment", || bed.read("home/logs/other-out.log") == "given fourth\n");
}

#[test]
fn an_app_that_has_the_new_environment_already_restarts_too() {
    let bed = bed();
    let _run = start(&bed, &["./app.sh"]);
    let _other = start(&bed, &["./app.sh", "--name", "other"]);
    let pids = || bed.command(&["pid", "all"]).ok();
    let mut client = Rough::greeted(&socket(&bed));
    let mut update = |targets: &str| {
        let before = pids();
        client.say(&format!(
            r#"{{"change":{{"targets":["{targets}"],"scope":"restart","environment":{{"PATH":"/usr/bin:/bin"}}}}}}"#
        ));
        while client.hear().get("done").is_none() {}
        let after = pids();
        before.lines().zip(after.lines()).map(|(before, after)| before != after).collect::<Vec<_>>()
    };
    assert_eq!(update("app"), [true, false]);
    assert_eq!(update("app"), [true, false], "nothing is new to it");
    assert_eq!(update("all"), [true, true], "nothing is new to one of them");
    assert_eq!(statuses(&bed), ["app online", "other online"]);
}

#[test]
fn a_saved_list_is_restored_unchanged() {
    let bed = bed();
    let _run = start(&bed, &["./app.sh", "-i", "2"]);
    let _idle = start(&bed, &["./app.sh", "--name", "idle"]);
    bed.command(&["stop", "idle"]).ok();
    bed.command(&["scale", "app", "3"]).ok();
    let said = bed.command(&["save"]).ok();
    assert!(said.contains("saved 2 apps to") && said.contains("home/dump.json"), "{said}");
    assert_eq!(fs::metadata(bed.path("home/dump.json")).unwrap().permissions().mode() & 0o777, 0o600);
    bed.command(&["kill"]).ok();

    let mut back = bed.isolated(&["resurrect"]).env("GIVEN", "other").start();
    back.expect_code(0);
    assert_eq!(statuses(&bed), ["app online", "app online", "app online", "idle stopped"]);
    assert!(bed.command(&["env", "app"]).ok().contains("GIVEN=first\n"));
    bed.command(&["resurrect"]).ok();
    assert_eq!(statuses(&bed).len(), 4, "what is there is not there twice");
    bed.command(&["delete", "all"]).ok();
    bed.command(&["save"]).fails(1, "`procrun save --force`");
    bed.command(&["resurrect"]).ok();
    assert_eq!(statuses(&bed).len(), 4, "what was saved is still there");
    bed.command(&["delete", "all"]).ok();
    assert!(bed.command(&["save", "--force"]).ok().contains("saved 0 apps"));
}

#[test]
fn a_saved_list_that_is_lost_is_replaced_by_the_one_before() {
    let bed = bed();
    let _one = start(&bed, &["./app.sh", "--name", "one"]);
    // What a `save` that was killed has left.
    bed.file("home/dump.json.new", "half");
    bed.command(&["save"]).ok();
    assert!(!bed.exists("home/dump.json.new") && !bed.exists("home/dump.json.bak"));
    let _two = start(&bed, &["./app.sh", "--name", "two"]);
    bed.command(&["save"]).ok();
    bed.command(&["kill"]).ok();
    let whole = bed.read("home/dump.json");
    bed.file("home/dump.json", &whole[..whole.len() / 2]);
    let mut back = bed.isolated(&["resurrect"]).start();
    back.expect_code(0);
    back.wait_for_err("the file is incomplete");
    back.wait_for_err("using the previous saved list: ");
    assert_eq!(statuses(&bed), ["one online"]);
    // A damaged list never takes the place of a good one.
    let before = bed.read("home/dump.json.bak");
    bed.command(&["save"]).ok();
    assert_eq!(bed.read("home/dump.json.bak"), before);
    bed.command(&["kill"]).ok();
    fs::remove_file(bed.path("home/dump.json")).unwrap();
    let mut again = bed.isolated(&["resurrect"]).start();
    again.expect_code(0);
    assert_eq!(statuses(&bed), ["one online"]);
    bed.command(&["kill"]).ok();
}

#[test]
fn a_link_called_pm2_is_pm2() {
    let bed = bed();
    let pm2 = bed.path("pm2");
    symlink(support::binary(), &pm2).unwrap();
    let home = bed.path("pm2home").to_string_lossy().into_owned();
    let begin = |args: &[&str]| bed.launch(args).binary(&pm2).env("PM2_HOME", &home).start();
    let run = |args: &[&str]| begin(args).output();
    // What PM2 itself has there is nothing of procrun's.
    bed.file("pm2home/module_conf.json", "{}");
    let _rpc = std::os::unix::net::UnixListener::bind(bed.path("pm2home/rpc.sock")).unwrap();
    assert_eq!(run(&["jlist"]).ok(), "[]\n");
    assert!(run(&["kill"]).ok().contains("no supervisor is running"));
    let mut started = begin(&["start", "./app.sh", "--name", "api"]);
    started.expect_code(0);
    let list = run(&["jlist"]).json();
    assert_eq!(list[0]["pm2_env"]["pm_out_log_path"], format!("{home}/logs/api-out.log"));
    let pid = run(&["ping", "--json"]).json()["pid"].to_string();
    assert_eq!(bed.read("pm2home/pm2.pid").trim(), pid);
    run(&["save"]).ok();
    run(&["kill"]).ok();
    assert!(!bed.exists("pm2home/pm2.pid"));
    let mut back = begin(&["resurrect"]);
    back.expect_code(0);
    assert_eq!(run(&["jlist"]).json()[0]["name"], "api");
    run(&["kill"]).ok();

    let docker = bed.path("pm2-docker");
    symlink(support::binary(), &docker).unwrap();
    let mut front = bed.launch(&["start", "./app.sh"]).binary(&docker).env("PM2_HOME", &home).start();
    front.wait_for_line("given");
    assert!(run(&["pid"]).ok().trim().parse::<i32>().is_ok());
    front.expect_stop();
}

#[test]
fn null_is_no_log_file_in_the_background_too() {
    let bed = bed();
    bed.file(
        "ecosystem.json",
        r#"{"apps": [
            {"name": "one", "script": "./app.sh", "out_file": "NULL", "error_file": "/dev/null"},
            {"name": "two", "script": "./app.sh", "out_file": "/dev/null", "instances": 2, "log_max_size": "1M"}]}"#,
    );
    let _run = start(&bed, &["ecosystem.json"]);
    wait_until("the other files", || bed.list("home/logs") == ["two-error-1.log", "two-error-2.log"]);
    assert!(!bed.exists("NULL"));
    let list = bed.command(&["jlist"]).json();
    assert_eq!(list[0]["pm2_env"]["pm_out_log_path"], "/dev/null");
    assert_eq!(bed.command(&["logs", "one", "--nostream", "--raw", "--out"]).ok(), "given first\n");
    bed.command(&["kill"]).ok();
}

#[test]
fn a_torn_or_foreign_dump_is_refused_and_starts_nothing() {
    let bed = bed();
    bed.command(&["resurrect"]).fails(78, "`procrun save`");
    let run = start(&bed, &["./app.sh"]);
    bed.command(&["save"]).ok();
    bed.command(&["kill"]).ok();
    drop(run);
    let whole = bed.read("home/dump.json");
    for (text, why) in [
        (&whole[..whole.len() / 2], "the file is incomplete"),
        ("", "the file is incomplete"),
        (r#"[{"name":"pm2's own","pm_id":0}]"#, "this looks like a dump of PM2"),
        (r#"{"name":"of another"}"#, "not a list of `procrun save`"),
        (&whole.replace("\"format\": 1", "\"format\": 2"), "format 2"),
        (&whole.replace("procrun's saved list", "something else"), "dump.json"),
    ] {
        bed.file("home/dump.json", text);
        bed.command(&["resurrect"]).fails(78, why);
    }
    let dump = bed.file("home/dump.json", &whole);
    fs::set_permissions(&dump, fs::Permissions::from_mode(0o664)).unwrap();
    bed.command(&["resurrect"]).fails(78, "other users can write to the file");
    fs::set_permissions(&dump, fs::Permissions::from_mode(0o600)).unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(bed.path("home/dump.json"), Some(65534), None).unwrap();
        bed.command(&["resurrect"]).fails(78, "the file belongs to user 65534");
    }
    bed.command(&["ping"]).fails(69, "no supervisor is running");
}

#[test]
fn supervise_is_for_service_managers() {
    let bed = bed();
    let mut run = bed.isolated(&["supervise"]).start();
    wait_until("the socket", || bed.exists("home/procrun.sock"));
    let _app = start(&bed, &["./app.sh"]);
    run.wait_for_line("0|app | given");
    let mut second = bed.isolated(&["supervise"]).start();
    second.wait_for_err("another supervisor uses the control socket");
    second.expect_code(1);
    run.expect_stop();
}

#[test]
fn a_service_manager_learns_when_commands_are_accepted() {
    for is_abstract in [false, true] {
        let bed = bed();
        let _app = start(&bed, &["./app.sh"]);
        bed.command(&["save"]).ok();
        bed.command(&["kill"]).ok();
        let path = bed.path("notify").to_string_lossy().into_owned();
        let (address, name) = if is_abstract {
            (SocketAddr::from_abstract_name(&path).unwrap(), format!("@{path}"))
        } else {
            (SocketAddr::from_pathname(&path).unwrap(), path)
        };
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut run = bed.isolated(&["supervise"]).env("NOTIFY_SOCKET", &name).start();
        let mut message = [0; 64];
        let length = manager.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1");
        // What systemd does next; it starts no second supervisor.
        bed.command(&["resurrect"]).ok();
        run.wait_for_line("0|app | given first");
        run.expect_stop();
    }
}

#[test]
fn a_service_manager_that_cannot_be_reached_is_reported() {
    let bed = Bed::new();
    let mut run = bed.isolated(&["supervise"]).env("NOTIFY_SOCKET", "/nowhere/notify").start();
    run.wait_for_err("cannot reach the service manager at NOTIFY_SOCKET=/nowhere/notify: No such file");
    wait_until("the socket", || bed.exists("home/procrun.sock"));
    bed.command(&["ping"]).ok();
    run.expect_stop();
}

#[test]
fn an_app_that_is_added_to_a_foreground_survives_reading_its_file_again() {
    let bed = bed();
    bed.file("ecosystem.toml", "[[apps]]\nname = \"main\"\nscript = \"./steady.sh\"\nargs = [\"main\"]\n");
    bed.script("steady.sh", workers::STEADY);
    let run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_line("main up");
    let _added = start(&bed, &["./app.sh", "--name", "added"]);
    run.wait_for_line("1|added | given");
    run.signal(support::SIGHUP);
    run.wait_for_err("no app has changed");
    assert_eq!(statuses(&bed), ["main online", "added online"]);
    bed.command(&["delete", "added"]).ok();
    run.signal(support::SIGHUP);
    run.wait_for_err_lines("no app has changed", 2);
    assert_eq!(statuses(&bed), ["main online"]);
}

#[test]
fn an_app_of_the_file_keeps_its_new_environment_and_leaves_with_the_file() {
    let bed = bed();
    let main = "[[apps]]\nname = \"main\"\nscript = \"./app.sh\"\n";
    let gone = "[[apps]]\nname = \"gone\"\nscript = \"./app.sh\"\n";
    bed.file("ecosystem.toml", format!("{main}{gone}"));
    let run = bed.isolated(&["ecosystem.toml"]).env("GIVEN", "first").pid1().start();
    run.wait_for_line("1|gone | given first");
    let mut update = bed.isolated(&["restart", "all", "--update-env"]).env("GIVEN", "second").start();
    update.expect_code(0);
    run.wait_for_line("1|gone | given second");
    bed.file("ecosystem.toml", main);
    run.signal(support::SIGHUP);
    wait_until("the other app to leave", || statuses(&bed) == ["main online"]);
    assert!(bed.command(&["env", "main"]).ok().contains("GIVEN=second\n"));
    run.signal(support::SIGHUP);
    run.wait_for_err("no app has changed");
}

#[test]
fn a_command_during_a_reload_keeps_the_change_of_the_file() {
    let bed = bed();
    // The second of the new ones waits until it may.
    let node = "const may = () => process.env.VERSION === 'one' || process.env.NODE_APP_INSTANCE === '0'\n\
                || require('fs').existsSync('go');\n\
                const serve = () => may() ? require('http').createServer(() => {}).listen('./web.sock', () => {\n\
                console.log(`serves ${process.env.VERSION}`);\n}) : setTimeout(serve, 10);\nserve();\n";
    bed.file("web.js", node);
    let file = |version: &str| {
        let env = format!("{{ VERSION = \"{version}\" }}");
        let keys = "exec_mode = \"cluster\"\ninstances = 2";
        let apps = format!("[[apps]]\nname = \"web\"\nscript = \"web.js\"\n{keys}\nenv = {env}\n");
        bed.file("ecosystem.toml", &apps);
    };
    file("one");
    let run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_lines("serves one", 2);
    file("two");
    run.signal(support::SIGHUP);
    run.wait_for_line("serves two");
    let _added = start(&bed, &["./app.sh", "--name", "added"]);
    bed.file("go", "");
    run.wait_for_err("web is reloaded");
    bed.command(&["restart", "added"]).ok();
    run.wait_for_err("command: restart added");
    assert_eq!(run.err().lines_with("reloading web").len(), 1, "{}", run.story());
    assert!(bed.command(&["env", "web"]).ok().contains("VERSION=two\n"));
}

/// Deployers replace the link `current` and remove the old release.
#[test]
fn an_app_that_was_started_behind_a_link_finds_the_next_release() {
    let bed = Bed::new();
    for release in ["r1", "r2"] {
        let script = format!("#!/bin/sh\necho this is {release}\nexec sleep 1000\n");
        bed.script(&format!("{release}/app.sh"), script);
    }
    symlink("r1", bed.path("current")).unwrap();
    let mut run = bed.isolated(&["start", "./app.sh"]).after("cd current\nexport PWD").start();
    run.expect_code(0);
    wait_until("the first release", || bed.read("home/logs/app-out.log").contains("this is r1"));
    fs::remove_file(bed.path("current")).unwrap();
    symlink("r2", bed.path("current")).unwrap();
    fs::remove_dir_all(bed.path("r1")).unwrap();
    let mut restart = bed.isolated(&["restart", "app"]).start();
    restart.expect_code(0);
    wait_until("the next release", || bed.read("home/logs/app-out.log").contains("this is r2"));
}
