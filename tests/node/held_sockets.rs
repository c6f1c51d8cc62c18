//! `listen`: sockets that procrun opens and hands over as systemd does, with real servers of several
//! languages. gunicorn and uvicorn are those of `tests/setup.sh test`. As root.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{
    Bed, DEADLINE, Procrun, SIGHUP, SIGKILL, SIGTERM, last_number, last_pid, send, text, wait_until,
};

/// Looks at what it was given as sd_listen_fds(3) does, prints it, and waits.
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

/// Serves on descriptor 3 and says who answers and what for; the letter is its variable. A stop waits
/// for nothing but the request at hand.
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

/// Where procrun says that the app listens.
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
    // In one piece: who reads once has it all.
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

/// What `tests/setup.sh test` fetches from PyPI.
fn from_pypi(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin").join(program);
    assert!(path.exists(), "there is no {}: run tests/setup.sh test", path.display());
    path
}

/// The lines of a [`PROBE`], one for each socket: number, name, kind, whether it waits, inode, address.
#[track_caller]
fn probed(run: &Procrun, runs: usize, sockets: usize) -> Vec<Vec<String>> {
    run.wait_for_lines("probed as", runs);
    let lines = run.out().lines();
    let of_sockets = lines.iter().map(|line| text(line)).filter(|line| line.contains(" True "));
    let all: Vec<Vec<String>> = of_sockets.map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    all[all.len() - sockets..].to_vec()
}

#[test]
fn a_program_finds_its_sockets_by_the_rules_of_systemd() {
    for user in ["", "user = \"nobody\""] {
        let bed = served_by(
            PROBE,
            &format!(
                "{user}\nenv = {{ LISTEN_PID = \"1\", LISTEN_FDS = \"9\" }}\nlisten = [\n  \
                 \"tcp://127.0.0.1:0\",\n  \"web=tcp://*:0\",\n  \"udp://127.0.0.1:0\",\n  \
                 \"unix://{}/app.sock\",\n]",
                "${HOME}"
            ),
        );
        fs::set_permissions(bed.root(), fs::Permissions::from_mode(0o777)).unwrap();
        // procrun's parent handed it sockets too; they are not the workers'.
        let stranger = [("LISTEN_FDS", "7"), ("LISTEN_PID", "1"), ("LISTEN_FDNAMES", "a:b")];
        let launch = bed.launch(&["ecosystem.toml"]).system_path();
        let mut run = stranger.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start();
        let sockets = probed(&run, 1, 4);
        let path = bed.path("app.sock").display().to_string();
        let name = format!("unix_{path}");
        let expected = [
            ["3", "tcp_127.0.0.1_0", "stream", "127.0.0.1"],
            ["4", "web", "stream", "::"],
            ["5", "udp_127.0.0.1_0", "datagram", "127.0.0.1"],
            ["6", &name, "stream", &path],
        ];
        for (socket, [number, name, kind, at]) in sockets.iter().zip(expected) {
            let seen = [&socket[0], &socket[1], &socket[2], &socket[5]];
            assert_eq!(seen, [number, name, kind, at], "{sockets:?}");
        }
        let owner = fs::metadata(&path).unwrap().uid();
        let whole = run.wait_for_line("probed as");
        assert!(whole.contains(&format!("probed as {owner} ")), "the file is the worker's: {whole}");
        assert_eq!(owner == 65534, !user.is_empty(), "{whole}");
        assert_eq!(last_number(&whole), 7, "and no other descriptor: {whole}");
        run.expect_stop();
        assert!(!bed.exists("app.sock"), "the file of a socket goes with it");
    }
}

#[test]
fn an_app_without_a_socket_gets_no_variables() {
    let bed =
        served_by("import os; print(sorted(n for n in os.environ if 'LISTEN' in n))", "autorestart = false");
    let launch = bed.launch(&["ecosystem.toml"]).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "x");
    let mut run = launch.env("LISTEN_PID", "1").env("LISTEN_PIDFDID", "1").start();
    run.expect_code(0);
    assert!(run.out().lines()[0].ends_with("[]"), "{}", run.story());
}

