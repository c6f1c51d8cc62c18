//! Panics and the end of single threads: they are reported, and workers stop in order.

use crate::support::{
    self, Bed, End,
    strace::{Tracer, injected, thread_of},
    workers,
};

/// More events than the list has room for: an index out of range, and a panic.
const PANIC: &str = "inject=epoll_wait:retval=1000";

#[test]
fn a_panic_of_the_log_pump_ends_no_logging() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done\"\n",
    );
    let run = bed.launch(&["ecosystem.toml"]).env("PROCRUN_HOME", bed.root().to_str().unwrap()).start();
    run.wait_for_line("line 2");
    let thread = support::wait_for("the thread", || thread_of(run.pid(), "logs"));
    let health = || {
        let home = bed.root().to_str().unwrap();
        let mut check = bed.launch(&["healthcheck"]).env("PROCRUN_HOME", home).start();
        let end = check.wait_end();
        (end, check.err().lines().join("\n"))
    };
    {
        let _tracer = Tracer::of(thread, &["-e", &format!("{PANIC}:when=1")]);
        let said = run.wait_for_err("the thread `logs` panicked at src/logs/pump.rs");
        assert!(said.contains("out of range"), "{said}");
        let last = support::last_number(run.out().lines().last().unwrap());
        run.wait_for_line(&format!("line {}", last + 2));
        // One panic is an accident.
        assert_eq!(health().0, End::Code(0));
    }
    {
        let _tracer = Tracer::of(thread, &["-e", &format!("{PANIC}:when=1+")]);
        support::wait_until("the health check to name the thread", || {
            let (end, said) = health();
            end == End::Code(1) && said.contains("the thread `logs` panics repeatedly")
        });
    }
    let last = support::last_number(run.out().lines().last().unwrap());
    run.wait_for_line(&format!("line {}", last + 2));
    support::wait_until("the health check to be satisfied again", || health().0 == End::Code(0));
}

#[test]
fn a_panic_of_the_supervisor_stops_its_workers_and_is_reported() {
    let bed = Bed::with(
        "termination_log = \"why.txt\"\n\
         [[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n",
    );
    bed.script("steady.sh", workers::STEADY);
    let home = bed.root().to_str().unwrap().to_owned();
    // The first message of a client is longer than the room for it.
    let inject = injected("inject=recvmsg,recvfrom:retval=1000000:when=1");
    let mut run = bed
        .launch(&["ecosystem.toml"])
        .pid1()
        .system_path()
        .through(&inject)
        .env("PROCRUN_HOME", &home)
        .start();
    run.wait_for_line("app up");
    let mut client = bed.launch(&["ping"]).env("PROCRUN_HOME", &home).start();
    run.wait_for_err("panicked at ");
    run.wait_for_line("app bye TERM");
    run.expect_code(70);
    client.wait_end();
    let why = bed.read("why.txt");
    assert!(why.contains("panicked at src/") && why.contains("procrun exits with code 70"), "{why}");
}

#[test]
fn a_panic_of_a_supervisor_in_the_background_is_in_its_log() {
    let bed = Bed::new();
    bed.script("steady.sh", workers::STEADY);
    let home = bed.path("home").to_string_lossy().into_owned();
    let launch = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).system_path();
    let mut start = launch(&["start", "./steady.sh", "--", "app"]).start();
    start.expect_code(0);
    let supervisor: i32 = bed.read("home/procrun.pid").trim().parse().unwrap();
    {
        // As above.
        let _tracer = Tracer::of(supervisor, &["-e", "inject=recvmsg,recvfrom:retval=1000000:when=1"]);
        launch(&["ping"]).start().wait_end();
        support::wait_until("the end of the supervisor", || !support::procfs::alive(supervisor));
    }
    let log = bed.read("home/procrun.log");
    let line = log.lines().find(|line| line.contains("panicked at src/")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("this is a bug in procrun"), "{line}");
    assert!(log.contains("report it with these lines"), "{log}");
}

/// Executes its arguments with a seccomp filter that kills each thread which makes one of these system calls, and
/// only that thread.
const KILL_THREADS: &str = r#"
import ctypes, os, struct, sys
numbers = [int(number) for number in sys.argv[1].split(",")]
# The number of the call, a comparison for each of these, `allow`, `kill the thread`.
code = [(0x20, 0, 0, 0)]
code += [(0x15, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
code += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0)]
text = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in code))
program = struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(text))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, program, 0, 0) != 0:
    sys.exit("no seccomp filter")
os.execvp(sys.argv[2], sys.argv[2:])
"#;

#[test]
fn a_thread_that_seccomp_kills_alone_fails_the_health_check() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\npid_file = \"run/app.pid\"\n",
    );
    bed.script("steady.sh", workers::STEADY);
    // Only for the pid file, which a helper thread writes.
    let call = nix::libc::SYS_ftruncate.to_string();
    let run = bed.isolated(&["ecosystem.toml"]).through(&["python3", "-c", KILL_THREADS, &call]).start();
    run.wait_for_line("app up");
    let health = || {
        let mut check = bed.isolated(&["healthcheck"]).start();
        (check.wait_end(), check.err().lines().join("\n"))
    };
    support::wait_until("the health check to name the thread", || {
        let (end, text) = health();
        end == End::Code(1) && text.contains("the thread `helper` was killed")
    });
}
