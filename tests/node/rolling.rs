//! Reloads of clustered Node applications, by SIGHUP with a changed file, with the real Node.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

use crate::support::{
    self, Bed, Procrun, SIGHUP, SIGTERM, wait_until,
    web::{free_port, get},
};

/// A server that says which version answers. `crash` ends it, `mute` never listens, `late` listens and never says
/// `ready`, and `elsewhere` ends when it listens on another socket. `held` listens when there is the file `go`. `brief`
/// ends when its predecessor is to stop, and that when `brief` is reaped.
const SERVER: &str = r"
const fs = require('fs');
const version = process.env.VERSION;
console.log(`${version} begins as ${process.pid} of ${process.env.pm_id}/${process.env.NODE_APP_INSTANCE}`);
if (version === 'crash') process.exit(7);
if (version === 'elsewhere') {
  require('http').createServer().listen(`${process.cwd()}/elsewhere.sock`, () => process.exit(8));
} else if (version !== 'mute') {
  const server = require('http').createServer((request, response) => response.end(version));
  const listen = () => server.listen(process.env.PORT || 0, () => {
    console.log(`${version} listens on ${server.address().port}`);
    if (version !== 'late') process.send('ready');
    if (version === 'brief') {
      fs.writeFileSync('brief', String(process.pid));
      setInterval(() => fs.existsSync('bye') && process.exit(9), 5);
    }
  });
  const begin = () => version === 'held' && !fs.existsSync('go') ? setTimeout(begin, 5) : listen();
  begin();
} else setInterval(() => {}, 1000);
const end = () => {
  try {
    process.kill(Number(fs.readFileSync('brief', 'utf8')), 0);
    setTimeout(end, 5);
  } catch { process.exit(0); }
};
process.on('SIGINT', () => {
  console.log(`${version} bye`);
  if (version !== 'old') process.exit(0);
  fs.writeFileSync('bye', '');
  end();
});
";

fn ecosystem(version: &str, keys: &str) -> String {
    format!(
        "[[apps]]\nname = \"api\"\nscript = \"app.js\"\ndrain = \"off\"\nenv = {{ VERSION = \"{version}\" }}\n{keys}\n"
    )
}

/// procrun with `app.js` and a file that says `old`; it serves.
fn serve(bed: &Bed, keys: &str, workers: usize) -> (Procrun, u16) {
    bed.file("app.js", SERVER);
    bed.file("ecosystem.toml", ecosystem("old", keys));
    let procrun = bed.start(&["ecosystem.toml", "--log-level", "debug"]);
    let lines = procrun.wait_for_lines("old listens on", workers);
    let port = support::last_number(&lines[0]);
    (procrun, u16::try_from(port).expect("a port"))
}

fn change(bed: &Bed, procrun: &Procrun, version: &str, keys: &str) {
    bed.file("ecosystem.toml", ecosystem(version, keys));
    procrun.signal(SIGHUP);
}

#[test]
fn the_new_code_is_served_and_each_place_keeps_its_names() {
    let bed = Bed::new();
    let keys = "instances = 2\npid_file = \"app.pid\"\nout_file = \"out.log\"\n";
    let (mut procrun, port) = serve(&bed, keys, 2);
    assert_eq!(get(port, "/").unwrap(), "old");
    change(&bed, &procrun, "new", keys);
    procrun.wait_for_err("api is reloaded: 2 processes");
    for _ in 0..10 {
        assert_eq!(get(port, "/").unwrap(), "new");
    }
    for id in [0, 1] {
        let begins = procrun.out().lines_with(&format!("of {id}/{id}"));
        assert_eq!(begins.len(), 2, "both generations have the same names{}", procrun.story());
        assert!(begins.iter().all(|line| line.starts_with(&format!("{id}|api"))), "{begins:?}");
        let log = bed.read(&format!("out-{id}.log"));
        assert!(log.contains("old bye") && log.contains("new listens"), "{log}");
        let pid = bed.read(&format!("app-{id}.pid"));
        let new = begins.iter().find(|line| line.contains("new begins")).unwrap();
        assert!(new.contains(&format!("as {} of", pid.trim())), "{pid} {new}");
    }
    assert_eq!(procrun.wait_for_lines("old bye", 2).len(), 2, "{}", procrun.story());
    assert_eq!(procrun.children().len(), 2);
    procrun.expect_stop();
    assert!(!bed.exists("app-0.pid") && !bed.exists("app-1.pid"));
}