#[test]
fn more_sockets_than_procrun_had_free_numbers() {
    let addresses: Vec<String> = (1..=40).map(|last| format!("\"tcp://127.0.0.{last}:0\"")).collect();
    for user in ["", "user = \"nobody\""] {
        let bed = served_by(PROBE, &format!("{user}\nlisten = [{}]", addresses.join(", ")));
        let mut run = bed.launch(&["ecosystem.toml"]).system_path().start();
        let sockets = probed(&run, 1, 40);
        for (number, socket) in sockets.iter().enumerate() {
            assert_eq!(socket[0], (number + 3).to_string());
            assert_eq!(socket[5], format!("127.0.0.{}", number + 1), "in their order: {sockets:?}");
        }
        run.expect_stop();
    }
}

#[test]
fn an_app_of_another_user_that_cannot_start_is_reported() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./app\"\nuser = \"nobody\"\nlisten = \"tcp://127.0.0.1:0\"\n",
    );
    fs::set_permissions(bed.script("app", "#!/bin/sh\n"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut run = start(&bed);
    run.wait_for_err("app (0) ended: spawn-failed");
    assert!(run.err().lines().iter().any(|line| line.contains("Permission denied")), "{}", run.story());
    run.expect_code(126);
}

#[test]
fn a_stop_before_anything_has_started_leaves_no_file() {
    let bed = Bed::new();
    let path = bed.path("app.sock");
    let keys = format!("listen = \"unix://{}\"", path.display());
    bed.file("ecosystem.toml", format!("start_delay = \"1h\"\n{}", app(&keys)));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    run.wait_for_err("waiting for 1 h 0 min before anything starts");
    // Connections may come already, and another look at the file does not close the door.
    UnixStream::connect(&path).unwrap();
    run.signal(SIGHUP);
    run.wait_for_err("no application has changed");
    UnixStream::connect(&path).unwrap();
    run.expect_stop();
    assert!(!path.exists());
}

#[test]
fn a_shell_line_passes_them_on_when_it_ends_in_exec() {
    let bed =
        Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"true; exec python3 app.py\"\n{ANY_PORT}\n"));
    bed.file("app.py", PROBE);
    let mut run = start(&bed);
    assert_eq!(probed(&run, 1, 1).len(), 1);
    run.expect_stop();
}

#[test]
fn a_crash_keeps_the_port_and_waiting_clients_are_served_by_the_next_run() {
    let bed = served_by(SERVER, &format!("{ANY_PORT}\nrestart_delay = \"500ms\""));
    let mut run = start(&bed);
    let at = address(&run);
    // Whether it is up or not: who comes early waits.
    let first = get(at, "/").unwrap();
    assert!(get(at, "/crash").is_err());
    run.wait_for_err("app (0) ended: exit 7");
    let mut waiting: Vec<TcpStream> = (0..10).map(|_| connect(at).unwrap()).collect();
    for stream in &mut waiting {
        request(stream, "/").unwrap();
    }
    let answers: HashSet<String> = waiting.iter_mut().map(|stream| answer(stream).unwrap()).collect();
    assert_eq!(answers.len(), 1, "one process answers: {answers:?}");
    assert!(!answers.contains(&first));
    run.expect_stop();
    assert!(connect(at).is_err(), "the port is free at the end");
}

#[test]
fn no_request_fails_while_workers_come_and_go() {
    let keys = |letter: usize| app(&format!("{ANY_PORT}\nenv = {{ LETTER = \"{letter}\" }}"));
    let bed = Bed::with(&keys(0));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    let at = address(&run);
    run.wait_for_line("up 0 ");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    while !over.load(Ordering::Relaxed) {
                        get(at, "/").expect("every request is answered");
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        for letter in 1..=10 {
            bed.file("ecosystem.toml", keys(letter));
            run.signal(SIGHUP);
            run.wait_for_line(&format!("up {letter} "));
        }
        over.store(true, Ordering::Relaxed);
        let served: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(served >= 10, "{served} requests");
    });
    run.expect_stop();
}

