//! A clustered worker that is no longer wanted loses no request, with the real Node.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use crate::support::{
    self, Bed, DEADLINE, Procrun, SIGHUP, SIGINT, SIGTERM, last_number, now, send, tool, wait_until,
};

/// Says who answers; `/slow` waits for the file `go`.
const SERVER: &str = r"
const server = require('http').createServer((request, response) => {
  if (request.url !== '/slow') return response.end(`${process.pid}`);
  console.log('asked slowly');
  const look = setInterval(() => {
    if (!require('fs').existsSync('go')) return;
    clearInterval(look);
    response.end(`${process.pid}`);
  }, 5);
});
server.listen(0, () => console.log('listening on', server.address().port));
";

/// What many applications do when they are asked to end.
const CLOSES: &str = r"
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => server.close((error) => process.exit(error ? 1 : 0)));
}
";

fn app(instances: u32, keys: &str) -> String {
    format!(
        "[[apps]]\nname = \"app\"\nscript = \"app.js\"\ninstances = {instances}\nmin_uptime = 0\n{keys}\n"
    )
}

fn set_up(ecosystem: &str, files: &[(&str, &str)]) -> Bed {
    let bed = Bed::with(ecosystem);
    for (name, text) in files {
        bed.file(name, text);
    }
    bed
}

fn start(bed: &Bed) -> Procrun {
    bed.start(&["ecosystem.toml", "--log-level", "debug"])
}

/// The port, once procrun has reported that this number of workers listens.
#[track_caller]
fn port_of(procrun: &Procrun, workers: usize) -> u16 {
    procrun.wait_for_err_lines("listens on", workers);
    let lines = procrun.wait_for_lines("listening on", workers);
    lines[0].split_whitespace().next_back().and_then(|word| word.parse().ok()).expect("a port")
}

fn scale(procrun: &Procrun, bed: &Bed, instances: u32, keys: &str) {
    bed.file("ecosystem.toml", app(instances, keys));
    procrun.signal(SIGHUP);
}

/// A client's connection.
struct Client {
    stream: BufReader<TcpStream>,
}

struct Answer {
    body: String,
    /// The server says that it is the last one on this connection.
    last: bool,
}

impl Client {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Connects until this worker answers.
    #[track_caller]
    fn of_worker(port: u16, pid: i32) -> Self {
        let mut others = Vec::new();
        for _ in 0..10 {
            let mut client = Self::connect(port).unwrap();
            if client.request("/").unwrap().body == pid.to_string() {
                return client;
            }
            others.push(client);
        }
        panic!("{pid} got none of 10 connections");
    }

    fn send(&mut self, path: &str, headers: &str) -> io::Result<()> {
        let text = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
        self.stream.get_mut().write_all(text.as_bytes())
    }

    fn receive(&mut self) -> io::Result<Answer> {
        let (mut length, mut last) = (0, false);
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().expect("a length");
            }
            last |= line == "connection: close";
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { body: String::from_utf8_lossy(&body).into_owned(), last })
    }

    fn request(&mut self, path: &str) -> io::Result<Answer> {
        self.send(path, "")?;
        self.receive()
    }

    /// Whether the server has closed it; waits for that.
    fn ends(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }
}

struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many requests of many clients failed while `work` was done, and how many answers were the
/// last of their connection though the client had not asked for that.
fn under_load(port: u16, keep_alive: bool, work: impl FnOnce()) -> (usize, usize, usize) {
    let (asked, lost, last) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let one = |client: &mut Option<Client>| -> io::Result<()> {
        let client = match client {
            Some(client) => client,
            none => none.insert(Client::connect(port)?),
        };
        client.send("/", if keep_alive { "" } else { "Connection: close\r\n" })?;
        if client.receive()?.last && keep_alive {
            last.fetch_add(1, Ordering::Relaxed);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (asked, lost, done, one) = (&asked, &lost, &done, &one);
            scope.spawn(move || {
                let mut client = None;
                while !done.load(Ordering::Relaxed) {
                    let result = one(&mut client);
                    let count = asked.fetch_add(1, Ordering::Relaxed);
                    let is_last =
                        result.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::ConnectionAborted);
                    lost.fetch_add(usize::from(result.is_err() && !is_last), Ordering::Relaxed);
                    // Now and then a new one, so that all workers have some.
                    if result.is_err() || !keep_alive || (count + number).is_multiple_of(50) {
                        client = None;
                    }
                }
            });
        }
        // Also when `work` panics.
        let _finish = Finish(&done);
        work();
    });
    (asked.into_inner(), lost.into_inner(), last.into_inner())
}

