//! `NOTIFY_SOCKET`, `WATCHDOG=1` and `heartbeat` with the real binary, Node, and systemd's own tool.

use crate::support::{self, Bed, Procrun, SIGHUP, wait_for, wait_until};
use serde_json::Value;

fn start(bed: &Bed) -> Procrun {
    bed.isolated(&["ecosystem.toml"]).system_path().start()
}

/// What `describe` says of the first process.
#[track_caller]
fn described(bed: &Bed) -> Value {
    bed.command(&["describe", "0", "--json"]).json()[0].take()
}

/// An app `main` of this shell script, which stays.
fn shell(keys: &str, script: &str) -> Bed {
    Bed::again(
        &format!("kill_timeout = 500\n{keys}\n"),
        &format!("trap 'exit 0' TERM\n{script}\necho settled\nwhile :; do sleep 0.1; done"),
    )
}

/// Sends this to the worker's socket from Python, with what else is said.
const SAY: &str = "#!/usr/bin/env python3\n\
import os, socket, sys\n\
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
name = os.environ['NOTIFY_SOCKET']\n\
assert name[0] == '@'\n\
s.connect('\\0' + name[1:])\n";

#[test]
fn systemd_notify_from_a_shell_script_satisfies_wait_ready() {
    let bed = shell(
        "wait_ready = true",
        "echo begun\nuntil [ -e go ]; do sleep 0.05; done\nsystemd-notify --ready --status='serves 3 clients'",
    );
    let mut procrun = start(&bed);
    procrun.wait_for_line("begun");
    let before = described(&bed);
    assert_eq!((&before["brief"]["status"], &before["brief"]["ready"]), (&"launching".into(), &false.into()));
    bed.file("go", "");
    procrun.wait_for_err("main (0) is ready after");
    let now = described(&bed);
    assert_eq!((&now["brief"]["status"], &now["brief"]["ready"]), (&"online".into(), &true.into()));
    assert_eq!(
        (&now["status_text"], &now["ready_signals"][0]),
        (&"serves 3 clients".into(), &"ready".into())
    );
    procrun.expect_stop();
}

#[test]
fn a_successor_that_never_reports_ready_aborts_the_reload() {
    let port = support::web::free_port();
    let ecosystem = |ready: &str| {
        format!(
            "[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\nargs = [\"{ready}\"]\nkill_timeout = 500\n\
             wait_ready = true\nlisten_timeout = 2000\nlisten = \"tcp://127.0.0.1:{port}\"\n"
        )
    };
    let bed = Bed::with(&ecosystem("yes"));
    bed.script(
        "main.sh",
        "#!/bin/sh\n[ $1 = no ] || systemd-notify --ready\necho \"settled $1\"\nwhile :; do sleep 0.1; done\n",
    );
    let mut procrun = start(&bed);
    procrun.wait_for_err("main (0) is ready after");
    bed.file("ecosystem.toml", ecosystem("no"));
    procrun.signal(SIGHUP);
    let said = procrun.wait_for_err("the reload of main is aborted");
    assert!(said.contains("did not send `ready` within 2.0 s"), "{said}");
    bed.file("ecosystem.toml", ecosystem("again"));
    procrun.signal(SIGHUP);
    procrun.wait_for_err("main is reloaded: 1 process");
    procrun.expect_stop();
}

#[test]
fn a_shell_without_heartbeats_is_restarted() {
    let bed = shell(
        "heartbeat = \"2s\"",
        "systemd-notify WATCHDOG=1\necho \"every $WATCHDOG_USEC as $WATCHDOG_PID of $$\"\n\
         until [ -e silent ]; do systemd-notify WATCHDOG=1; sleep 0.3; done",
    );
    let mut procrun = start(&bed);
    let said = procrun.wait_for_line("every 2000000 as ");
    let rest = said.split_once(" as ").unwrap().1;
    let (told, own) = rest.split_once(" of ").unwrap();
    assert_eq!(told, own, "its own process id");
    bed.file("silent", "");
    procrun.wait_for_err("main (0) sent no heartbeat for 2.");
    std::fs::remove_file(bed.path("silent")).unwrap();
    procrun.wait_for_lines("every 2000000 as ", 2);
    assert_eq!(described(&bed)["exits"][0]["reason"], "heartbeat");
    procrun.expect_stop();
}

#[test]
fn a_worker_may_report_a_fault_and_that_it_ends() {
    let bed = shell(
        "notify = true",
        "systemd-notify --ready\necho begun\nuntil [ -e stop ]; do sleep 0.05; done\nsystemd-notify STOPPING=1\n\
         until [ -e fault ]; do sleep 0.05; done\nrm fault stop\nsystemd-notify WATCHDOG=trigger\nsleep 1000",
    );
    let mut procrun = start(&bed);
    procrun.wait_for_line("begun");
    wait_until("it to be ready", || described(&bed)["brief"]["ready"] == true);
    bed.file("stop", "");
    wait_until("it not to be ready", || described(&bed)["brief"]["ready"] == false);
    bed.file("fault", "");
    procrun.wait_for_err("main (0) reported a fault of its own (WATCHDOG=trigger)");
    wait_until("it to be ready again", || described(&bed)["brief"]["ready"] == true);
    assert_eq!(described(&bed)["exits"][0]["reason"], "heartbeat");
    procrun.expect_stop();
}

