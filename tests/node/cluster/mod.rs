//! procrun as the primary of clustered Node applications, with the real Node.

mod addresses;
mod balance;
mod channel;
mod crashes;
mod unix_sockets;

use std::{collections::HashSet, net::TcpStream};

use crate::support::{
    Bed, SIGHUP,
    web::{Client, get, number_after, port_of},
};

/// A server on a free port that answers with its process id.
const SERVER: &str = r"
const http = require('http');
const server = http.createServer((request, response) => {
  if (request.url === '/crash') process.exit(7);
  response.end(`${process.pid}`);
});
server.listen(process.env.PORT || 0, () => console.log(`listening on ${server.address().port} as ${process.pid}`));
";

fn app(keys: &str) -> String {
    format!("[[apps]]\nname = \"app\"\nscript = \"app.js\"\n{keys}\n")
}

#[test]
fn two_workers_share_a_free_port_by_round_robin() {
    let bed = Bed::with_files(&app("instances = 2\nbalance = \"round-robin\""), &[("app.js", SERVER)]);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    let lines = procrun.wait_for_lines("listening on", 2);
    let pids: HashSet<i32> = lines.iter().map(|line| number_after(line, " as")).collect();
    assert_eq!(pids.len(), 2, "{lines:?}");
    let answers: Vec<String> = (0..10).map(|_| get(port, "/").unwrap()).collect();
    for pid in pids {
        let count = answers.iter().filter(|answer| **answer == pid.to_string()).count();
        assert_eq!(count, 5, "{answers:?}");
    }
    procrun.expect_stop();
}

/// Sends a request on a connection that stays open, and returns which worker has answered.
fn worker_of(stream: &TcpStream) -> String {
    let mut client = Client::of(stream.try_clone().unwrap()).unwrap();
    client.request("/").unwrap().body
}

#[test]
fn a_cluster_changes_no_module_of_an_application() {
    let common =
        "console.log('main', require.main === module, require('cluster').worker.id, process.env.exec_mode);";
    let module =
        "import cluster from 'node:cluster'; console.log('module', cluster.isWorker, cluster.worker.id);";
    let ecosystem = "[[apps]]\nscript = \"common.js\"\ninstances = 1\nautorestart = false\n\
        [[apps]]\nscript = \"module.mjs\"\ninstances = 2\nautorestart = false\n\
        [[apps]]\nscript = \"fork.js\"\nautorestart = false\n";
    let fork = "console.log('fork', require('cluster').isPrimary, process.connected, typeof process.send);";
    let bed = Bed::with_files(ecosystem, &[("common.js", common), ("module.mjs", module), ("fork.js", fork)]);
    let procrun = bed.start_with_debug_log();
    procrun.wait_for_lines("main true 1 cluster_mode", 1);
    procrun.wait_for_lines("module true 1", 1);
    procrun.wait_for_lines("module true 2", 1);
    procrun.wait_for_lines("fork true true function", 1);
    // The channel keeps no plain application alive; a cluster worker waits for its primary's word.
    procrun.wait_for_err_lines("fork (3) exited: code 0", 1);
}

#[test]
fn each_worker_has_its_own_port_for_the_inspector() {
    let script = "console.log('inspect', process.env.NODE_APP_INSTANCE, process.debugPort);\n\
        require('http').createServer().listen(0);";
    // A free port for each of both: nothing is opened on it.
    let keys = "instances = 2\ninterpreter_args = \"--inspect-port=127.0.0.1:9329\"";
    let bed = Bed::with_files(&app(keys), &[("app.js", script)]);
    let mut procrun = bed.start_with_debug_log();
    procrun.wait_for_lines("inspect 0 9329", 1);
    procrun.wait_for_lines("inspect 1 9330", 1);
    procrun.expect_stop();
}

#[test]
fn sighup_changes_the_number_of_workers() {
    let bed = Bed::with_files(&app("instances = 1"), &[("app.js", SERVER)]);
    let procrun = bed.start_with_debug_log();
    let first = number_after(&procrun.wait_for_line("listening on"), " as");
    let port = port_of(&procrun, 1);
    bed.file("ecosystem.toml", app("instances = 3"));
    procrun.signal(SIGHUP);
    assert_eq!(port_of(&procrun, 3), port);
    assert!(procrun.err().lines_with("exited").is_empty(), "the first one goes on");

    bed.file("ecosystem.toml", app("instances = 1"));
    procrun.signal(SIGHUP);
    procrun.wait_for_err_lines("exited", 2);
    assert_eq!(get(port, "/").unwrap(), first.to_string());
}