#[test]
fn several_instances_accept_from_one_socket() {
    let bed = served_by(SERVER, &format!("{ANY_PORT}\ninstances = 2"));
    let mut run = start(&bed);
    let at = address(&run);
    let pids: HashSet<i32> = run.wait_for_lines("up", 2).iter().map(|line| last_pid(line)).collect();
    let mut held = connect(at).unwrap();
    request(&mut held, "/hold").unwrap();
    run.wait_for_line("holding");
    // One is busy, so the other takes them all.
    let others: HashSet<String> = (0..5).map(|_| get(at, "/").unwrap()).collect();
    bed.file("go", "");
    let busy = answer(&mut held).unwrap();
    assert!(others.len() == 1 && !others.contains(&busy), "{others:?} and {busy}");
    let all: HashSet<i32> = others.into_iter().chain([busy]).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(all, pids);
    run.expect_stop();
}

#[test]
fn a_taken_address_is_one_clear_error_and_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bed = Bed::new();
    let _listener = UnixListener::bind(bed.path("app.sock")).unwrap();
    let port = taken.local_addr().unwrap().port();
    for place in [format!("tcp://127.0.0.1:{port}"), format!("unix://{}", bed.path("app.sock").display())] {
        let first = "[[apps]]\nname = \"first\"\nscript = \"app.py\"\nlisten = \"tcp://127.0.0.1:0\"\n";
        bed.file("ecosystem.toml", format!("{first}{}", app(&format!("listen = \"{place}\""))));
        bed.file("app.py", SERVER);
        let mut run = start(&bed);
        run.expect_code(126);
        assert_eq!(run.out().lines(), [""; 0]);
        let said = run.err().lines();
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(
            said[0],
            format!("error: app `app`: cannot listen on {place}: Address already in use (os error 98)")
        );
        assert!(said[1].starts_with("  hint: another program listens there"), "{said:?}");
        assert_eq!(said[2], "nothing was started");
        assert!(bed.exists("app.sock"), "the other's file is left alone");
    }
}

#[test]
fn a_socket_in_a_directory_that_is_not_there_is_a_clear_error() {
    let bed = served_by(SERVER, "listen = \"unix:///nowhere/app.sock\"");
    let mut run = start(&bed);
    run.expect_code(126);
    let said = run.err().lines();
    assert!(said[0].contains("cannot listen on unix:///nowhere/app.sock: No such file"), "{said:?}");
    assert_eq!(said[1], "  hint: its directory is not there, and procrun makes none");
}

#[test]
fn a_boot_that_is_refused_leaves_no_socket_file() {
    let bed = Bed::new();
    let listens = |number| format!("listen = \"unix://{}\"", bed.path(&format!("{number}.sock")).display());
    let apps: String = (0..20)
        .map(|number| app(&listens(number)).replace("\"app\"", &format!("\"app-{number}\"")))
        .collect();
    bed.file("ecosystem.toml", format!("{apps}[[apps]]\nname = \"missing\"\nscript = \"./nowhere\"\n"));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    run.expect_code(127);
    let left: Vec<String> = bed.list(".").into_iter().filter(|name| name.contains(".sock")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_change_that_cannot_listen_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let bed = served_by(SERVER, ANY_PORT);
    let mut run = start(&bed);
    let at = address(&run);
    let pid = get(at, "/").unwrap();
    let sock = bed.path("app.sock").display().to_string();
    bed.file("ecosystem.toml", app(&format!("listen = [\"unix://{sock}\", \"tcp://{taken}\"]")));
    run.signal(SIGHUP);
    run.wait_for_err(&format!("cannot listen on tcp://{taken}: Address already in use"));
    run.wait_for_err("nothing was changed");
    assert_eq!(get(at, "/").unwrap(), pid, "the same process on the same port");
    assert!(!bed.exists("app.sock"), "what was opened in vain is closed");
    run.expect_stop();
}

#[test]
fn a_changed_listen_keeps_what_stays_and_passes_on_what_moves() {
    let bed = Bed::new();
    let sock = bed.path("app.sock").display().to_string();
    let two = |app: &str, other: &str| {
        format!(
            "[[apps]]\nname = \"app\"\nscript = \"app.py\"\nlisten = [{app}]\n\
             [[apps]]\nname = \"other\"\nscript = \"app.py\"\nlisten = [{other}]\n"
        )
    };
    bed.file("app.py", PROBE);
    let (any, own, unix) = ("\"tcp://127.0.0.1:0\"", "\"tcp://127.0.0.2:0\"", format!("\"unix://{sock}\""));
    bed.file("ecosystem.toml", two(&format!("{any}, {unix}"), own));
    let mut run = start(&bed);
    let seen = |run: &Procrun, app: &str, runs: usize, count: usize| {
        run.wait_for_lines("probed as", runs);
        let lines = run.out().lines();
        let of_app =
            lines.iter().filter(|line| line.contains(&format!("|{app} ")) && line.contains(" True "));
        let inodes = of_app.map(|line| text(line).split(' ').nth(4).unwrap().to_owned());
        let all: Vec<String> = inodes.collect();
        all[all.len() - count..].to_vec()
    };
    let before = seen(&run, "app", 2, 2);

    bed.file("ecosystem.toml", two(&format!("\"tcp://127.0.0.3:0\", {any}"), &format!("{own}, {unix}")));
    run.signal(SIGHUP);
    let app = seen(&run, "app", 4, 2);
    assert_eq!(app[1], before[0], "the same socket at another number");
    assert!(!before.contains(&app[0]));
    assert_eq!(seen(&run, "other", 4, 2)[1], before[1], "and this one is another's now");
    UnixStream::connect(&sock).unwrap();

    // An app that is gone takes its sockets with it.
    bed.file("ecosystem.toml", two(any, own).split("[[apps]]\nname = \"other\"").next().unwrap());
    run.signal(SIGHUP);
    assert_eq!(seen(&run, "app", 5, 1), [before[0].clone()]);
    wait_until("the file of the socket to be gone", || !bed.exists("app.sock"));
    run.expect_stop();
}

#[test]
fn a_stale_socket_file_is_replaced_and_its_mode_kept() {
    let bed = Bed::new();
    let path = bed.path("app.sock");
    drop(UnixListener::bind(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o766)).unwrap();
    bed.file("ecosystem.toml", app(&format!("listen = \"unix://{}\"", path.display())));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    run.wait_for_line("up");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o766);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    request(&mut stream, "/").unwrap();
    assert_eq!(answer(&mut stream).unwrap(), run.worker().to_string());
    run.expect_stop();
    assert!(!path.exists());
}

