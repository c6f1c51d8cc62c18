//! Requests of many clients while workers are drained: none fails.

use crate::support::{Bed, load::under_load, tool, wait_until};

use super::{CLOSES, SERVER, app, port_of, scale};

#[track_caller]
fn no_request_is_lost(script: &str, keep_alive: bool, balance: &str) {
    let keys = format!("balance = \"{balance}\"");
    let bed = Bed::with_files(&app(3, &keys), &[("app.js", script)]);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 3);
    let load = under_load(port, "/", keep_alive, |_| {
        for round in 1..=4 {
            scale(&procrun, &bed, 1, &keys);
            procrun.wait_for_err_lines("no connections left", round * 2);
            procrun.wait_for_err_lines("exited", round * 2);
            scale(&procrun, &bed, 3, &keys);
            procrun.wait_for_err_lines("listens on", 3 + round * 2);
        }
    });
    assert!(load.errors.is_empty(), "{load:?}{}", procrun.story());
    assert!(!keep_alive || load.closed_by_answer > 0, "{load:?}");
    procrun.expect_stop();
}

#[test]
fn no_request_is_lost_with_keep_alive_and_without_a_handler() {
    no_request_is_lost(SERVER, true, "auto");
}

#[test]
fn no_request_is_lost_with_keep_alive_and_a_handler() {
    no_request_is_lost(&format!("{SERVER}{CLOSES}"), true, "shared");
}

#[test]
fn no_request_is_lost_with_short_connections_and_without_a_handler() {
    no_request_is_lost(SERVER, false, "shared");
}

#[test]
fn no_request_is_lost_with_short_connections_and_a_handler() {
    no_request_is_lost(&format!("{SERVER}{CLOSES}"), false, "auto");
}

#[test]
fn no_request_is_lost_by_round_robin_with_keep_alive() {
    no_request_is_lost(SERVER, true, "round-robin");
}

#[test]
fn no_request_is_lost_by_round_robin_with_short_connections() {
    no_request_is_lost(&format!("{SERVER}{CLOSES}"), false, "round-robin");
}

fn no_request_is_lost_by_reloads(script: &str, keep_alive: bool, balance: &str) {
    let keys = |round: usize| format!("balance = \"{balance}\"\nenv = {{ ROUND = \"{round}\" }}");
    let bed = Bed::with_files(&app(2, &keys(0)), &[("app.js", script)]);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    let load = under_load(port, "/", keep_alive, |_| {
        for round in 1..=RELOADS {
            scale(&procrun, &bed, 2, &keys(round));
            procrun.wait_for_err_lines("app is reloaded: 2 processes", round);
        }
    });
    assert!(load.errors.is_empty(), "{load:?}{}", procrun.story());
    procrun.expect_stop();
}

/// The number of reloads in a row.
const RELOADS: usize = 20;

#[test]
fn no_request_is_lost_by_reloads_with_keep_alive_and_without_a_handler() {
    no_request_is_lost_by_reloads(SERVER, true, "auto");
}

#[test]
fn no_request_is_lost_by_reloads_with_keep_alive_and_a_handler() {
    no_request_is_lost_by_reloads(&format!("{SERVER}{CLOSES}"), true, "round-robin");
}

#[test]
fn no_request_is_lost_by_reloads_with_short_connections_and_without_a_handler() {
    no_request_is_lost_by_reloads(SERVER, false, "auto");
}

#[test]
fn no_request_is_lost_by_reloads_with_short_connections_and_a_handler() {
    no_request_is_lost_by_reloads(&format!("{SERVER}{CLOSES}"), false, "shared");
}

/// Makes a key and a certificate.
fn certify(bed: &Bed) {
    let words = "req -x509 -newkey rsa:2048 -nodes -subj /CN=test -keyout key.pem -out cert.pem";
    let made = tool("openssl", &words.split(' ').collect::<Vec<_>>(), bed.root());
    assert!(made.status.success(), "{made:?}");
}

