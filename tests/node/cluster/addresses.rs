//! Addresses that workers listen on: in use, of two families, of two applications, UDP and TLS.

use std::{
    collections::HashSet,
    io,
    net::{TcpListener, TcpStream, UdpSocket},
};

use crate::support::{
    Bed, DEADLINE, SIGHUP, tool,
    web::{fetch, free_port, get, number_after, port_of},
};

use super::{SERVER, app};

#[test]
fn a_port_in_use_is_an_error_of_the_application() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let script = format!(
        "const server = require('http').createServer().listen({port});\n\
         server.on('error', (error) => console.log('error', error.code, error.port));"
    );
    let bed = Bed::with_files(&app("instances = 1\nautorestart = false"), &[("app.js", &script)]);
    let procrun = bed.start_with_debug_log();
    procrun.wait_for_lines(&format!("error EADDRINUSE {port}"), 1);
    procrun.wait_for_err_lines(&format!("app (0) cannot listen on port {port}: Address already in use"), 1);
}

#[test]
fn two_applications_may_listen_on_one_port() {
    let port = free_port();
    let of = |name: &str| {
        format!(
            "[[apps]]\nname = \"{name}\"\nscript = \"app.js\"\ninstances = 1\nenv = {{ PORT = \"{port}\" }}\n"
        )
    };
    let bed = Bed::with_files(&format!("{}{}", of("one"), of("two")), &[("app.js", SERVER)]);
    let mut procrun = bed.start_with_debug_log();
    procrun.wait_for_err_lines("listens on", 2);
    let said = procrun.wait_for_err_lines("connections go to the workers of both", 1);
    assert!(said[0].contains("one") && said[0].contains("two"), "{said:?}");
    let answers: Vec<String> = (0..10).map(|_| get(port, "/").unwrap()).collect();
    for pid in answers.iter().collect::<HashSet<_>>() {
        assert_eq!(answers.iter().filter(|answer| *answer == pid).count(), 5, "{answers:?}");
    }

    // One of them goes, and the other has the port for itself.
    bed.file("ecosystem.toml", of("two"));
    procrun.signal(SIGHUP);
    procrun.wait_for_err_lines("one (0) exited", 1);
    let left: HashSet<String> = (0..4).map(|_| get(port, "/").unwrap()).collect();
    assert_eq!(left.len(), 1);
    assert!(left.iter().all(|pid| answers.contains(pid)));
    procrun.expect_stop();
}

#[test]
fn both_address_families_are_served_or_one_alone() {
    let script = r"
const http = require('http');
const answer = (request, response) => response.end(`${process.pid}`);
const listen = (name, ...where) => {
  const server = http.createServer(answer).listen(...where, () => console.log(name, server.address().port, 'as', process.pid));
};
listen('both', 0);
listen('six', { port: 0, host: '::1', ipv6Only: true });
";
    for balance in ["auto", "round-robin", "shared"] {
        let keys = format!("instances = 2\nbalance = \"{balance}\"");
        let bed = Bed::with_files(&app(&keys), &[("app.js", script)]);
        let mut procrun = bed.start_with_debug_log();
        let port = |name: &str| {
            let lines = procrun.wait_for_lines(&format!("{name} "), 2);
            u16::try_from(number_after(&lines[0], name)).unwrap()
        };
        let reach = |address: &str, port: u16| {
            TcpStream::connect((address, port)).and_then(|mut stream| fetch(&mut stream, "/"))
        };
        let (both, six) = (port("both"), port("six"));
        assert!(reach("127.0.0.1", both).is_ok() && reach("::1", both).is_ok());
        assert!(reach("::1", six).is_ok());
        assert_eq!(reach("127.0.0.1", six).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        procrun.expect_stop();
    }
}

#[test]
fn a_second_procrun_does_not_get_the_port() {
    let bed = Bed::with_files(&app("instances = 1"), &[("app.js", SERVER)]);
    let first = bed.start_with_debug_log();
    let port = port_of(&first, 1);
    let script = SERVER.replace("process.env.PORT || 0", &port.to_string());
    let other = Bed::with_files(&app("instances = 1\nautorestart = false"), &[("app.js", &script)]);
    other.start_with_debug_log().wait_for_err_lines("EADDRINUSE", 1);
}

#[test]
fn a_udp_port_is_shared() {
    let script = r"
const socket = require('dgram').createSocket('udp4');
socket.on('message', (text, from) => socket.send(`${text} ${process.pid}`, from.port, from.address));
socket.bind(0, '127.0.0.1', () => console.log('bound to', socket.address().port));
";
    let bed = Bed::with_files(&app("instances = 2"), &[("app.js", script)]);
    let procrun = bed.start_with_debug_log();
    let lines = procrun.wait_for_lines("bound to", 2);
    let ports: HashSet<i32> = lines.iter().map(|line| number_after(line, "bound to")).collect();
    assert_eq!(ports.len(), 1, "{lines:?}");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = u16::try_from(ports.into_iter().next().unwrap()).unwrap();
    client.send_to(b"hello", ("127.0.0.1", port)).unwrap();
    let mut answer = [0; 64];
    let count = client.recv(&mut answer).unwrap();
    assert!(answer[..count].starts_with(b"hello "));
}

#[test]
fn tls_sessions_go_on_with_another_worker() {
    let script = r"
const fs = require('fs');
const options = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem'), maxVersion: 'TLSv1.2' };
const server = require('https').createServer(options, (q, r) => r.end(`${process.pid}`));
server.listen(0, () => console.log('listening on', server.address().port));
";
    let client = r"
const https = require('https');
let session;
const one = () => new Promise((done, failed) => {
  const request = https.get(
    { port: +process.argv[2], rejectUnauthorized: false, session, agent: false },
    (response) => {
      const reused = response.socket.isSessionReused();
      session = session || response.socket.getSession();
      let body = '';
      response.on('data', (text) => (body += text)).on('end', () => done([body, reused]));
    },
  );
  request.on('error', failed);
});
(async () => {
  const [first, ...others] = [await one(), await one(), await one(), await one()];
  const workers = new Set([first, ...others].map(([pid]) => pid));
  console.log('workers', workers.size, 'reused', others.every(([, reused]) => reused));
})();
";
    let keys = "instances = 2\nbalance = \"round-robin\"";
    let bed = Bed::with_files(&app(keys), &[("app.js", script), ("client.js", client)]);
    let certificate = "req -x509 -newkey rsa:2048 -nodes -subj /CN=test -keyout key.pem -out cert.pem";
    let made = tool("openssl", &certificate.split(' ').collect::<Vec<_>>(), bed.root());
    assert!(made.status.success(), "{made:?}");
    let procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2).to_string();
    let said = tool("node", &["client.js", &port], bed.root());
    assert_eq!(String::from_utf8_lossy(&said.stdout), "workers 2 reused true\n", "{said:?}");
}
