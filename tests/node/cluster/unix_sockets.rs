//! Unix sockets of a cluster: files with their modes, and abstract names.

use std::{
    collections::HashSet,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixListener, UnixStream},
        },
    },
};

use crate::support::{
    Bed, wait_until,
    web::{fetch, get, port_of},
};

use super::app;

#[test]
fn an_abstract_socket_is_shared_like_any_other() {
    let script = r"
const server = require('http').createServer((q, r) => r.end(`${process.pid}`));
server.listen(`\0${process.env.NAME}`, () => console.log('listening'));
";
    let name = format!("procrun-test-{}", std::process::id());
    let bed = Bed::with_files(
        &app(&format!("instances = 2\nenv = {{ NAME = \"{name}\" }}")),
        &[("app.js", script)],
    );
    let mut procrun = bed.start_with_debug_log();
    procrun.wait_for_lines("listening", 2);
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let answers: Vec<String> =
        (0..4).map(|_| fetch(&mut UnixStream::connect_addr(&address).unwrap(), "/").unwrap()).collect();
    assert_eq!(answers.iter().collect::<HashSet<_>>().len(), 2, "{answers:?}");
    procrun.expect_stop();
}

#[test]
fn a_socket_in_a_directory_without_permission_is_an_error_of_the_application() {
    let script = r"
const server = require('http').createServer().listen('closed/app.sock');
server.on('error', (error) => console.log('error', error.code));
";
    let bed =
        Bed::with_files(&app("instances = 1\nautorestart = false\nuser = \"nobody\""), &[("app.js", script)]);
    std::fs::create_dir(bed.path("closed")).unwrap();
    std::fs::set_permissions(bed.path("closed"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(bed.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    bed.start_with_debug_log().wait_for_lines("error EACCES", 1);
}

#[test]
fn a_unix_socket_replaces_a_stale_file_and_keeps_its_mode() {
    let script = r"
const server = require('http').createServer((q, r) => r.end(`${process.pid}`));
server.listen('app.sock', () => console.log('listening', server.address()));
";
    for balance in ["auto", "round-robin", "shared"] {
        let keys = format!("instances = 2\nbalance = \"{balance}\"");
        let bed = Bed::with_files(&app(&keys), &[("app.js", script)]);
        let path = bed.path("app.sock");
        drop(UnixListener::bind(&path).unwrap());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o770)).unwrap();
        let mut procrun = bed.start_with_debug_log();
        procrun.wait_for_lines("listening", 2);
        let body = fetch(&mut UnixStream::connect(&path).unwrap(), "/").unwrap();
        assert!(body.parse::<i32>().is_ok(), "{body:?}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o770);
        procrun.expect_stop();
        assert!(!path.exists(), "the file goes with the application");
    }
}

#[test]
fn the_file_of_a_unix_socket_is_removed_when_its_worker_closes_it() {
    let script = r"
const http = require('http');
const other = http.createServer((q, r) => r.end('other'));
other.listen('app.sock', () => console.log('opened'));
const server = http.createServer((q, r) => other.close(() => r.end('closed')));
server.listen(0, () => console.log('listening on', server.address().port));
";
    let bed = Bed::with_files(&app("instances = 1\nexec_mode = \"cluster\""), &[("app.js", script)]);
    let mut procrun = bed.start_with_debug_log();
    procrun.wait_for_line("opened");
    let port = port_of(&procrun, 1);
    assert!(bed.exists("app.sock"));
    assert_eq!(get(port, "/").unwrap(), "closed");
    wait_until("the file to go", || !bed.exists("app.sock"));
    procrun.expect_stop();
}
