//! procrun as the primary of clustered Node applications, with the real Node.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{fs::PermissionsExt, net::UnixListener, net::UnixStream},
    },
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{
    Bed, DEADLINE, Procrun, SIGHUP, SIGKILL, SIGTERM, send, tool, wait_until,
    web::{fetch, free_port, get, number_after, port_of},
};

/// A server on a free port that says who answers.
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

#[test]
fn two_workers_share_a_free_port_in_turn() {
    let bed = set_up(&app("instances = 2\nbalance = \"round-robin\""), &[("app.js", SERVER)]);
    let mut procrun = start(&bed);
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

#[test]
fn workers_that_share_the_socket_take_what_a_busy_one_leaves() {
    let busy = SERVER.replace(
        "if (request.url === '/crash') process.exit(7);",
        "if (request.url === '/hold') { console.log('holding'); while (!require('fs').existsSync('go')); }",
    );
    let bed = set_up(&app("instances = 2\nbalance = \"shared\""), &[("app.js", &busy)]);
    let procrun = start(&bed);
    let port = port_of(&procrun, 2);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| get(port, "/hold").unwrap());
        procrun.wait_for_lines("holding", 1);
        let others: HashSet<String> = (0..5).map(|_| get(port, "/").unwrap()).collect();
        bed.file("go", "");
        let held = held.join().unwrap();
        assert_eq!(others.len(), 1);
        assert!(!others.contains(&held));
    });
}

/// Opens this number of connections one after the other, and returns how many each of the workers has.
fn connections_of(port: u16, count: usize) -> (Vec<TcpStream>, Vec<usize>) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let streams = (0..count).map(|_| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        *counts.entry(worker_of(&mut stream)).or_default() += 1;
        stream
    });
    let streams = streams.collect();
    (streams, counts.into_values().collect())
}

/// Asks on a connection, and says which worker has answered.
fn worker_of(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut more = [0; 1024];
        let length = stream.read(&mut more).unwrap();
        assert_ne!(length, 0, "the connection was closed");
        answer.extend_from_slice(&more[..length]);
    }
    String::from_utf8_lossy(&answer).rsplit("\r\n").next().unwrap().to_owned()
}

/// Tells the clients that it is over, also when a test fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The short connections that a client thread opens at once. How fast single ones arrive depends on what else runs on
/// the machine; four times this number arrive fast on any.
const AT_ONCE: usize = 200;

/// Opens short connections, each with a request, then reads all answers. A worker has ended its connections by then:
/// none of them stays open.
fn short_connections(port: u16) -> io::Result<()> {
    let open = |_| -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        Ok(stream)
    };
    let streams: Vec<TcpStream> = (0..AT_ONCE).map(open).collect::<io::Result<_>>()?;
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    }
    Ok(())
}

/// Makes short connections from four threads until `enough`. None may fail.
#[track_caller]
fn short_connections_until(port: u16, what: &str, enough: impl FnMut() -> bool) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _finish = Finish(&done);
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    short_connections(port).unwrap();
                }
            });
        }
        wait_until(what, enough);
    });
}

const ALONE: &str = "accepts them itself";
const HANDED: &str = "gets its connections from procrun again";

#[test]
fn a_few_connections_that_stay_open_are_spread_evenly_by_default() {
    let bed = set_up(&app("instances = 2"), &[("app.js", SERVER)]);
    let mut procrun = start(&bed);
    let (_streams, counts) = connections_of(port_of(&procrun, 2), 8);
    assert_eq!(counts, [4, 4]);
    procrun.expect_stop();
}

#[test]
fn workers_accept_fast_short_connections_themselves_and_then_share_evenly_again() {
    let bed = set_up(&app("instances = 2\nmin_uptime = 0"), &[("app.js", SERVER)]);
    let mut procrun = start(&bed);
    let port = port_of(&procrun, 2);
    short_connections_until(port, "the workers to accept", || procrun.err().lines_with(ALONE).len() >= 2);
    procrun.wait_for_err_lines(HANDED, 2);
    let (streams, counts) = connections_of(port, 8);
    assert_eq!(counts, [4, 4]);
    drop(streams);

    // A reload in the middle of it loses nothing, and the new workers take over.
    let mut asked = false;
    short_connections_until(port, "the reload", || {
        let told = procrun.err().lines_with(ALONE).len();
        if told >= 4 && !std::mem::replace(&mut asked, true) {
            bed.file("ecosystem.toml", app("instances = 2\nmin_uptime = 0\nenv = { ROUND = \"1\" }"));
            procrun.signal(SIGHUP);
        }
        !procrun.err().lines_with("app is reloaded: 2 processes").is_empty()
    });
    procrun.expect_stop();
    assert!(procrun.err().lines_with("ignored").is_empty(), "{}", procrun.story());
}

