//! `listen`: sockets that procrun opens and hands over as systemd does, with real servers of several
//! languages. gunicorn and uvicorn are those of `tests/setup.sh test`. As root.

mod boot;
mod changes;
mod node;
mod protocol;
mod python;
mod runs;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::support::{Bed, DEADLINE, Procrun, text};

/// Reads its sockets as sd_listen_fds(3) does, prints them, and waits.
const PROBE: &str = r#"
import os, signal, socket
if int(os.environ["LISTEN_PID"]) != os.getpid():
    print("not for", os.getpid(), "but for", os.environ["LISTEN_PID"], flush=True)
    raise SystemExit(3)
names = os.environ["LISTEN_FDNAMES"].split(":")
count = int(os.environ["LISTEN_FDS"])
assert len(names) == count
kept = []
for number, name in enumerate(names, 3):
    held = socket.socket(fileno=number)
    kept.append(held)
    at = held.getsockname()
    at = at if isinstance(at, str) else "%s %d" % at[:2]
    kind = "stream" if held.type == socket.SOCK_STREAM else "datagram"
    print(number, name, kind, os.get_blocking(number), os.fstat(number).st_ino, at, flush=True)
first_free = os.dup(0)
print("probed as", os.getuid(), "beyond", first_free, flush=True)
signal.pause()
"#;

/// Serves on descriptor 3 and answers with its process id; it prints its variable `LETTER`. A stop waits only for the
/// current request.
const SERVER: &str = r#"
import os, select, signal, socket
held = socket.socket(fileno=3)
held.setblocking(False)
wake, waker = socket.socketpair()
waker.setblocking(False)
signal.set_wakeup_fd(waker.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
print("up", os.environ.get("LETTER", ""), os.getpid(), flush=True)
while True:
    ready, _, _ = select.select([held, wake], [], [])
    if wake in ready:
        break
    try:
        client, _ = held.accept()
    except BlockingIOError:
        continue
    client.setblocking(True)
    request = client.recv(4096).split(b" ")
    if request[1:2] == [b"/crash"]:
        os._exit(7)
    if request[1:2] == [b"/hold"]:
        print("holding", flush=True)
        while not os.path.exists("go"):
            select.select([], [], [], 0.01)
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n%d" % os.getpid())
    client.close()
"#;

/// A bed with this one app `app` in `app.py`, on a free port.
fn served_by(program: &str, keys: &str) -> Bed {
    let bed = Bed::with(&app(keys));
    bed.file("app.py", program);
    bed
}

fn app(keys: &str) -> String {
    format!("[[apps]]\nname = \"app\"\nscript = \"app.py\"\n{keys}\n")
}

const ANY_PORT: &str = "listen = \"tcp://127.0.0.1:0\"";

fn start(bed: &Bed) -> Procrun {
    bed.start(&["ecosystem.toml"])
}

/// The address on which the app listens, by the log.
#[track_caller]
fn address(run: &Procrun) -> SocketAddr {
    let line = run.wait_for_err("app listens on tcp://");
    let (_, address) = line.split_once("tcp://").expect("it has that");
    address.replace('*', "127.0.0.1").parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

fn request(stream: &mut impl Write, path: &str) -> io::Result<()> {
    // In one piece: a server that reads once has the whole request.
    let request = format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes())
}

/// The body of an answer that is the last on its connection.
fn answer(stream: &mut impl Read) -> io::Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("answered {answer:?}"))),
    }
}

fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = connect(address)?;
    request(&mut stream, path)?;
    answer(&mut stream)
}

/// The lines of a [`PROBE`], one for each socket: number, name, kind, whether it blocks, inode, address.
#[track_caller]
fn probed(run: &Procrun, runs: usize, sockets: usize) -> Vec<Vec<String>> {
    run.wait_for_lines("probed as", runs);
    let lines = run.out().lines();
    let of_sockets = lines.iter().map(|line| text(line)).filter(|line| line.contains(" True "));
    let all: Vec<Vec<String>> = of_sockets.map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    all[all.len() - sockets..].to_vec()
}