#[test]
fn an_app_that_has_ended_for_good_listens_no_more() {
    let other = "[[apps]]\nname = \"other\"\nscript = \"sleep\"\nargs = \"1000\"\n";
    let keys = format!("{ANY_PORT}\nautorestart = false");
    let bed = Bed::with(&(app(&keys) + other));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    let at = address(&run);
    assert!(get(at, "/crash").is_err());
    run.wait_for_err("app (0) ended: exit 7");
    wait_until("the port to be closed", || connect(at).is_err());
    run.expect_stop();
}

/// A server of two answers that also says which process it is; the same for WSGI and ASGI. `/slow`
/// waits for the file `go`.
const PYTHON_APPS: &str = r#"
import asyncio, os, time

def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        print("asked slowly", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getppid()]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        print("asked slowly", flush=True)
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
"#;

fn python(program: &str, args: &str, keys: &str) -> String {
    let script = from_pypi(program);
    format!("[[apps]]\nname = \"app\"\nscript = \"{}\"\nargs = \"{args}\"\n{keys}\n", script.display())
}

/// `program` with these arguments keeps serving a TCP and a unix socket, and after it was killed too.
/// What it answers is the process that procrun has started.
#[track_caller]
fn serves_and_survives(program: &str, args: &str, both: bool) {
    let bed = Bed::new();
    let sock = bed.path("app.sock");
    let unix = if both { format!(", \"unix://{}\"", sock.display()) } else { String::new() };
    let listen = format!("restart_delay = 300\nlisten = [\"tcp://127.0.0.1:0\"{unix}]");
    bed.file("ecosystem.toml", python(program, args, &listen));
    bed.file("apps.py", PYTHON_APPS);
    let mut run = start(&bed);
    let at = address(&run);
    let first = get(at, "/").unwrap_or_else(|error| panic!("{error}{}", run.story()));
    assert_eq!(first, run.worker().to_string());
    if both {
        let mut stream = UnixStream::connect(&sock).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        request(&mut stream, "/").unwrap();
        assert_eq!(answer(&mut stream).unwrap(), first);
    }
    for round in 1..=3 {
        let killed = run.worker();
        // And its own workers: one that is left would answer.
        send(-killed, SIGKILL);
        run.wait_for_err_lines("app (0) ended: signal SIGKILL", round);
        // No worker accepts it.
        let served = get(at, "/").unwrap_or_else(|error| panic!("{error}{}", run.story()));
        assert_eq!(served, run.worker().to_string());
        assert_ne!(served, killed.to_string());
    }
    run.signal(SIGTERM);
    run.expect_code(0);
    assert!(!sock.exists() && connect(at).is_err());
}