#[test]
fn connections_that_arrive_fast_and_stay_open_are_handed_out_all_the_same() {
    let bed = set_up(&app("instances = 2"), &[("app.js", SERVER)]);
    let mut procrun = start(&bed);
    let port = port_of(&procrun, 2);
    // Twice as many as the burst after which the workers are told to accept.
    let mut streams: Vec<TcpStream> =
        (0..850).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for stream in &mut streams {
        *counts.entry(worker_of(stream)).or_default() += 1;
    }
    // A worker that is slow to take its connections is passed over, so a few more or fewer are right.
    assert!(counts.len() == 2 && counts.values().all(|count| (340..=510).contains(count)), "{counts:?}");
    drop(streams);
    procrun.expect_stop();
}

/// Asks from this address of the loopback network.
fn get_from(address: &str, port: u16) -> String {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{address}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    fetch(&mut stream, "/").unwrap()
}

#[test]
fn a_client_stays_with_its_worker_and_gets_it_back_after_a_crash() {
    let bed = set_up(&app("instances = 4\nbalance = \"sticky\"\nmin_uptime = 0"), &[("app.js", SERVER)]);
    let mut procrun = start(&bed);
    let port = port_of(&procrun, 4);
    let all =
        || -> Vec<String> { (1..=20).map(|number| get_from(&format!("127.0.0.{number}"), port)).collect() };
    let first = all();
    assert_eq!(all(), first);
    let workers: HashSet<&String> = first.iter().collect();
    assert!(workers.len() > 1, "{first:?}");

    send(first[0].parse().unwrap(), SIGKILL);
    procrun.wait_for_lines("listening on", 5);
    procrun.wait_for_err_lines("listens on", 5);
    let after = all();
    let next = &after[0];
    for (before, after) in first.iter().zip(&after) {
        assert_eq!(after, if *before == first[0] { next } else { before });
    }
    procrun.expect_stop();
}

#[test]
fn modules_are_what_they_are_without_a_cluster() {
    let common =
        "console.log('main', require.main === module, require('cluster').worker.id, process.env.exec_mode);";
    let module =
        "import cluster from 'node:cluster'; console.log('module', cluster.isWorker, cluster.worker.id);";
    let ecosystem = "[[apps]]\nscript = \"common.js\"\ninstances = 1\nautorestart = false\n\
        [[apps]]\nscript = \"module.mjs\"\ninstances = 2\nautorestart = false\n\
        [[apps]]\nscript = \"fork.js\"\nautorestart = false\n";
    let fork = "console.log('fork', require('cluster').isPrimary, process.connected, typeof process.send);";
    let bed = set_up(ecosystem, &[("common.js", common), ("module.mjs", module), ("fork.js", fork)]);
    let procrun = start(&bed);
    procrun.wait_for_lines("main true 1 cluster_mode", 1);
    procrun.wait_for_lines("module true 1", 1);
    procrun.wait_for_lines("module true 2", 1);
    procrun.wait_for_lines("fork true true function", 1);
    // The channel keeps no plain application alive; a cluster worker waits for its primary's word.
    procrun.wait_for_err_lines("fork (3) ended: exit 0", 1);
}

