//! Node on held sockets, alone and in clusters.

use std::{
    collections::HashSet,
    fs,
    net::{SocketAddr, TcpListener},
};

use crate::support::{Bed, SIGHUP, SIGKILL, last_pid, send, wait_until};

use super::{address, app, connect, get, start};

/// A server on descriptor 3, which also uses its IPC channel.
const NODE: &str = r"
const server = require('http').createServer((request, response) => response.end(`${process.pid}`));
server.listen({ fd: 3 }, () => {
  process.send('ready');
  console.log('up', process.env.NODE_CHANNEL_FD, process.env.LISTEN_PID == process.pid, process.pid);
});
server.on('error', (error) => console.log('cannot listen', error.code));
";

#[test]
fn node_listens_on_a_held_socket_beside_its_channel() {
    let bed =
        Bed::with(&app("listen = [\"tcp://127.0.0.1:0\", \"tcp://127.0.0.2:0\"]").replace(".py", ".js"));
    bed.file("app.js", NODE);
    let mut run = bed.start(&["ecosystem.toml", "--log-level", "debug"]);
    let at = address(&run);
    let pid = get(at, "/").unwrap();
    run.wait_for_line(&format!("up undefined true {pid}"));
    run.wait_for_err("app (0) reports that it is ready");
    run.expect_stop();
}

#[test]
fn a_node_cluster_shares_a_held_socket() {
    for balance in ["shared", "round-robin"] {
        let ecosystem = |letter: &str, address: &str| {
            app(&format!(
                "instances = 2\nbalance = \"{balance}\"\nlisten = \"tcp://{address}:0\"\nenv = {{ LETTER = \"{letter}\" }}"
            ))
            .replace(".py", ".js")
        };
        let bed = Bed::with(&ecosystem("a", "127.0.0.1"));
        bed.file("app.js", NODE);
        let mut run = start(&bed);
        let at = address(&run);
        let pids: HashSet<i32> = run.wait_for_lines("up", 2).iter().map(|line| last_pid(line)).collect();
        // A worker that loses the race for a connection must not block until the next one.
        let flags = fs::read_to_string(format!("/proc/{}/fdinfo/3", pids.iter().next().unwrap())).unwrap();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & nix::libc::O_NONBLOCK, 0, "{flags:o}");
        let answers: HashSet<i32> = (0..20).map(|_| get(at, "/").unwrap().parse().unwrap()).collect();
        assert!(!answers.is_empty() && answers.is_subset(&pids), "{answers:?} of {pids:?}");

        // One dies, the other serves, and the next joins it.
        let dying = *pids.iter().next().unwrap();
        send(dying, SIGKILL);
        run.wait_for_lines("up", 3);
        assert_ne!(get(at, "/").unwrap(), dying.to_string());

        // A new version with another address listens there.
        bed.file("ecosystem.toml", ecosystem("b", "127.0.0.2"));
        run.signal(SIGHUP);
        run.wait_for_lines("up", 5);
        let line = run.wait_for_err("app listens on tcp://127.0.0.2");
        let second: SocketAddr = line.split_once("tcp://").unwrap().1.parse().unwrap();
        get(second, "/").unwrap();
        wait_until("the old port to be closed", || connect(at).is_err());
        assert_eq!(run.out().lines_with("cannot listen"), [""; 0]);
        run.expect_stop();
    }
}

#[test]
fn a_node_cluster_has_no_other_descriptors() {
    let bed = Bed::with(&app("instances = 1\nlisten = \"tcp://127.0.0.1:0\"").replace(".py", ".js"));
    bed.file("app.js", NODE.replace("fd: 3", "fd: 4"));
    let mut run = start(&bed);
    run.wait_for_line("cannot listen EINVAL");
    run.expect_stop();
}

#[test]
fn an_address_of_a_failed_version_is_free_again() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (one, two) = (free(), free());
    let ecosystem = |version: &str, addresses: &[SocketAddr]| {
        let listen: Vec<String> = addresses.iter().map(|address| format!("\"tcp://{address}\"")).collect();
        app(&format!(
            "instances = 1\nwait_ready = true\nlisten = [{}]\nenv = {{ VERSION = \"{version}\" }}",
            listen.join(", ")
        ))
        .replace(".py", ".js")
    };
    let bed = Bed::with(&ecosystem("old", &[one]));
    bed.file(
        "app.js",
        "const { VERSION, LISTEN_FDS } = process.env; let left = +LISTEN_FDS;\n\
         const up = () => { if (--left) return; if (VERSION === 'bad') process.exit(7); process.send('ready'); };\n\
         for (let fd = 3; fd < 3 + +LISTEN_FDS; fd++)\n\
           require('http').createServer((_, response) => response.end(VERSION)).listen({ fd }, up);\n",
    );
    let mut run = start(&bed);
    run.wait_for_err("app (0) is ready");
    bed.file("ecosystem.toml", ecosystem("bad", &[one, two]));
    run.signal(SIGHUP);
    run.wait_for_err("the reload of app is aborted: the new app (0) exited: code 7");
    bed.file("ecosystem.toml", ecosystem("new", &[one, two]));
    run.signal(SIGHUP);
    run.wait_for_err("app is reloaded");
    assert_eq!((get(one, "/").unwrap(), get(two, "/").unwrap()), ("new".to_owned(), "new".to_owned()));
    run.expect_stop();
}