#[test]
fn gunicorn_finds_its_sockets_by_itself() {
    serves_and_survives("gunicorn", "apps:wsgi", true);
}

#[test]
fn uvicorn_gets_the_descriptor_as_an_argument() {
    serves_and_survives("uvicorn", "apps:asgi --fd 3", false);
}

/// A request that is being answered when its process is replaced is answered, and who comes
/// meanwhile is served by the next one.
#[track_caller]
fn finishes_its_requests(program: &str, args: &str) {
    let ecosystem = |letter: &str| {
        python(
            program,
            args,
            &format!("{ANY_PORT}\nkill_timeout = \"10m\"\nenv = {{ LETTER = \"{letter}\" }}"),
        )
    };
    let bed = Bed::with(&ecosystem("a"));
    bed.file("apps.py", PYTHON_APPS);
    let mut run = start(&bed);
    let at = address(&run);
    let first = get(at, "/").unwrap();
    let mut slow = connect(at).unwrap();
    request(&mut slow, "/slow").unwrap();
    run.wait_for_line("asked slowly");
    bed.file("ecosystem.toml", ecosystem("b"));
    run.signal(SIGHUP);
    run.wait_for_err("the old app (0) is replaced");
    // Of uvicorn's connections one that it has just accepted may be reset.
    wait_until("the next one's answer", || get(at, "/").is_ok_and(|answer| answer != first));
    bed.file("go", "");
    assert_eq!(answer(&mut slow).unwrap(), first);
    run.wait_for_err("app is reloaded: 1 process");
    run.expect_stop();
}

#[test]
fn gunicorn_finishes_its_requests() {
    finishes_its_requests("gunicorn", "apps:wsgi");
}

#[test]
fn uvicorn_finishes_its_requests() {
    finishes_its_requests("uvicorn", "apps:asgi --fd 3");
}

/// With its usual workers, which take one connection at a time, answer, and close it.
#[test]
fn nothing_is_lost_by_reloads_of_gunicorn() {
    let ecosystem = |letter: usize| {
        python("gunicorn", "apps:wsgi --workers 2", &format!("{ANY_PORT}\nenv = {{ LETTER = \"{letter}\" }}"))
    };
    let bed = Bed::with(&ecosystem(0));
    bed.file("apps.py", PYTHON_APPS);
    let mut run = start(&bed);
    let at = address(&run);
    get(at, "/").unwrap();
    let over = AtomicBool::new(false);
    let client = |head: &'static str| {
        let over = &over;
        move || {
            let mut errors = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let ask = || -> io::Result<String> {
                    let mut stream = connect(at)?;
                    stream.write_all(head.as_bytes())?;
                    answer(&mut stream)
                };
                errors.extend(ask().err());
            }
            errors
        }
    };
    let errors: Vec<io::Error> = std::thread::scope(|scope| {
        let heads =
            ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\n\r\n"];
        let clients: Vec<_> = (0..6).map(|number| scope.spawn(client(heads[number % 2]))).collect();
        for letter in 1..=5 {
            bed.file("ecosystem.toml", ecosystem(letter));
            run.signal(SIGHUP);
            run.wait_for_err_lines("app is reloaded: 1 process", letter);
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(errors.is_empty(), "{errors:?}{}", run.story());
    run.expect_stop();
}

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
        // Who loses the race for a connection must not wait for the next one.
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
fn an_address_that_a_failed_version_had_can_be_had_again() {
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
    run.wait_for_err("the reload of app is aborted: the new app (0) ended: exit 7");
    bed.file("ecosystem.toml", ecosystem("new", &[one, two]));
    run.signal(SIGHUP);
    run.wait_for_err("app is reloaded");
    assert_eq!((get(one, "/").unwrap(), get(two, "/").unwrap()), ("new".to_owned(), "new".to_owned()));
    run.expect_stop();
}