#[track_caller]
fn nothing_is_lost(script: &str, keep_alive: bool, balance: &str) {
    let keys = format!("balance = \"{balance}\"");
    let bed = set_up(&app(3, &keys), &[("app.js", script)]);
    let mut procrun = start(&bed);
    let port = port_of(&procrun, 3);
    let (asked, lost, last) = under_load(port, keep_alive, || {
        for round in 1..=4 {
            scale(&procrun, &bed, 1, &keys);
            procrun.wait_for_err_lines("has no connections left", round * 2);
            procrun.wait_for_err_lines("ended", round * 2);
            scale(&procrun, &bed, 3, &keys);
            procrun.wait_for_err_lines("listens on", 3 + round * 2);
        }
    });
    assert_eq!(lost, 0, "of {asked}{}", procrun.story());
    assert!(!keep_alive || last > 0, "no connection of {asked} was ended by an answer");
    procrun.expect_stop();
}

#[test]
fn nothing_is_lost_with_keep_alive_and_without_a_handler() {
    nothing_is_lost(SERVER, true, "auto");
}

#[test]
fn nothing_is_lost_with_keep_alive_and_a_handler() {
    nothing_is_lost(&format!("{SERVER}{CLOSES}"), true, "shared");
}

#[test]
fn nothing_is_lost_with_short_connections_and_without_a_handler() {
    nothing_is_lost(SERVER, false, "shared");
}

#[test]
fn nothing_is_lost_with_short_connections_and_a_handler() {
    nothing_is_lost(&format!("{SERVER}{CLOSES}"), false, "auto");
}

#[test]
fn nothing_is_lost_in_turn_with_keep_alive() {
    nothing_is_lost(SERVER, true, "round-robin");
}

#[test]
fn nothing_is_lost_in_turn_with_short_connections() {
    nothing_is_lost(&format!("{SERVER}{CLOSES}"), false, "round-robin");
}

fn nothing_is_lost_by_reloads(script: &str, keep_alive: bool, balance: &str) {
    let keys = |round: usize| format!("balance = \"{balance}\"\nenv = {{ ROUND = \"{round}\" }}");
    let bed = set_up(&app(2, &keys(0)), &[("app.js", script)]);
    let mut procrun = start(&bed);
    let port = port_of(&procrun, 2);
    let (asked, lost, _) = under_load(port, keep_alive, || {
        for round in 1..=RELOADS {
            scale(&procrun, &bed, 2, &keys(round));
            procrun.wait_for_err_lines("app is reloaded: 2 processes", round);
        }
    });
    assert_eq!(lost, 0, "of {asked}{}", procrun.story());
    procrun.expect_stop();
}

/// The number of reloads in a row.
const RELOADS: usize = 20;

#[test]
fn nothing_is_lost_by_reloads_with_keep_alive_and_without_a_handler() {
    nothing_is_lost_by_reloads(SERVER, true, "auto");
}

#[test]
fn nothing_is_lost_by_reloads_with_keep_alive_and_a_handler() {
    nothing_is_lost_by_reloads(&format!("{SERVER}{CLOSES}"), true, "round-robin");
}

#[test]
fn nothing_is_lost_by_reloads_with_short_connections_and_without_a_handler() {
    nothing_is_lost_by_reloads(SERVER, false, "auto");
}

#[test]
fn nothing_is_lost_by_reloads_with_short_connections_and_a_handler() {
    nothing_is_lost_by_reloads(&format!("{SERVER}{CLOSES}"), false, "shared");
}

/// Two workers, of which the second is to go, and a connection to it.
struct Farewell {
    bed: Bed,
    procrun: Procrun,
    port: u16,
    pid: i32,
    keys: String,
}