#[test]
fn a_version_that_crashes_is_taken_back() {
    let bed = Bed::new();
    let keys = "instances = 2\npid_file = \"app.pid\"\n";
    let (mut procrun, port) = serve(&bed, keys, 2);
    let pid = bed.read("app-0.pid");
    change(&bed, &procrun, "crash", keys);
    procrun.wait_for_err("the reload of api is aborted: the new api (0) exited: code 7");
    assert_eq!(get(port, "/").unwrap(), "old");
    assert_eq!(bed.read("app-0.pid"), pid);
    // The other stream may be read a moment later.
    procrun.wait_for_line("crash begins");
    assert_eq!(procrun.out().lines_with("crash begins").len(), 1, "{}", procrun.story());
    // The same file tries again, a mended one succeeds.
    procrun.signal(SIGHUP);
    procrun.wait_for_err_lines("is aborted", 2);
    change(&bed, &procrun, "mended", keys);
    procrun.wait_for_err("api is reloaded");
    assert_eq!(get(port, "/").unwrap(), "mended");
    assert_eq!(procrun.err().lines_with("errored").len(), 0, "{}", procrun.story());
    procrun.expect_stop();
}

#[test]
fn a_version_that_never_listens_is_taken_back() {
    let bed = Bed::new();
    let keys = "instances = 1\nlisten_timeout = 500\n";
    let (mut procrun, port) = serve(&bed, keys, 1);
    change(&bed, &procrun, "mute", keys);
    procrun.wait_for_err("the new api (0) did not listen within 500 ms");
    assert_eq!(get(port, "/").unwrap(), "old");
    wait_until("the new one to be gone", || procrun.children().len() == 1);
    procrun.expect_stop();
}

#[test]
fn with_wait_ready_only_the_message_counts() {
    let bed = Bed::new();
    let keys = "instances = 1\nwait_ready = true\nlisten_timeout = 4000\n";
    let (mut procrun, port) = serve(&bed, keys, 1);
    change(&bed, &procrun, "late", keys);
    procrun.wait_for_err("| api (0) is ready after");
    procrun.wait_for_line("late listens");
    procrun.wait_for_err("the new api (0) did not send `ready` within 4.0 s");
    procrun.wait_for_line("late bye");
    wait_until("only the old one to answer", || get(port, "/").unwrap() == "old");
    change(&bed, &procrun, "new", &keys.replace("4000", "\"30s\""));
    procrun.wait_for_err("api is reloaded");
    assert_eq!(get(port, "/").unwrap(), "new");
    procrun.expect_stop();
}

#[test]
fn a_worker_that_never_listens_is_replaced_after_min_uptime() {
    let bed = Bed::new();
    let queue = "console.log(`${process.env.VERSION} works`); setInterval(() => {}, 1000);\n\
        process.on('SIGINT', () => { console.log(`${process.env.VERSION} bye`); process.exit(0); });\n";
    bed.file("app.js", queue);
    let keys = "instances = 2\nmin_uptime = 3000\nmax_parallel = 2\n";
    bed.file("ecosystem.toml", ecosystem("old", keys));
    let mut procrun = bed.start(&["ecosystem.toml"]);
    procrun.wait_for_lines("old works", 2);
    change(&bed, &procrun, "new", keys);
    procrun.wait_for_err("api is reloaded: 2 processes");
    procrun.wait_for_line("old bye");
    let lines: Vec<String> = procrun.out().lines_with("");
    let last_new = lines.iter().rposition(|line| line.contains("new works")).unwrap();
    let first_bye = lines.iter().position(|line| line.contains("old bye")).unwrap();
    assert!(last_new < first_bye, "both came before one went: {lines:?}");
    procrun.expect_stop();
}

#[test]
fn a_fork_is_restarted() {
    let bed = Bed::new();
    let keys = "exec_mode = \"fork\"\n";
    let (mut procrun, _) = serve(&bed, keys, 1);
    change(&bed, &procrun, "new", keys);
    procrun.wait_for_line("new listens");
    let lines = procrun.out().lines_with("");
    let bye = lines.iter().position(|line| line.contains("old bye")).unwrap();
    let new = lines.iter().position(|line| line.contains("new begins")).unwrap();
    assert!(bye < new, "{lines:?}");
    procrun.expect_stop();
}

#[test]
fn changes_in_quick_succession_end_with_the_last_one() {
    let bed = Bed::new();
    let keys = "instances = 2\nlisten_timeout = \"1m\"\n";
    let (mut procrun, port) = serve(&bed, keys, 2);
    for (round, version) in ["held", "two", "three"].into_iter().enumerate() {
        change(&bed, &procrun, version, keys);
        // "reading" is said before the file is read.
        procrun.wait_for_err_lines("api: changed env", round + 1);
    }
    bed.file("go", "");
    // Without a drain, whom a worker is just answering may be cut off; the port is never closed.
    wait_until("the last one to be served", || {
        drop(TcpStream::connect(("127.0.0.1", port)).expect("there is always a listener"));
        procrun.err().lines_with("api is reloaded").len() == 2
    });
    for _ in 0..10 {
        assert_eq!(get(port, "/").unwrap(), "three");
    }
    assert_eq!(procrun.out().lines_with("two begins").len(), 0, "{}", procrun.story());
    procrun.expect_stop();
}