#[test]
fn a_taken_port_is_an_error_of_the_application() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let script = format!(
        "const server = require('http').createServer().listen({port});\n\
         server.on('error', (error) => console.log('error', error.code, error.port));"
    );
    let bed = set_up(&app("instances = 1\nautorestart = false"), &[("app.js", &script)]);
    let procrun = start(&bed);
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
    let bed = set_up(&format!("{}{}", of("one"), of("two")), &[("app.js", SERVER)]);
    let mut procrun = start(&bed);
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
    procrun.wait_for_err_lines("one (0) ended", 1);
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
        let bed = set_up(&app(&keys), &[("app.js", script)]);
        let mut procrun = start(&bed);
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
fn an_abstract_socket_is_shared_like_any_other() {
    let script = r"
const server = require('http').createServer((q, r) => r.end(`${process.pid}`));
server.listen(`\0${process.env.NAME}`, () => console.log('listening'));
";
    let name = format!("procrun-test-{}", std::process::id());
    let bed = set_up(&app(&format!("instances = 2\nenv = {{ NAME = \"{name}\" }}")), &[("app.js", script)]);
    let mut procrun = start(&bed);
    procrun.wait_for_lines("listening", 2);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let answers: Vec<String> =
        (0..4).map(|_| fetch(&mut UnixStream::connect_addr(&address).unwrap(), "/").unwrap()).collect();
    assert_eq!(answers.iter().collect::<HashSet<_>>().len(), 2, "{answers:?}");
    procrun.expect_stop();
}

#[test]
fn each_worker_has_its_own_port_for_the_inspector() {
    let script = "console.log('inspect', process.env.NODE_APP_INSTANCE, process.debugPort);\n\
        require('http').createServer().listen(0);";
    // A free port for each of both: nothing is opened on it.
    let keys = "instances = 2\ninterpreter_args = \"--inspect-port=127.0.0.1:9329\"";
    let bed = set_up(&app(keys), &[("app.js", script)]);
    let mut procrun = start(&bed);
    procrun.wait_for_lines("inspect 0 9329", 1);
    procrun.wait_for_lines("inspect 1 9330", 1);
    procrun.expect_stop();
}