impl Farewell {
    fn new(script: &str, keys: &str) -> Self {
        // In turn: a connection to a given worker is the first or the second.
        let keys = &format!("balance = \"round-robin\"\n{keys}");
        // After procrun's own script, which has listened before.
        let heard = "process.on('internalMessage', ({ act }) => act === 'drain' && console.log('drains'));";
        let bed = set_up(&app(2, keys), &[("app.js", &format!("{heard}\n{script}"))]);
        let procrun = start(&bed);
        let port = port_of(&procrun, 2);
        let line = procrun.wait_for_err_lines("app (1) is online", 1).remove(0);
        Self { bed, port, pid: support::last_pid(&line), keys: keys.to_owned(), procrun }
    }

    fn connect(&self) -> Client {
        Client::of_worker(self.port, self.pid)
    }

    /// It is asked to finish its connections.
    fn drain(&self) {
        scale(&self.procrun, &self.bed, 1, &self.keys);
        self.procrun.wait_for_err_lines("drains its connections", 1);
        self.procrun.wait_for_lines("drains", 1);
    }

    fn wait_end(&self, how: &str) {
        self.procrun.wait_for_err_lines(&format!("app (1) ended: {how}"), 1);
    }
}

#[test]
fn a_connection_is_ended_by_the_answer_to_its_next_request() {
    let explicit = [
        "response.end(",
        "response.setHeader('Connection', 'keep-alive'); response.end(",
        "response.writeHead(200, { connection: 'keep-alive', 'Content-Length': length }); response.end(",
        "response.writeHead(200, 'OK', ['Connection', 'keep-alive', 'Content-Length', length]); response.end(",
        "response.writeHead(200, [['Set-Cookie', 'a'], ['Connection', 'keep-alive'], ['Set-Cookie', 'b'], ['Content-Length', length]]); response.end(",
        // Not the first time: Node 18 ends the connection of an answer without it.
        "if (globalThis.asked) response.removeHeader('Connection'); globalThis.asked = true; response.end(",
    ];
    for words in explicit {
        let words =
            format!("{{ const length = `${{process.pid}}`.length; {words}`${{process.pid}}`); return; }}");
        let app = Farewell::new(&SERVER.replacen("return response.end(`${process.pid}`);", &words, 1), "");
        let mut client = app.connect();
        app.drain();
        let answer = client.request("/").unwrap();
        assert_eq!((answer.body, answer.last), (app.pid.to_string(), true), "{words}");
        assert!(client.ends());
        app.wait_end("signal SIGINT");
    }
}

#[test]
fn a_connection_without_a_request_is_closed_after_a_while() {
    let app = Farewell::new(SERVER, "");
    let (mut used, begun) = (app.connect(), now());
    app.drain();
    assert!(used.ends());
    assert!(begun.elapsed() >= Duration::from_secs(1), "a request may be on its way");
    app.wait_end("signal SIGINT");
}

#[test]
fn a_slow_answer_is_waited_for() {
    let app = Farewell::new(SERVER, "");
    let mut client = app.connect();
    client.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 1);
    app.drain();
    // Who is new is served by the other one meanwhile.
    let others = Client::connect(app.port).unwrap().request("/").unwrap().body;
    assert_ne!(others, app.pid.to_string());
    assert!(app.procrun.err().lines_with("has no connections left").is_empty());
    app.bed.file("go", "");
    let answer = client.receive().unwrap();
    assert_eq!((answer.body, answer.last), (app.pid.to_string(), true));
    app.wait_end("signal SIGINT");
}

#[test]
fn a_request_that_has_arrived_behind_another_one_is_answered() {
    let app = Farewell::new(SERVER, "");
    let (mut before, mut meanwhile) = (app.connect(), app.connect());
    before.send("/slow", "").unwrap();
    before.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 2);
    app.drain();
    meanwhile.send("/slow", "").unwrap();
    meanwhile.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 4);
    app.bed.file("go", "");
    for client in [&mut before, &mut meanwhile] {
        assert!(!client.receive().unwrap().last);
        assert_eq!(client.receive().unwrap().body, app.pid.to_string());
        assert!(client.ends());
    }
    app.wait_end("signal SIGINT");
}