#[test]
fn a_stop_in_the_middle_of_a_reload_ends_all() {
    let bed = Bed::new();
    let keys = "instances = 2\n";
    let (mut procrun, _) = serve(&bed, keys, 2);
    change(&bed, &procrun, "mute", keys);
    procrun.wait_for_line("mute begins");
    procrun.signal(SIGTERM);
    procrun.expect_code(0);
    let said = procrun.err().lines_with("the reload of api is aborted: procrun is stopping");
    assert_eq!(said.len(), 1, "{}", procrun.story());
    assert_eq!(procrun.others(), [0; 0]);
}

#[test]
fn a_reload_under_way_does_not_hinder_a_crash_from_being_mended() {
    let bed = Bed::new();
    let keys = "instances = 1\n";
    let (mut procrun, port) = serve(&bed, keys, 1);
    change(&bed, &procrun, "mute", keys);
    procrun.wait_for_line("mute begins");
    support::send(pid_of(&procrun, "old begins as"), support::SIGKILL);
    procrun.wait_for_lines("old listens", 2);
    assert_eq!(get(port, "/").unwrap(), "old");
    procrun.expect_stop();
}

/// The process id behind `text` in what the workers said.
fn pid_of(procrun: &Procrun, text: &str) -> i32 {
    let line = procrun.wait_for_line(text);
    let rest = line.split_once(text).expect("it has it").1;
    rest.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a process id")
}

#[test]
fn a_fork_that_reports_ready_late_is_reported_and_continues() {
    let bed = Bed::new();
    bed.file("app.js", SERVER);
    bed.file(
        "ecosystem.toml",
        ecosystem("late", "exec_mode = \"fork\"\nwait_ready = true\nlisten_timeout = 300\n"),
    );
    let mut procrun = bed.start(&["ecosystem.toml"]);
    procrun.wait_for_err("api (0) did not send `ready` within 300 ms");
    let port = support::last_number(&procrun.wait_for_line("late listens on"));
    assert_eq!(get(u16::try_from(port).unwrap(), "/").unwrap(), "late");
    procrun.expect_stop();
}

#[test]
fn a_version_that_listens_and_does_not_last_is_not_spread() {
    let bed = Bed::new();
    let keys = "instances = 3\nmin_uptime = \"1m\"\nexp_backoff_restart_delay = \"1m\"\n";
    let (mut procrun, port) = serve(&bed, keys, 3);
    change(&bed, &procrun, "brief", keys);
    let said = procrun.wait_for_err("the reload of api is aborted: api (0) exited: code 9");
    assert!(said.contains("of 3 run the new version, the others keep serving with the old one"), "{said}");
    wait_until("the last one to keep serving", || get(port, "/").is_ok_and(|version| version == "old"));
    assert_eq!(procrun.out().lines_with("of 2/2").len(), 1, "{}", procrun.story());
    procrun.expect_stop();
}

#[test]
fn what_a_version_that_failed_listened_on_is_closed() {
    let bed = Bed::new();
    let keys = "instances = 1\nwait_ready = true\n";
    let (mut procrun, port) = serve(&bed, keys, 1);
    change(&bed, &procrun, "elsewhere", keys);
    procrun.wait_for_err("the reload of api is aborted: the new api (0) exited: code 8");
    wait_until("its socket to be gone", || !bed.exists("elsewhere.sock"));
    assert_eq!(get(port, "/").unwrap(), "old");
    procrun.expect_stop();
}

/// Listens on two sockets, on the second one when there is a file `go`.
const TWO_SOCKETS: &str = r"
const version = process.env.VERSION;
const listen = (at, next) => require('http').createServer((_, response) => response.end(version))
  .listen(at, () => { console.log(`${version} listens on ${at}`); next(); });
listen(0, () => {
  const look = setInterval(() => {
    if (!require('fs').existsSync('go')) return;
    clearInterval(look);
    listen(`${process.cwd()}/second.sock`, () => {});
  }, 10);
});
";