/// Ends the client that runs on Node, also when a test fails.
struct Stop<'a>(&'a Bed);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.file("stop", "");
    }
}

/// Runs a server and a client on Node. The client prints how many requests failed once the file `stop` exists.
#[track_caller]
fn no_request_is_lost_between(server: &str, client: &str) {
    let keys = "balance = \"auto\"";
    let bed = Bed::with_files(&app(3, keys), &[("app.js", server), ("client.js", client)]);
    certify(&bed);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 3).to_string();
    let said = std::thread::scope(|scope| {
        let (root, port) = (bed.root(), port.as_str());
        let client = scope.spawn(move || tool("node", &["client.js", port], root));
        let stop = Stop(&bed);
        wait_until("the client's first answers", || bed.exists("busy"));
        for round in 1..=3 {
            scale(&procrun, &bed, 1, keys);
            procrun.wait_for_err_lines("no connections left", round * 2);
            scale(&procrun, &bed, 3, keys);
            procrun.wait_for_err_lines("listens on", 3 + round * 2);
        }
        drop(stop);
        client.join().unwrap()
    });
    let (said, errors) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.starts_with("lost 0 of "), "{said}{errors}{}", procrun.story());
    procrun.expect_stop();
}

/// Eight loops of requests: `one(number)` sends one, and `renew(number)` opens a new connection.
const CLIENT: &str = r"
const fs = require('fs');
let [asked, lost] = [0, 0];
const loop = async (number) => {
  while (!fs.existsSync('stop')) {
    await one(number).catch((error) => { lost++; console.error(error); renew(number); });
    if (++asked === 50) fs.writeFileSync('busy', '');
    if (Math.random() < 0.05) renew(number);
  }
};
Promise.all(Array.from({ length: 8 }, (_, number) => loop(number))).then(() => {
  console.log('lost', lost, 'of', asked);
  process.exit(0);
});
";

#[test]
fn no_request_is_lost_over_https() {
    let server = r"
const fs = require('fs');
const options = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') };
const server = require('https').createServer(options, (request, response) => response.end('hello'));
server.listen(0, () => console.log('listening on', server.address().port));
";
    let client = r"
const https = require('https');
const agents = [];
const renew = (number) => {
  if (agents[number]) agents[number].destroy();
  agents[number] = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
};
for (let number = 0; number < 8; number++) renew(number);
const one = (number) => new Promise((done, failed) => {
  https.get({ port: process.argv[2], agent: agents[number] }, (response) => {
    response.on('error', failed).on('end', done).resume();
  }).on('error', failed);
});
";
    no_request_is_lost_between(server, &format!("{client}{CLIENT}"));
}

#[test]
fn no_request_is_lost_over_http2() {
    let server = r"
const server = require('http2').createServer((request, response) => response.end('hello'));
server.listen(0, () => console.log('listening on', server.address().port));
";
    let client = r"
const http2 = require('http2');
const sessions = [];
const renew = (number) => {
  const session = http2.connect(`http://127.0.0.1:${process.argv[2]}`);
  session.on('error', () => {}).on('close', () => { if (sessions[number] === session) sessions[number] = null; });
  if (sessions[number]) sessions[number].close();
  sessions[number] = session;
};
const one = (number) => new Promise((done, failed) => {
  // The server has said that it goes: a client of HTTP/2 asks elsewhere.
  if (!sessions[number] || sessions[number].closed || sessions[number].destroyed) renew(number);
  const stream = sessions[number].request({ ':path': '/' });
  let body = '';
  stream.on('data', (bytes) => (body += bytes)).on('error', (error) => {
    // The server's word that it goes came in between: the request has never been sent.
    if (stream.rstCode !== http2.constants.NGHTTP2_REFUSED_STREAM || body) return failed(error);
    renew(number);
    one(number).then(done, failed);
  });
  stream.on('end', () => (body === 'hello' ? done() : failed(new Error(`got ${body}`))));
});
";
    no_request_is_lost_between(server, &format!("{client}{CLIENT}"));
}