#[test]
fn hostile_messages_do_no_harm_and_keep_no_descriptor() {
    let bed = shell("notify = true", "./say.py");
    bed.script(
        "say.py",
        format!(
            "{SAY}\
             r, w = os.pipe()\n\
             for n in range(300):\n\
             \x20   socket.send_fds(s, [b'FDSTORE=1\\nFDNAME=x'], [w] * 10)\n\
             \x20   s.send(b'STATUS=' + bytes(range(1, 256)) * 4)\n\
             \x20   s.send(b'x' * 100000)\n\
             \x20   s.send(b'WATCHDOG=1\\n' * 300)\n\
             s.send(b'')\n\
             s.send(b'STATUS=sp\\x1b[31mam\\x00 ' + b'y' * 1000)\n"
        ),
    );
    let mut procrun = start(&bed);
    procrun.wait_for_line("settled");
    let says = wait_for("the last word", || {
        described(&bed)["status_text"]
            .as_str()
            .filter(|text| text.starts_with("spam· yyy"))
            .map(str::to_owned)
    });
    assert_eq!(says.chars().count(), 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", procrun.pid())).unwrap().count();
    assert!(open < 60, "{open} descriptors are open");
    procrun.expect_stop();
}

#[test]
fn messages_of_other_users_are_ignored_and_those_of_the_apps_user_are_not() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can be three users.
        return;
    }
    let bed = shell(
        "wait_ready = true\nuser = \"nobody\"",
        "echo \"socket $NOTIFY_SOCKET\"\nuntil [ -e go ]; do sleep 0.05; done\nsystemd-notify --ready",
    );
    bed.script(
        "say.py",
        format!("{SAY}os.setuid(12345)\nfor n in range(50): s.send(b'READY=1\\nSTATUS=lies')\n"),
    );
    let mut procrun = start(&bed);
    let line = procrun.wait_for_line("socket @procrun/");
    let socket = line.split_once("socket ").unwrap().1;
    let said = support::tool("env", &[&format!("NOTIFY_SOCKET={socket}"), "./say.py"], bed.root());
    assert!(said.status.success(), "{said:?}");
    // By its own user after that: what came before has been read when this is heard.
    bed.file("go", "");
    procrun.wait_for_err("main (0) is ready after");
    assert_eq!(described(&bed)["status_text"], Value::Null);
    procrun.expect_stop();
}

#[test]
fn each_run_has_a_socket_of_its_own_that_ends_with_it() {
    let bed = shell("notify = true", "echo \"socket $NOTIFY_SOCKET\"");
    let mut procrun = start(&bed);
    let line = procrun.wait_for_line("socket @procrun/");
    let name = line.split_once("socket ").unwrap().1.to_owned();
    let is_there = |name: &str| {
        std::fs::read_to_string("/proc/net/unix").unwrap().lines().any(|line| line.ends_with(name))
    };
    assert!(is_there(&name));
    support::send(procrun.worker(), support::SIGKILL);
    let lines = procrun.wait_for_lines("socket @procrun/", 2);
    assert!(!is_there(&name), "closed with its run");
    assert!(is_there(lines[1].split_once("socket ").unwrap().1));
    procrun.expect_stop();
}

#[test]
fn only_apps_that_need_one_get_a_notification_socket() {
    let bed = shell("", "echo \"<$NOTIFY_SOCKET$WATCHDOG_USEC$WATCHDOG_PID>\"");
    let mut procrun = bed
        .launch(&["ecosystem.toml"])
        .env("NOTIFY_SOCKET", "/run/of-another-program")
        .env("WATCHDOG_USEC", "1")
        .env("WATCHDOG_PID", "1")
        .start();
    procrun.wait_for_line("<>");
    procrun.expect_stop();
}

/// Hangs when there is a file `hang`, and tells its preloads.
const LOOPS: &str = r"
const { existsSync, rmSync } = require('fs');
console.log(`begins with ${process.execArgv.length} args and ${Object.keys(require.cache).length} modules`);
const look = () => {
  if (!existsSync('hang')) return;
  rmSync('hang');
  console.log('hangs');
  for (;;);
};
// After its first heartbeat.
setTimeout(() => setInterval(look, 20), 400);
";

#[test]
fn a_node_loop_that_hangs_loses_its_heartbeat() {
    for keys in ["", "instances = 2\n"] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"main\"\nscript = \"app.js\"\nkill_timeout = 500\nheartbeat = \"1s\"\n{keys}"
        ));
        bed.file("app.js", LOOPS);
        let mut procrun = start(&bed);
        procrun.wait_for_line("begins with 0 args and 1 modules");
        bed.file("hang", "");
        procrun.wait_for_line("hangs");
        procrun.wait_for_err(" sent no heartbeat for 1.");
        procrun.wait_for_err(": unhealthy, sending SIGINT");
        let begun = if keys.is_empty() { 2 } else { 3 };
        procrun.wait_for_lines("begins with", begun);
        assert_eq!(procrun.err().lines_with(": unhealthy, sending").len(), 1, "{}", procrun.story());
        procrun.expect_stop();
    }
}

#[test]
fn a_heartbeat_keeps_no_worker_alive() {
    let bed = Bed::with(
        "[[apps]]\nname = \"main\"\nscript = \"app.js\"\nautorestart = false\nheartbeat = \"1s\"\n",
    );
    bed.file("app.js", "setTimeout(() => console.log('done'), 1500)");
    let mut procrun = start(&bed);
    procrun.expect_code(0);
    assert_eq!(procrun.out().lines_with("done").len(), 1, "{}", procrun.story());
}