#[test]
fn a_place_without_the_right_to_it_is_an_error_of_the_application() {
    let script = r"
const server = require('http').createServer().listen('closed/app.sock');
server.on('error', (error) => console.log('error', error.code));
";
    let bed = set_up(&app("instances = 1\nautorestart = false\nuser = \"nobody\""), &[("app.js", script)]);
    std::fs::create_dir(bed.path("closed")).unwrap();
    std::fs::set_permissions(bed.path("closed"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(bed.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    start(&bed).wait_for_lines("error EACCES", 1);
}

#[test]
fn a_second_procrun_does_not_get_the_port() {
    let bed = set_up(&app("instances = 1"), &[("app.js", SERVER)]);
    let first = start(&bed);
    let port = port_of(&first, 1);
    let script = SERVER.replace("process.env.PORT || 0", &port.to_string());
    let other = set_up(&app("instances = 1\nautorestart = false"), &[("app.js", &script)]);
    start(&other).wait_for_err_lines("EADDRINUSE", 1);
}

#[test]
fn a_unix_socket_replaces_a_stale_file_and_keeps_its_mode() {
    let script = r"
const server = require('http').createServer((q, r) => r.end(`${process.pid}`));
server.listen('app.sock', () => console.log('listening', server.address()));
";
    for balance in ["auto", "round-robin", "shared"] {
        let keys = format!("instances = 2\nbalance = \"{balance}\"");
        let bed = set_up(&app(&keys), &[("app.js", script)]);
        let path = bed.path("app.sock");
        drop(UnixListener::bind(&path).unwrap());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o770)).unwrap();
        let mut procrun = start(&bed);
        procrun.wait_for_lines("listening", 2);
        let body = fetch(&mut UnixStream::connect(&path).unwrap(), "/").unwrap();
        assert!(body.parse::<i32>().is_ok(), "{body:?}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o770);
        procrun.expect_stop();
        assert!(!path.exists(), "the file goes with the application");
    }
}

#[test]
fn the_file_of_a_unix_socket_goes_when_its_worker_closes_it() {
    let script = r"
const http = require('http');
const other = http.createServer((q, r) => r.end('other'));
other.listen('app.sock', () => console.log('opened'));
const server = http.createServer((q, r) => other.close(() => r.end('closed')));
server.listen(0, () => console.log('listening on', server.address().port));
";
    let bed = set_up(&app("instances = 1\nexec_mode = \"cluster\""), &[("app.js", script)]);
    let mut procrun = start(&bed);
    procrun.wait_for_line("opened");
    let port = port_of(&procrun, 1);
    assert!(bed.exists("app.sock"));
    assert_eq!(get(port, "/").unwrap(), "closed");
    wait_until("the file to go", || !bed.exists("app.sock"));
    procrun.expect_stop();
}

#[test]
fn a_udp_port_is_shared() {
    let script = r"
const socket = require('dgram').createSocket('udp4');
socket.on('message', (text, from) => socket.send(`${text} ${process.pid}`, from.port, from.address));
socket.bind(0, '127.0.0.1', () => console.log('bound to', socket.address().port));
";
    let bed = set_up(&app("instances = 2"), &[("app.js", script)]);
    let procrun = start(&bed);
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
    let bed = set_up(&app(keys), &[("app.js", script), ("client.js", client)]);
    let certificate = "req -x509 -newkey rsa:2048 -nodes -subj /CN=test -keyout key.pem -out cert.pem";
    let made = tool("openssl", &certificate.split(' ').collect::<Vec<_>>(), bed.root());
    assert!(made.status.success(), "{made:?}");
    let procrun = start(&bed);
    let port = port_of(&procrun, 2).to_string();
    let said = tool("node", &["client.js", &port], bed.root());
    assert_eq!(String::from_utf8_lossy(&said.stdout), "workers 2 reused true\n", "{said:?}");
}

#[test]
fn a_crash_never_closes_the_port() {
    for balance in ["auto", "round-robin", "shared"] {
        let keys = format!("instances = 1\nbalance = \"{balance}\"\nmin_uptime = 0");
        let bed = set_up(&app(&keys), &[("app.js", SERVER)]);
        let procrun = start(&bed);
        let port = port_of(&procrun, 1);
        let mut last = 0;
        for round in 1..=3 {
            procrun.wait_for_lines("listening on", round);
            let pid: i32 = get(port, "/").unwrap().parse().unwrap();
            assert_ne!(pid, last);
            last = pid;
            send(pid, SIGKILL);
            // There is no worker at the moment: this waits for the next one.
            let next: i32 = get(port, "/").unwrap().parse().unwrap();
            assert_ne!(next, pid);
        }
    }
}

#[test]
fn connections_survive_a_crash_under_load() {
    let bed = set_up(&app("instances = 2\nbalance = \"round-robin\"\nmin_uptime = 0"), &[("app.js", SERVER)]);
    let procrun = start(&bed);
    let port = port_of(&procrun, 2);
    let mut refused = 0;
    let mut crashes = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let asked = (0..100).map(|_| get(port, "/"));
                    asked.filter(|answer| answer.as_ref().is_err_and(is_refused)).count()
                })
            })
            .collect();
        for _ in 0..4 {
            // What was on its way to the same worker may be cut off, but no port is closed.
            crashes += usize::from(get(port, "/crash").is_err());
        }
        refused += clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>();
    });
    assert_eq!((refused, crashes), (0, 4));
    procrun.wait_for_err_lines("ended: exit 7", 4);
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

#[test]
fn more_instances_are_a_matter_of_sighup() {
    let bed = set_up(&app("instances = 1"), &[("app.js", SERVER)]);
    let procrun = start(&bed);
    let first = number_after(&procrun.wait_for_line("listening on"), " as");
    let port = port_of(&procrun, 1);
    bed.file("ecosystem.toml", app("instances = 3"));
    procrun.signal(SIGHUP);
    assert_eq!(port_of(&procrun, 3), port);
    assert!(procrun.err().lines_with("ended").is_empty(), "the first one goes on");

    bed.file("ecosystem.toml", app("instances = 1"));
    procrun.signal(SIGHUP);
    procrun.wait_for_err_lines("ended", 2);
    assert_eq!(get(port, "/").unwrap(), first.to_string());
}