#[test]
fn a_socket_that_the_new_version_opens_later_is_not_closed_meanwhile() {
    let bed = Bed::new();
    bed.file("app.js", TWO_SOCKETS);
    bed.file("go", "");
    bed.file("ecosystem.toml", ecosystem("old", "instances = 1\n"));
    let mut procrun = bed.start(&["ecosystem.toml"]);
    procrun.wait_for_line("second.sock");
    std::fs::remove_file(bed.path("go")).unwrap();
    change(&bed, &procrun, "new", "instances = 1\n");
    procrun.wait_for_err("api is reloaded");
    let mut client =
        UnixStream::connect(bed.path("second.sock")).expect("it is open without anybody behind it");
    write!(client, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    bed.file("go", "");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nnew"), "{answer}");
    procrun.expect_stop();
}

#[test]
fn a_pid_file_with_another_name_is_written_at_the_next_start() {
    let bed = Bed::new();
    let keys = |file: &str| format!("exec_mode = \"fork\"\npid_file = \"{file}\"\n");
    let (mut procrun, _) = serve(&bed, &keys("one.pid"), 1);
    assert!(bed.exists("one.pid"));
    change(&bed, &procrun, "new", &keys("two.pid"));
    procrun.wait_for_line("new listens");
    wait_until("the new file", || {
        bed.read("two.pid").trim() == pid_of(&procrun, "new begins as").to_string()
    });
    assert!(!bed.exists("one.pid"));
    procrun.expect_stop();
}

/// Says `<version> listens` for the app that it is.
const AT_PORT: &str = r"
const { PORT, VERSION } = process.env;
require('http').createServer((_, response) => response.end(VERSION))
  .listen(+PORT, () => console.log(`${VERSION} listens on ${PORT}`));
";

#[test]
fn a_port_that_one_app_has_left_is_free_for_another_at_once() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (one, two, three) = (free(), free(), free());
    let bed = Bed::new();
    bed.file("app.js", AT_PORT);
    let app = |name: &str, version: &str, port: u16| {
        let env = format!("env = {{ VERSION = \"{version}\", PORT = \"{port}\" }}");
        format!("[[apps]]\nname = \"{name}\"\nscript = \"app.js\"\ninstances = 1\ndrain = \"off\"\n{env}\n")
    };
    bed.file("ecosystem.toml", app("first", "old", one) + &app("second", "other", two));
    let mut procrun = bed.start(&["ecosystem.toml"]);
    procrun.wait_for_lines("listens on", 2);
    bed.file("ecosystem.toml", app("first", "new", three) + &app("second", "other", two));
    procrun.signal(SIGHUP);
    procrun.wait_for_err("first is reloaded");
    bed.file("ecosystem.toml", app("first", "new", three) + &app("second", "moved", one));
    procrun.signal(SIGHUP);
    procrun.wait_for_err("second is reloaded");
    assert_eq!((get(three, "/").unwrap(), get(one, "/").unwrap()), ("new".to_owned(), "moved".to_owned()));
    procrun.expect_stop();
}

/// A server that is ready when there is a file `VERSION-ready`, and listens when there is a file
/// `VERSION-listens`.
const PROBED: &str = r"
const fs = require('fs');
const version = process.env.VERSION;
const server = require('http').createServer((request, response) => {
  if (request.url === '/ready') {
    console.log(`${version} is probed`);
    response.statusCode = fs.existsSync(`${version}-ready`) ? 200 : 503;
  }
  response.end(version);
});
const listen = () => (fs.existsSync(`${version}-listens`) ? server.listen(+process.env.PORT) : setTimeout(listen, 20));
console.log(`${version} begins`);
listen();
";

#[test]
fn a_readiness_probe_in_a_reload_is_answered_by_the_new_worker() {
    for balance in ["auto", "shared"] {
        let bed = Bed::new();
        let keys = format!(
            "port = {}\ninstances = 1\nbalance = \"{balance}\"\n[apps.readiness]\nhttp = \"/ready\"\ninterval = \"50ms\"\n",
            free_port()
        );
        bed.file("app.js", PROBED);
        for name in ["old-listens", "old-ready"] {
            bed.file(name, "");
        }
        bed.file("ecosystem.toml", ecosystem("old", &keys));
        let mut procrun = bed.start(&["ecosystem.toml", "--log-level", "debug"]);
        procrun.wait_for_err("api (0) is ready after");
        change(&bed, &procrun, "new", &keys);
        procrun.wait_for_line("new begins");
        procrun.wait_for_err("is not ready yet: GET http://");
        procrun.wait_for_err("/ready: it does not listen yet");
        bed.file("new-listens", "");
        // The old one would say that it is ready.
        procrun.wait_for_err("/ready: answered 503 Service Unavailable: new");
        procrun.wait_for_lines("new is probed", 3);
        assert!(procrun.err().lines_with("api is reloaded").is_empty(), "{}", procrun.story());
        bed.file("new-ready", "");
        procrun.wait_for_err("api is reloaded: 1 process");
        procrun.expect_stop();
    }
}
