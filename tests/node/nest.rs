//! A real NestJS application, built with npm: it serves, it is restarted, it drains.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::support::{self, Bed, Procrun, SIGTERM, node_major, tool, wait_for, wait_until, web::free_port};

/// The built application: a copy under `target/`, built once for the same sources.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        assert!(node_major() >= 20, "Nest 11 needs Node 20 or newer in PATH; the npm package `node` ships it");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nest");
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nest");
        let shell = |line: &str, dir: &Path| {
            let done = tool("sh", &["-e", "-c", line], dir);
            let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{line}: {said}");
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        let sum = "find . \\( -name node_modules -o -name dist \\) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum";
        let sources_sum = shell(sum, &sources) + &node_major().to_string();
        if std::fs::read_to_string(copy.with_extension("built")).is_ok_and(|built| built == sources_sum) {
            return copy;
        }
        let _ = std::fs::remove_file(copy.with_extension("built"));
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir_all(&copy).unwrap();
        let to = copy.display();
        shell(&format!("tar -c --exclude=./node_modules --exclude=./dist . | tar -x -C '{to}'"), &sources);
        shell("npm ci --no-audit --no-fund", &copy);
        shell("npm run build", &copy);
        assert!(copy.join("dist/main.js").exists(), "npm run build gives dist/main.js");
        std::fs::write(copy.with_extension("built"), sources_sum).unwrap();
        copy
    })
}

/// Send a request and give the connection.
fn request(port: u16, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(support::DEADLINE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

/// The whole answer to a request.
fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut answer = String::new();
    request(port, path)?.read_to_string(&mut answer)?;
    Ok(answer)
}

fn start(bed: &Bed, port: u16) -> Procrun {
    start_with(bed, port, "")
}

fn start_with(bed: &Bed, port: u16, keys: &str) -> Procrun {
    let app = built();
    bed.file(
        "ecosystem.toml",
        format!(
            "log_level = \"debug\"\n[[apps]]\nname = \"nest\"\nscript = \"dist/main.js\"\ncwd = \"{}\"\nenv = {{ PORT = {port} }}\n{keys}\n",
            app.display()
        ),
    );
    let run = bed.start_pid1(&["ecosystem.toml"]);
    wait_for("the application to answer", || {
        get(port, "/").ok().filter(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    run
}

#[test]
fn it_logs_answers_and_stops() {
    let (bed, port) = (Bed::new(), free_port());
    let mut run = start(&bed, port);
    run.wait_for_line("0|nest | ");
    run.wait_for_line("Nest application successfully started");
    run.expect_stop();
    assert!(get(port, "/").is_err(), "the port is free again");
}

#[test]
fn a_crash_is_restarted() {
    let (bed, port) = (Bed::new(), free_port());
    let mut run = start(&bed, port);
    let first = run.worker();
    // The connection breaks with the process.
    let _ = get(port, "/crash");
    wait_until("another process to answer", || {
        get(port, "/").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
            && run.children().iter().all(|child| child.pid != first)
    });
    run.expect_stop();
    assert_eq!(run.out().lines_with("Nest application successfully started").len(), 2, "{}", run.story());
}

#[test]
fn two_workers_of_a_cluster_answer_by_round_robin_and_one_continues_alone() {
    let (bed, port) = (Bed::new(), free_port());
    let mut run = start_with(&bed, port, "instances = 2\nbalance = \"round-robin\"");
    run.wait_for_err_lines("listens on", 2);
    let body = || get(port, "/").unwrap().rsplit("\r\n").next().expect("a body").to_owned();
    let answers: Vec<String> = (0..10).map(|_| body()).collect();
    let first = answers.iter().filter(|answer| **answer == answers[0]).count();
    assert!(first == 5 && answers[0].starts_with("hello from "), "{answers:?}");

    // The worker that gets the request answers, and ends after that.
    assert!(get(port, "/crash").unwrap().starts_with("HTTP/1.1 202"));
    run.wait_for_err("ended: exit 1");
    body();
    run.wait_for_err_lines("listens on", 3);
    run.expect_stop();
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let (bed, port) = (Bed::new(), free_port());
    let mut run = start(&bed, port);
    let mut slow = request(port, "/slow").unwrap();
    // The server has taken the request in when its socket has nothing unread.
    wait_until("the request to be taken in", || request_was_read(port));
    run.signal(SIGTERM);
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}{}", run.story());
    run.expect_code(0);
    assert!(get(port, "/").is_err(), "the port is free again");
}

/// Whether the established connection on the server's side has an empty receive queue.
fn request_was_read(port: u16) -> bool {
    let table =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let local = format!(":{port:04X} ");
    table.concat().lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        line.contains(&local)
            && fields.get(1).is_some_and(|address| address.ends_with(local.trim_end()))
            && fields.get(3) == Some(&"01")
            && fields.get(4).is_some_and(|queues| queues.ends_with(":00000000"))
    })
}

#[test]
fn the_deadline_of_a_request_that_never_ends_is_kept() {
    let (bed, port) = (Bed::new(), free_port());
    let mut run = start(&bed, port);
    let idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    run.expect_stop();
    drop(idle);
}