#[test]
fn a_request_that_is_still_being_sent_after_its_answer_is_read_to_its_end() {
    let app = Farewell::new(SERVER, "");
    let mut client = app.connect();
    app.drain();
    let chunk = b"5\r\nhello\r\n";
    client
        .stream
        .get_mut()
        .write_all(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    assert!(client.receive().unwrap().last);
    client.stream.get_mut().write_all(chunk).unwrap();
    client.stream.get_mut().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(client.stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    client.stream.get_mut().set_read_timeout(Some(DEADLINE)).unwrap();
    client.stream.get_mut().write_all(chunk).unwrap();
    client.stream.get_mut().write_all(b"0\r\n\r\n").unwrap();
    assert!(client.ends());
    app.procrun.wait_for_err_lines("app (1) has no connections left", 1);
    app.wait_end("signal SIGINT");
}

#[test]
fn a_server_that_begins_to_listen_late_gets_no_connection() {
    let late = r"
process.on('internalMessage', ({ act }) => {
  if (act !== 'drain') return;
  const late = require('http').createServer((request, response) => response.end('late'));
  late.listen(0, '127.0.0.2', () => console.log('late', late.address().port));
});
";
    let app = Farewell::new(&format!("{SERVER}{late}"), "");
    let mut client = app.connect();
    client.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 1);
    app.drain();
    let port = u16::try_from(last_number(&app.procrun.wait_for_line("late"))).unwrap();
    let mut waits = TcpStream::connect(("127.0.0.2", port)).unwrap();
    waits.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    app.bed.file("go", "");
    client.receive().unwrap();
    app.procrun.wait_for_err_lines("app (1) has no connections left", 1);
    app.wait_end("signal SIGINT");
    // It is there for the next worker.
    waits.set_nonblocking(true).unwrap();
    assert_eq!(waits.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Answers an upgrade, and then whatever comes.
const ECHO: &str = r"
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
  socket.on('data', (bytes) => socket.write(bytes)).on('end', () => socket.end());
});
";

#[test]
fn an_upgraded_connection_lives_until_the_deadline() {
    let app = Farewell::new(&format!("{SERVER}{ECHO}"), "drain = 3000");
    let mut client = app.connect();
    client.send("/", "Connection: Upgrade\r\nUpgrade: echo\r\n").unwrap();
    client.receive().unwrap();
    let begun = now();
    app.drain();
    let mut echo = |text: &str| {
        client.stream.get_mut().write_all(text.as_bytes()).unwrap();
        let mut back = vec![0; text.len()];
        client.stream.read_exact(&mut back).map(|()| assert_eq!(back, text.as_bytes()))
    };
    // Longer than any other connection without a request would be left open.
    wait_until("two seconds of words", || {
        echo("hello").unwrap();
        begun.elapsed() > Duration::from_secs(2)
    });
    assert!(client.ends());
    assert!(begun.elapsed() >= Duration::from_secs(3));
    app.procrun.wait_for_err_lines("app (1) has not finished its connections", 1);
    app.wait_end("signal SIGINT");
}

#[test]
fn an_upgraded_connection_that_ends_is_waited_for() {
    let app = Farewell::new(&format!("{SERVER}{ECHO}"), "drain = 60000");
    let mut client = app.connect();
    client.send("/", "Connection: Upgrade\r\nUpgrade: echo\r\n").unwrap();
    client.receive().unwrap();
    app.drain();
    drop(client);
    app.procrun.wait_for_err_lines("app (1) has no connections left", 1);
    app.wait_end("signal SIGINT");
}

#[test]
fn drain_can_be_off() {
    let app = Farewell::new(SERVER, "drain = \"off\"");
    let mut client = app.connect();
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", app.pid)).unwrap();
    assert!(!arguments.contains("--require"), "{arguments}");
    scale(&app.procrun, &app.bed, 1, &app.keys);
    assert!(client.ends());
    app.wait_end("signal SIGINT");
    assert!(app.procrun.err().lines_with("drains its connections").is_empty());
}

#[test]
fn a_bare_tcp_server_finishes_what_it_has() {
    let script = r"
const server = require('net').createServer((socket) => {
  socket.write(`${process.pid}\n`);
  socket.on('error', () => {}).on('data', (bytes) => socket.write(bytes));
});
server.listen(0, () => console.log('listening on', server.address().port));
";
    let app = Farewell::new(script, "drain = 60000");
    let mut others = Vec::new();
    let mut line = String::new();
    while line.trim() != app.pid.to_string() {
        others.push(Client::connect(app.port).unwrap());
        line.clear();
        others.last_mut().unwrap().stream.read_line(&mut line).unwrap();
    }
    let mut client = others.pop().unwrap();
    app.drain();
    client.stream.get_mut().write_all(b"still there\n").unwrap();
    line.clear();
    client.stream.read_line(&mut line).unwrap();
    assert_eq!(line, "still there\n");
    assert!(app.procrun.err().lines_with("has no connections left").is_empty());
    drop(client);
    app.wait_end("signal SIGINT");
}

#[test]
fn an_application_that_closes_its_server_while_it_drains_ends_as_it_wants() {
    let app = Farewell::new(&format!("{SERVER}{CLOSES}"), "drain = 60000");
    let mut client = app.connect();
    client.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 1);
    app.drain();
    send(app.pid, SIGINT);
    app.bed.file("go", "");
    assert_eq!(client.receive().unwrap().body, app.pid.to_string());
    app.wait_end("exit 0");
}

