//! Servers that share their work among processes of their own: a stop is for the master, which lets its
//! workers finish. celery and gunicorn are those of `tests/setup.sh test`.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use super::{SIGINT, SIGQUIT, SIGTERM};
use crate::support::{Bed, DEADLINE, wait_until};

/// A bed whose one app runs this program of Python's with these arguments. It is not killed while a test waits.
fn bed(program: &str, args: &str) -> Bed {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin").join(program);
    assert!(script.exists(), "there is no {}: run tests/setup.sh test", script.display());
    Bed::with(&format!(
        "[[apps]]\nname = \"app\"\nscript = \"{}\"\nargs = \"{args}\"\nkill_timeout = \"5m\"\n",
        script.display()
    ))
}

/// A task that its worker has from itself, and that waits for a file.
const CELERY: &str = r#"
import os, time
from celery import Celery
from celery.signals import worker_ready
app = Celery("app", broker="memory://")

@app.task(name="slow")
def slow():
    os.write(1, b"began\n")
    while not os.path.exists("go"):
        time.sleep(0.05)
    os.write(1, b"finished\n")

@worker_ready.connect
def ready(**_):
    slow.delay()
"#;

/// A signal to the processes of the pool would end the task with `WorkerLostError`, a second one to the master
/// is a cold shutdown.
#[test]
fn celery_finishes_its_task_before_it_ends() {
    for signal in [SIGTERM, SIGINT] {
        let bed = bed(
            "celery",
            "-q -A app worker -P prefork -c 2 --without-gossip --without-mingle --without-heartbeat",
        );
        bed.file("app.py", CELERY);
        let mut run = bed.start(&["ecosystem.toml"]);
        run.wait_for_line("began");
        run.pid();
        run.signal(signal);
        run.wait_for_line("Warm shutdown");
        bed.file("go", "");
        run.expect_code(0);
        assert_eq!(run.out().lines_with("finished").len(), 1, "{}", run.story());
        assert_eq!(run.out().lines_with("Cold shutdown"), [""; 0], "{}", run.story());
        assert_eq!(run.others(), [0_i32; 0], "{}", run.story());
    }
}

/// Answers when there is a file; its workers say each signal that they get.
const GUNICORN: &str = r#"
import os, time

def application(environ, start_response):
    os.write(1, b"asked\n")
    while not os.path.exists("go"):
        time.sleep(0.05)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]
"#;
const GUNICORN_CONFIG: &str = r#"
import os, signal
bind = "unix:app.sock"
workers = 2
graceful_timeout = 300
timeout = 300

def post_worker_init(worker):
    def say(number):
        handler = signal.getsignal(number)
        def said(number, frame):
            os.write(1, b"worker got %d\n" % number)
            handler(number, frame)
        signal.signal(number, said)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        say(number)
    os.write(1, b"worker up\n")
"#;

/// gunicorn's master ends its workers itself: gracefully at SIGTERM, at once (by SIGQUIT) at SIGINT.
#[test]
fn gunicorns_master_alone_gets_the_signal_and_its_workers_finish() {
    for (signal, passed_on) in [(SIGTERM, SIGTERM), (SIGINT, SIGQUIT)] {
        let bed = bed("gunicorn", "app");
        bed.file("app.py", GUNICORN);
        bed.file("gunicorn.conf.py", GUNICORN_CONFIG);
        let mut run = bed.start(&["ecosystem.toml"]);
        run.wait_for_lines("worker up", 2);
        run.pid();
        let is_graceful = signal == SIGTERM;
        let mut client = UnixStream::connect(bed.path("app.sock")).unwrap();
        if is_graceful {
            client.set_read_timeout(Some(DEADLINE)).unwrap();
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            run.wait_for_line("asked");
        }
        run.signal(signal);
        run.wait_for_lines("worker got", 2);
        if is_graceful {
            bed.file("go", "");
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("done"), "{answer}{}", run.story());
        }
        run.expect_code(0);
        let got = run.out().lines_with("worker got");
        let each_once = got.len() == 2 && got.iter().all(|line| line.ends_with(&format!("got {passed_on}")));
        assert!(each_once, "{}", run.story());
        assert_eq!(run.others(), [0_i32; 0], "{}", run.story());
        wait_until("the socket to be gone", || !bed.exists("app.sock"));
    }
}
