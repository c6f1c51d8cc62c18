//! A real NestJS application, built with npm: it serves, it is restarted, it drains.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::support::{
    Bed, Procrun, SIGTERM, node_major, repository, tool, wait_until,
    web::{Client, free_port, get},
};

/// The built application: a copy under `target/`, built once for the same sources.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        assert!(node_major() >= 20, "Nest 11 needs Node 20 or newer in PATH; the npm package `node` ships it");
        let sources = repository().join("examples/nest");
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

/// Starts the application with these further keys, and waits until it answers.
fn start(keys: &str) -> (Bed, Procrun, u16) {
    let port = free_port();
    let bed = Bed::with(&format!(
        "log_level = \"debug\"\n[[apps]]\nname = \"nest\"\nscript = \"dist/main.js\"\ncwd = \"{}\"\n\
         env = {{ PORT = {port} }}\n{keys}\n",
        built().display()
    ));
    let run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the application to answer", || answers(port));
    (bed, run, port)
}

fn answers(port: u16) -> bool {
    get(port, "/").is_ok_and(|body| body.starts_with("hello from "))
}

#[test]
fn it_logs_answers_and_stops() {
    let (_bed, mut run, port) = start("");
    run.wait_for_line("0|nest | ");
    run.wait_for_line("Nest application successfully started");
    run.expect_stop();
    assert!(get(port, "/").is_err(), "the port is free again");
}

#[test]
fn a_crash_is_restarted() {
    let (_bed, mut run, port) = start("");
    let first = run.worker();
    // The connection breaks with the process.
    let _ = get(port, "/crash");
    wait_until("another process to answer", || {
        answers(port) && run.children().iter().all(|child| child.pid != first)
    });
    run.expect_stop();
    assert_eq!(run.out().lines_with("Nest application successfully started").len(), 2, "{}", run.story());
}

#[test]
fn two_workers_of_a_cluster_answer_by_round_robin_and_one_continues_alone() {
    let (_bed, mut run, port) = start("instances = 2\nbalance = \"round-robin\"");
    run.wait_for_err_lines("listens on", 2);
    let bodies: Vec<String> = (0..10).map(|_| get(port, "/").unwrap()).collect();
    let first = bodies.iter().filter(|body| **body == bodies[0]).count();
    assert_eq!(first, 5, "{bodies:?}");

    // The worker that gets the request answers, and ends after that.
    assert_eq!(get(port, "/crash").unwrap(), "crashing\n");
    run.wait_for_err("exited: code 1");
    assert!(answers(port));
    run.wait_for_err_lines("listens on", 3);
    run.expect_stop();
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let (_bed, mut run, port) = start("");
    let mut slow = Client::connect(port).unwrap();
    slow.send("/slow", "").unwrap();
    // The server has taken the request in when its socket has nothing unread.
    wait_until("the request to be taken in", || request_was_read(port));
    run.signal(SIGTERM);
    assert_eq!(slow.receive().unwrap().body, "slow, but whole\n", "{}", run.story());
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
    let (_bed, mut run, port) = start("");
    let idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    run.expect_stop();
    drop(idle);
}