/// Makes a key and a certificate for each request.
fn certify(bed: &Bed) {
    let words = "req -x509 -newkey rsa:2048 -nodes -subj /CN=test -keyout key.pem -out cert.pem";
    let made = tool("openssl", &words.split(' ').collect::<Vec<_>>(), bed.root());
    assert!(made.status.success(), "{made:?}");
}

/// Lets the client of Node's end, also when a test fails.
struct Stop<'a>(&'a Bed);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.file("stop", "");
    }
}

/// A server and a client of Node's; the client prints how many requests failed once `stop` is there.
#[track_caller]
fn nothing_is_lost_between(server: &str, client: &str) {
    let keys = "balance = \"auto\"";
    let bed = set_up(&app(3, keys), &[("app.js", server), ("client.js", client)]);
    certify(&bed);
    let mut procrun = start(&bed);
    let port = port_of(&procrun, 3).to_string();
    let said = std::thread::scope(|scope| {
        let (root, port) = (bed.root(), port.as_str());
        let client = scope.spawn(move || tool("node", &["client.js", port], root));
        let stop = Stop(&bed);
        wait_until("the client's first answers", || bed.exists("busy"));
        for round in 1..=3 {
            scale(&procrun, &bed, 1, keys);
            procrun.wait_for_err_lines("has no connections left", round * 2);
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

/// `one(number)` asks once and `renew(number)` forgets the connection; eight at a time.
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
fn nothing_is_lost_over_https() {
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
    nothing_is_lost_between(server, &format!("{client}{CLIENT}"));
}

#[test]
fn nothing_is_lost_over_http2() {
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
    nothing_is_lost_between(server, &format!("{client}{CLIENT}"));
}

#[test]
fn an_application_sees_nothing_of_it() {
    let script = r"
const { fork } = require('child_process');
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (process.argv[2] === 'child') {
  console.log('child', process.execArgv.length);
  process.exit(0);
} else if (!isMainThread) {
  parentPort.postMessage(`hello ${Object.keys(require.cache).length}`);
} else {
  Promise.resolve().then(() => console.log('then a promise'));
  process.nextTick(() => console.log('first a tick'));
  console.log('main', require.main === module, module.parent, process.argv.length, process.execArgv.join());
  console.log('cache', Object.keys(require.cache).length, process.listenerCount('message'));
  process.on('message', (message) => console.log('message', message));
  fork(__filename, ['child']);
  const thread = new Worker(__filename).on('message', (text) => { console.log('thread', text); thread.terminate(); });
  const server = require('http').createServer((request, response) => response.end(`${process.pid}`));
  server.listen(0, () => {
    const { port } = server.address();
    console.log('listening on', port);
    process.on('SIGINT', () => {
      console.log('still', server.listening, server.address().port === port);
      server.close((error) => { console.log('closed', error, server.listening); process.exit(0); });
    });
  });
}
";
    let user = if nix::unistd::geteuid().is_root() { "user = \"nobody\"" } else { "" };
    let keys = format!("interpreter_args = \"--no-warnings\"\n{user}");
    let bed = set_up(&app(2, &keys), &[("app.js", script)]);
    std::fs::set_permissions(bed.path("app.js"), PermissionsExt::from_mode(0o644)).unwrap();
    // The script is for every user, whatever the umask.
    let mut procrun =
        bed.launch(&["ecosystem.toml", "--log-level", "debug"]).system_path().after("umask 077").start();
    procrun.wait_for_lines("main true null 2 --no-warnings", 2);
    procrun.wait_for_lines("cache 1 1", 2);
    procrun.wait_for_lines("child 1", 2);
    procrun.wait_for_lines("thread hello 1", 2);
    let order = procrun.out().lines_with("a tick").len() + procrun.out().lines_with("a promise").len();
    assert_eq!(order, 4);
    port_of(&procrun, 2);
    scale(&procrun, &bed, 1, &keys);
    procrun.wait_for_err_lines("app (1) ended: exit 0", 1);
    procrun.wait_for_lines("still true true", 1);
    procrun.wait_for_lines("closed undefined false", 1);
    assert!(procrun.out().lines_with("message {").is_empty());
    procrun.expect_stop();
}

#[test]
fn the_script_is_there_while_procrun_is() {
    let bed = set_up(&app(1, ""), &[("app.js", SERVER)]);
    let mut procrun = start(&bed);
    port_of(&procrun, 1);
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", procrun.worker())).unwrap();
    let mut words = arguments.split('\0').skip_while(|word| *word != "--require");
    let script = Path::new(words.nth(1).expect("a script")).to_owned();
    assert!(script.exists());

    // The directory is removed: the next worker needs it again.
    std::fs::remove_file(&script).unwrap();
    scale(&procrun, &bed, 2, "");
    procrun.wait_for_lines("listening on", 2);
    assert!(procrun.err().lines_with("ended").is_empty());
    procrun.expect_stop();
    assert!(!script.exists());
    let left = std::fs::read_dir(script.parent().unwrap()).unwrap();
    let of_this = |name: &str| arguments.split(['\0', '/']).any(|part| part == name);
    assert!(!left.flatten().any(|entry| of_this(&entry.file_name().to_string_lossy())));
}

#[test]
fn without_a_place_for_the_script_workers_get_their_signal_at_once() {
    let bed = set_up(&app(2, ""), &[("app.js", SERVER)]);
    let read_only = "for place in /dev/shm /run; do mount -t tmpfs -o ro none $place; done";
    let mut procrun = bed
        .launch(&["ecosystem.toml", "--log-level", "debug"])
        .env("TMPDIR", "/nowhere")
        .own_mounts()
        .after(read_only)
        .start();
    port_of(&procrun, 2);
    let said = procrun.wait_for_err_lines("cannot write the script that drains workers", 1);
    assert!(said[0].contains("/dev/shm: Read-only") && said[0].contains("/nowhere: No such"), "{said:?}");
    scale(&procrun, &bed, 1, "");
    procrun.wait_for_err_lines("app (1) ended: signal SIGINT", 1);
    assert_eq!(procrun.err().lines_with("cannot write the script").len(), 1);
    procrun.expect_stop();
}

#[test]
fn a_worker_that_lies_about_its_connections_is_reported() {
    let script = r"
const say = (act) => process.send({ cmd: 'NODE_PROCRUN', act });
say('drained');
say('drained');
say('fly');
setInterval(() => {}, 1000);
";
    let bed = set_up(&app(1, ""), &[("app.js", script)]);
    let mut procrun = start(&bed);
    procrun.wait_for_err_lines("reported the end of a drain that was not requested", 1);
    procrun.wait_for_err_lines("sent a cluster message that Node does not have", 1);
    assert_eq!(procrun.err().lines_with("reported the end of a drain").len(), 1);
    procrun.signal(SIGTERM);
    procrun.expect_code(0);
}