#[test]
fn a_refused_connection_goes_to_another_worker_and_then_ends() {
    let script = SERVER.replace("server.listen(", "server.maxConnections = 1; server.listen(");
    let bed = set_up(&app("instances = 2\nbalance = \"round-robin\""), &[("app.js", &script)]);
    let procrun = start(&bed);
    let port = port_of(&procrun, 2);
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut kept = Vec::new();
    let pids: HashSet<String> = (0..2)
        .map(|_| {
            let mut stream = connect();
            let pid = request(&mut stream);
            kept.push(stream);
            pid
        })
        .collect();
    assert_eq!(pids.len(), 2, "the second did not fit in the first worker");
    let mut third = connect();
    third.set_read_timeout(Some(DEADLINE)).unwrap();
    let end = third.read(&mut [0; 16]);
    assert!(matches!(end, Ok(0)), "no worker accepts it: {end:?}");
}

/// Asks on a connection that stays open.
fn request(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..count]).rsplit("\r\n").next().unwrap().to_owned()
}

#[test]
fn a_hostile_worker_is_cut_off_and_affects_no_other() {
    let hostile = r"
const fs = require('fs');
const write = (bytes) => {
  for (let at = 0; at < bytes.length; ) {
    try { at += fs.writeSync(process.channel.fd, bytes, at); } catch (error) { if (error.code !== 'EAGAIN') return; }
  }
};
const say = (message) => write(Buffer.from(JSON.stringify(message) + '\n'));
const ways = {
  garbage: () => write(Buffer.from('GET / HTTP/1.1\n')),
  endless: () => write(Buffer.alloc(2 << 20, 'x')),
  acts: () => { for (let i = 0; i < 100; i++) say({ cmd: 'NODE_CLUSTER', act: 'fly', seq: i }); },
  seq: () => { for (let i = 0; i < 100; i++) say({ cmd: 'NODE_CLUSTER', ack: i, accepted: true, seq: i }); },
  deaf: () => {
    // Asks for ever and never reads: procrun stops listening to it, and nothing grows.
    const question = { cmd: 'NODE_CLUSTER', act: 'queryServer', address: null, port: 0, addressType: 4, index: 0 };
    console.log('deafening');
    for (let i = 0; ; i++) say({ ...question, seq: i, data: 'x'.repeat(10000) });
  },
  flood: () => { console.log('flooding'); for (;;) write(Buffer.from('1\n'.repeat(4096))); },
};
ways[process.env.name]();
setInterval(() => {}, 1000);
";
    let ways = ["garbage", "endless", "acts", "seq", "deaf", "flood"];
    let mut ecosystem = app("instances = 1");
    for way in ways {
        let keys = "script = \"hostile.js\"\ninstances = 1\nautorestart = false\nkill_timeout = 100";
        write!(ecosystem, "[[apps]]\nname = \"{way}\"\n{keys}\n").unwrap();
    }
    let bed = set_up(&ecosystem, &[("app.js", SERVER), ("hostile.js", hostile)]);
    let mut procrun = start(&bed);
    let port = port_of(&procrun, 1);
    procrun.wait_for_err_lines("a line that is not a Node message: its channel is closed", 1);
    procrun.wait_for_err_lines("a message of more than 1 MiB: its channel is closed", 1);
    procrun.wait_for_err_lines("sent a cluster message that Node does not have", 1);
    procrun.wait_for_err_lines("acknowledged a handle that was never sent", 1);
    procrun.wait_for_lines("deafening", 1);
    procrun.wait_for_lines("flooding", 1);
    for _ in 0..20 {
        get(port, "/").expect("the others are served meanwhile");
    }
    procrun.expect_stop();
}

#[test]
fn a_fork_mode_worker_sends_ready_and_is_stopped_by_a_message() {
    let script = r"
process.on('message', (message) => { console.log('got', message); process.exit(0); });
process.on('SIGTERM', () => { console.log('got a signal'); process.exit(0); });
process.send({ hello: 'there' });
process.send('ready');
";
    let bed = set_up(&app("shutdown_with_message = true"), &[("app.js", script)]);
    let procrun = start(&bed);
    procrun.wait_for_err_lines("app (0) reports that it is ready", 1);
    assert_eq!(procrun.err().lines_with("app (0) has sent a message").len(), 1);
    procrun.signal(SIGTERM);
    procrun.wait_for_lines("got shutdown", 1);
    assert!(procrun.out().lines_with("got a signal").is_empty());
    assert_eq!(procrun.err().lines_with("app (0): sending the message `shutdown`").len(), 1);
    assert!(procrun.err().lines_with("sending SIG").is_empty());
}
