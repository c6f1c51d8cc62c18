//! What becomes of single connections and requests of a worker that drains.

use std::{
    io::{self, BufRead, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::{DEADLINE, SIGINT, last_number, now, send, wait_until, web::Client};

use super::{CLOSES, SERVER, TwoWorkers, scale};

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
        let app = TwoWorkers::new(&SERVER.replacen("return response.end(`${process.pid}`);", &words, 1), "");
        let mut client = app.connect();
        app.drain();
        let answer = client.request("/").unwrap();
        assert_eq!((answer.body, answer.is_last), (app.pid.to_string(), true), "{words}");
        assert!(client.ends());
        app.wait_end("signal SIGINT");
    }
}

#[test]
fn a_connection_without_a_request_is_closed_after_a_second() {
    let app = TwoWorkers::new(SERVER, "");
    let (mut used, begun) = (app.connect(), now());
    app.drain();
    assert!(used.ends());
    assert!(begun.elapsed() >= Duration::from_secs(1), "a request may be on its way");
    app.wait_end("signal SIGINT");
}

#[test]
fn a_drain_waits_for_a_slow_answer() {
    let app = TwoWorkers::new(SERVER, "");
    let mut client = app.connect();
    client.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 1);
    app.drain();
    // A new connection goes to the other worker meanwhile.
    let others = Client::connect(app.port).unwrap().request("/").unwrap().body;
    assert_ne!(others, app.pid.to_string());
    assert!(app.procrun.err().lines_with("no connections left").is_empty());
    app.bed.file("go", "");
    let answer = client.receive().unwrap();
    assert_eq!((answer.body, answer.is_last), (app.pid.to_string(), true));
    app.wait_end("signal SIGINT");
}

#[test]
fn a_request_that_has_arrived_behind_another_one_is_answered() {
    let app = TwoWorkers::new(SERVER, "");
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
        assert!(!client.receive().unwrap().is_last);
        assert_eq!(client.receive().unwrap().body, app.pid.to_string());
        assert!(client.ends());
    }
    app.wait_end("signal SIGINT");
}

#[test]
fn a_request_that_is_still_being_sent_after_its_answer_is_read_to_its_end() {
    let app = TwoWorkers::new(SERVER, "");
    let mut client = app.connect();
    app.drain();
    let chunk = b"5\r\nhello\r\n";
    client
        .stream
        .get_mut()
        .write_all(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    assert!(client.receive().unwrap().is_last);
    client.write(chunk).unwrap();
    client.stream.get_mut().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(client.stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    client.stream.get_mut().set_read_timeout(Some(DEADLINE)).unwrap();
    client.write(chunk).unwrap();
    client.write(b"0\r\n\r\n").unwrap();
    assert!(client.ends());
    app.procrun.wait_for_err_lines("app (1): no connections left", 1);
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
    let app = TwoWorkers::new(&format!("{SERVER}{late}"), "");
    let mut client = app.connect();
    client.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 1);
    app.drain();
    let port = u16::try_from(last_number(&app.procrun.wait_for_line("late"))).unwrap();
    let mut waits = TcpStream::connect(("127.0.0.2", port)).unwrap();
    waits.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    app.bed.file("go", "");
    client.receive().unwrap();
    app.procrun.wait_for_err_lines("app (1): no connections left", 1);
    app.wait_end("signal SIGINT");
    // The connection waits for the next worker.
    waits.set_nonblocking(true).unwrap();
    assert_eq!(waits.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Accepts an upgrade, and then sends back what it receives.
const ECHO: &str = r"
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
  socket.on('data', (bytes) => socket.write(bytes)).on('end', () => socket.end());
});
";

#[test]
fn an_upgraded_connection_lives_until_the_deadline() {
    let app = TwoWorkers::new(&format!("{SERVER}{ECHO}"), "drain = 3000");
    let mut client = app.connect();
    client.send("/", "Connection: Upgrade\r\nUpgrade: echo\r\n").unwrap();
    client.receive().unwrap();
    let begun = now();
    app.drain();
    let mut echo = |text: &str| {
        client.write(text.as_bytes()).unwrap();
        let mut back = vec![0; text.len()];
        client.stream.read_exact(&mut back).map(|()| assert_eq!(back, text.as_bytes()))
    };
    // Longer than any other connection without a request would be left open.
    wait_until("two seconds of messages", || {
        echo("hello").unwrap();
        begun.elapsed() > Duration::from_secs(2)
    });
    assert!(client.ends());
    assert!(begun.elapsed() >= Duration::from_secs(3));
    app.procrun.wait_for_err_lines("app (1): connections still open", 1);
    app.wait_end("signal SIGINT");
}

#[test]
fn a_drain_waits_for_the_end_of_an_upgraded_connection() {
    let app = TwoWorkers::new(&format!("{SERVER}{ECHO}"), "drain = 60000");
    let mut client = app.connect();
    client.send("/", "Connection: Upgrade\r\nUpgrade: echo\r\n").unwrap();
    client.receive().unwrap();
    app.drain();
    drop(client);
    app.procrun.wait_for_err_lines("app (1): no connections left", 1);
    app.wait_end("signal SIGINT");
}

#[test]
fn drain_can_be_off() {
    let app = TwoWorkers::new(SERVER, "drain = \"off\"");
    let mut client = app.connect();
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", app.pid)).unwrap();
    assert!(!arguments.contains("--require"), "{arguments}");
    scale(&app.procrun, &app.bed, 1, &app.keys);
    assert!(client.ends());
    app.wait_end("signal SIGINT");
    assert!(app.procrun.err().lines_with("draining its connections").is_empty());
}

#[test]
fn a_tcp_server_finishes_its_connections() {
    let script = r"
const server = require('net').createServer((socket) => {
  socket.write(`${process.pid}\n`);
  socket.on('error', () => {}).on('data', (bytes) => socket.write(bytes));
});
server.listen(0, () => console.log('listening on', server.address().port));
";
    let app = TwoWorkers::new(script, "drain = 60000");
    let mut others = Vec::new();
    let mut line = String::new();
    while line.trim() != app.pid.to_string() {
        others.push(Client::connect(app.port).unwrap());
        line.clear();
        others.last_mut().unwrap().stream.read_line(&mut line).unwrap();
    }
    let mut client = others.pop().unwrap();
    app.drain();
    client.write(b"still there\n").unwrap();
    line.clear();
    client.stream.read_line(&mut line).unwrap();
    assert_eq!(line, "still there\n");
    assert!(app.procrun.err().lines_with("no connections left").is_empty());
    drop(client);
    app.wait_end("signal SIGINT");
}

#[test]
fn an_application_that_closes_its_server_during_a_drain_exits_by_itself() {
    let app = TwoWorkers::new(&format!("{SERVER}{CLOSES}"), "drain = 60000");
    let mut client = app.connect();
    client.send("/slow", "").unwrap();
    app.procrun.wait_for_lines("asked slowly", 1);
    app.drain();
    send(app.pid, SIGINT);
    app.bed.file("go", "");
    assert_eq!(client.receive().unwrap().body, app.pid.to_string());
    app.wait_end("code 0");
}
