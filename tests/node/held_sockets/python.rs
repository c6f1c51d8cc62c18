//! gunicorn and uvicorn on held sockets.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{Bed, DEADLINE, SIGHUP, SIGKILL, SIGTERM, send, wait_until, web::prepared_file};

use super::{ANY_PORT, address, answer, connect, get, request, start};

/// A server that answers with its process id, for WSGI and ASGI. `/slow` waits for the file `go`.
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
    let script = prepared_file(&format!("python/bin/{program}"));
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
        run.wait_for_err_lines("app (0) exited: signal SIGKILL", round);
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

/// A request that is in progress when its process is replaced is answered, and new clients are served by the next
/// process.
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
    run.wait_for_err("the old app (0): replaced");
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
fn no_request_is_lost_by_reloads_of_gunicorn() {
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
