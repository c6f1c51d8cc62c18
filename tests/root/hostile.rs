//! Shortages, failing system calls and hostile processes: the supervisor goes on and stops in order.

use crate::{
    hung_files::{hang, start_with_a_file_system, with_a_file_system},
    support::{self, Bed, workers},
};

const SCHEDULED: &str = "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ninstances = 30\n\
    [[apps]]\nname = \"nightly\"\nscript = \"./steady.sh\"\nargs = [\"nightly\"]\ncron_restart = \"0 3 * * *\"\n";

/// Starts the bed's applications as PID 1 after these shell commands, and through this program.
fn start(bed: &Bed, commands: &str, through: &[&str]) -> support::Procrun {
    bed.script("steady.sh", workers::STEADY);
    bed.launch(&["ecosystem.toml"]).pid1().system_path().after(commands).through(through).start()
}

#[test]
fn a_lack_of_descriptors_for_a_schedule_ends_no_app() {
    // At each of these limits the table of descriptors is full at another step of the start.
    for limit in 36..=47 {
        let bed = Bed::with(SCHEDULED);
        let mut run = start(&bed, &format!("ulimit -n {limit}"), &[]);
        run.wait_for_line("app up");
        run.wait_for_err("spawn-failed");
        run.expect_stop();
        let count = |what: &str| run.out().lines_with(what).len();
        assert_eq!(count("app up"), count("app bye TERM"), "ulimit -n {limit}{}", run.story());
    }
}

#[test]
fn a_schedule_without_a_timer_is_checked_by_the_second() {
    // The kernel refuses the first timers, then gives one.
    let inject =
        ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=timerfd_create:error=EMFILE:when=1..2"];
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
    );
    let mut run = start(&bed, ":", &inject);
    run.wait_for_err("cannot set the timer of `cron_restart`: ");
    run.wait_for_lines("app bye", 2);
    run.wait_for_err("can set the timer of `cron_restart` again");
    run.expect_stop();
}

#[test]
fn a_lost_timer_is_made_again() {
    // Setting it fails once, in the middle of its work.
    let inject =
        ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=timerfd_settime:error=ENOMEM:when=3"];
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
    );
    let mut run = start(&bed, ":", &inject);
    run.wait_for_err("cannot set the timer of `cron_restart`: Cannot allocate memory");
    run.wait_for_err("can set the timer of `cron_restart` again");
    run.wait_for_lines("app bye", 3);
    run.expect_stop();
}

#[test]
fn a_shortage_of_processes_makes_no_app_errored() {
    // The first eight tries to make a process fail, more than `max_restarts` allows.
    let inject =
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=clone:error=EAGAIN:when=1..8"];
    let bed = Bed::with(
        "cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\nmax_restarts = 2\n\
         autorestart = false\n",
    );
    let mut run = start(&bed, ":", &inject);
    run.wait_for_err("Resource temporarily unavailable");
    run.wait_for_line("app up");
    run.expect_stop();
}

/// A bed in which `app/` belongs to the user `nobody`, and `secret` only to root.
fn with_a_user(keys: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\nuser = \"nobody\"\n{keys}"
    ));
    bed.file("secret", "only root's\n");
    bed.file("app/here", "");
    let sh = "chmod 600 secret; chown -R 65534:65534 app";
    assert!(support::tool("sh", &["-c", sh], bed.root()).status.success());
    bed
}

#[test]
fn a_users_link_in_place_of_a_log_or_pid_file_leads_to_nothing_of_roots() {
    let bed =
        with_a_user("out_file = \"app/out.log\"\nerror_file = \"app/err.log\"\npid_file = \"app/app.pid\"\n");
    let links = "ln -s ../secret app/out.log; ln -s ../made-by-root app/err.log; ln -s ../secret app/app.pid";
    assert!(support::tool("sh", &["-c", links], bed.root()).status.success());
    let mut run = start(&bed, ":", &[]);
    run.wait_for_line("app up");
    run.wait_for_err("cannot write the log file");
    run.wait_for_err("pid file");
    run.expect_stop();
    assert_eq!(bed.read("secret"), "only root's\n", "{}", run.story());
    assert!(!bed.exists("made-by-root"));
}

#[test]
fn files_in_a_users_directory_are_the_users() {
    let bed = with_a_user("out_file = \"app/logs/out.log\"\npid_file = \"app/run/app.pid\"\n");
    let mut run = start(&bed, ":", &[]);
    run.wait_for_line("app up");
    support::wait_until("the line in the file", || bed.read("app/logs/out.log").contains("app up"));
    support::wait_until("the pid file", || bed.exists("app/run/app.pid"));
    for name in ["app/logs", "app/logs/out.log", "app/run/app.pid"] {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(bed.path(name)).unwrap().uid(), 65534, "{name}");
    }
    run.expect_stop();
    assert!(!bed.exists("app/run/app.pid"), "the pid file goes with the process");
}

#[test]
fn a_pid_file_that_is_a_fifo_delays_nothing() {
    let bed = with_a_user("pid_file = \"app/app.pid\"\n");
    assert!(support::tool("mkfifo", &["app/app.pid"], bed.root()).status.success());
    let mut run = start(&bed, ":", &[]);
    run.wait_for_line("app up");
    run.wait_for_err("pid file");
    run.expect_stop();
}

const NOT_EXECUTED: &str = "the new process has not executed it in time";

/// Another process may stop a child before it executes its program; strace does so at this system call, in
/// each child.
const STOP_CHILDREN: [&str; 8] =
    ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=chdir:signal=SIGSTOP:when=1"];

#[test]
fn a_child_that_is_stopped_before_it_runs_freezes_nothing() {
    // One with a user of its own, and one that has procrun's.
    for bed in [with_a_user(""), Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\n")] {
        let mut run = start(&bed, ":", &STOP_CHILDREN);
        // The start ends by its timeout, is tried again, and the supervisor goes on meanwhile.
        run.wait_for_err(NOT_EXECUTED);
        run.signal(support::SIGHUP);
        run.wait_for_err("no application has changed");
        run.wait_for_err_lines(NOT_EXECUTED, 2);
        run.expect_stop();
    }
}

#[test]
fn a_process_that_comes_after_its_start_was_given_up_is_killed() {
    // The first clone(2) of a thread takes longer than a start may take, and makes the process then.
    let inject =
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=clone:delay_enter=6500000:when=1"];
    let bed =
        Bed::with("cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n");
    let mut run = start(&bed, ":", &inject);
    run.wait_for_err(NOT_EXECUTED);
    run.wait_for_err("app (0) is online");
    run.wait_for_line("app up");
    support::wait_until("the end of all processes but one", || {
        // strace is a child, too. A worker leads its session.
        let children = run.children().into_iter();
        children.filter(|child| child.session == child.pid && child.state != 'Z').count() == 1
    });
    run.expect_stop();
    let online = run.err().lines_with("app (0) is online").len();
    assert_eq!(run.out().lines_with("app up").len(), online, "it executes nothing{}", run.story());
}

#[test]
fn a_signal_for_an_app_that_is_being_started_reaches_it() {
    // The process comes only after a while.
    let inject =
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=clone:delay_enter=3000000:when=1"];
    let bed =
        Bed::with("cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"/bin/sleep\"\nargs = [\"1000\"]\n");
    let home = bed.path("home").to_string_lossy().into_owned();
    let launch = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch(&["ecosystem.toml"]).pid1().through(&inject).start();
    support::wait_until("the start to be under way", || {
        let mut list = launch(&["jlist"]).start();
        list.wait_end();
        list.out().lines().concat().contains("launching")
    });
    run.signal(support::SIGUSR1);
    run.wait_for_err("received SIGUSR1");
    assert!(run.err().lines_with("is online").is_empty(), "the process was there before{}", run.story());
    run.wait_for_err("app (0) is online");
    // `sleep` has no handler for it.
    run.wait_for_err("app (0) ended: signal SIGUSR1");
    run.expect_stop();
}

#[test]
fn a_reload_during_the_first_start_keeps_the_schedule_that_it_brings() {
    // The process comes only after a while, and what the plan needs besides is set up then.
    let inject =
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=clone:delay_enter=3000000:when=1"];
    let bed =
        Bed::with("cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"/bin/sleep\"\nargs = [\"1000\"]\n");
    let launch = |args: &[&str]| bed.isolated(args).system_path();
    let mut run = launch(&["ecosystem.toml"]).pid1().through(&inject).start();
    support::wait_until("the start to be under way", || {
        let mut list = launch(&["jlist"]).start();
        list.wait_end();
        list.out().lines().concat().contains("launching")
    });
    let changed = bed.read("ecosystem.toml") + "env = { NEW = \"1\" }\ncron_restart = \"* * * * * *\"\n";
    bed.file("ecosystem.toml", changed);
    run.signal(support::SIGHUP);
    run.wait_for_err("received SIGHUP");
    assert!(run.err().lines_with("is online").is_empty(), "the process was there before{}", run.story());
    // The first start, the changed app, and the schedule.
    run.wait_for_err_lines("app (0) is online", 4);
    run.expect_stop();
}

#[test]
fn a_signal_for_an_app_that_cannot_be_started_is_reported() {
    let bed = with_a_file_system("script = \"./mnt/app.sh\"\nautostart = false\n");
    let mut run = start_with_a_file_system(&bed);
    hang(&bed);
    let home = bed.path("home").to_string_lossy().into_owned();
    let _client = bed.launch(&["start", "hung"]).env("PROCRUN_HOME", &home).start();
    support::wait_until("the start to be under way", || {
        let mut list = bed.launch(&["jlist"]).env("PROCRUN_HOME", &home).start();
        list.wait_end();
        list.out().lines().concat().contains("launching")
    });
    run.signal(support::SIGWINCH);
    run.wait_for_err("hung (0) did not get SIGWINCH: it could not be started");
    run.expect_stop();
}

#[test]
fn a_stop_ends_a_start_under_way_at_once() {
    for bed in [with_a_user(""), Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\n")] {
        let mut run = start(&bed, ":", &STOP_CHILDREN);
        // The child is there and does not run.
        support::wait_until("a stopped child", || {
            run.children().iter().any(|child| matches!(child.state, 'T' | 't'))
        });
        run.expect_stop();
        assert!(run.err().lines_with(NOT_EXECUTED).is_empty(), "killed, not waited for{}", run.story());
    }
}

/// Stops all processes of its namespace but itself and PID 1, again and again (kill(2), -1).
const STOPPER: &str = "#!/bin/sh\necho attacking\nwhile :; do kill -STOP -1 2> /dev/null; done\n";

/// Waits until this number of starts have failed because their process was stopped before it executed its program. A
/// process that is stopped after that is killed here: its app would stay online, and no start would follow.
fn wait_for_stopped_starts(run: &support::Procrun, count: usize) {
    let has_executed = |pid: i32| {
        std::fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|exe| exe.file_name().is_some_and(|name| name != "procrun"))
    };
    support::wait_until("starts whose process was stopped", || {
        for child in run.children().into_iter().filter(|child| child.state == 'T' && has_executed(child.pid))
        {
            support::send(child.pid, support::SIGKILL);
        }
        run.err().lines_with(NOT_EXECUTED).len() >= count
    });
}

#[test]
fn a_worker_that_stops_all_others_does_not_freeze_the_supervisor() {
    let bed = Bed::with(
        "[[apps]]\nname = \"stopper\"\nscript = \"./stopper.sh\"\nkill_timeout = \"1s\"\n\
         [[apps]]\nname = \"victim\"\nscript = \"/bin/true\"\nrestart_delay = 1\nmax_restarts = 1000000\n\
         kill_timeout = \"1s\"\n",
    );
    bed.script("stopper.sh", STOPPER);
    let mut run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_line("attacking");
    wait_for_stopped_starts(&run, 1);
    // From outside of the namespace.
    bed.command(&["ping"]).ok();
    run.signal(support::SIGHUP);
    run.wait_for_err("no application has changed");
    wait_for_stopped_starts(&run, 2);
    run.expect_stop();
}

#[test]
fn a_program_that_cannot_be_executed_by_another_user_is_an_error_of_its_start() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./private/app\"\nuser = \"nobody\"\nautorestart = false\n",
    );
    bed.script("private/app", "#!/bin/sh\n");
    assert!(support::tool("chmod", &["700", "private"], bed.root()).status.success());
    let mut run = start(&bed, ":", &[]);
    assert!(run.wait_for_err("spawn-failed").contains("ermission denied"), "{}", run.story());
    run.expect_code(126);
}

/// The thread of this name.
fn thread_of(pid: i32, name: &str) -> Option<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let is_it = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let task = tasks.filter_map(|entry| Some(entry.ok()?.path())).find(is_it)?;
    task.file_name()?.to_str()?.parse().ok()
}

/// strace on one thread, until it is dropped.
pub(crate) struct Tracer(std::process::Child);

impl Tracer {
    /// Changes what system calls of the thread return, and waits until it does.
    fn of(thread: i32, inject: &str) -> Self {
        Self::with(thread, &["-e", inject])
    }

    /// The same with these arguments.
    pub(crate) fn with(thread: i32, args: &[&str]) -> Self {
        Self::with_threads(&[thread], args)
    }

    /// The same for all threads that a process has now, and not for its children.
    pub(crate) fn with_all(pid: i32, args: &[&str]) -> Self {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
        Self::with_threads(&threads.collect::<Vec<i32>>(), args)
    }

    fn with_threads(threads: &[i32], args: &[&str]) -> Self {
        let mut strace = std::process::Command::new("strace");
        strace.args(["-o", "/dev/null"]).args(args);
        strace.args(threads.iter().flat_map(|thread| ["-p".to_owned(), thread.to_string()]));
        let mut child = support::spawn(strace.stderr(std::process::Stdio::piped()));
        let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        while text.matches("attached").count() < threads.len() {
            let length = std::io::BufRead::read_line(&mut said, &mut text).unwrap();
            assert_ne!(length, 0, "{text}");
        }
        Self(child)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It lets go of the thread.
        support::send(i32::try_from(self.0.id()).unwrap(), support::SIGTERM);
        let _ = self.0.wait();
    }
}

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
        let _tracer = Tracer::of(thread, &format!("{PANIC}:when=1"));
        let said = run.wait_for_err("the thread `logs` panicked at src/logs/pump.rs");
        assert!(said.contains("out of range"), "{said}");
        let last = support::last_number(run.out().lines().last().unwrap());
        run.wait_for_line(&format!("line {}", last + 2));
        // One panic is an accident.
        assert_eq!(health().0, support::End::Code(0));
    }
    {
        let _tracer = Tracer::of(thread, &format!("{PANIC}:when=1+"));
        support::wait_until("the health check to name the thread", || {
            let (end, said) = health();
            end == support::End::Code(1) && said.contains("the thread `logs` panics repeatedly")
        });
    }
    let last = support::last_number(run.out().lines().last().unwrap());
    run.wait_for_line(&format!("line {}", last + 2));
    support::wait_until("the health check to be satisfied again", || health().0 == support::End::Code(0));
}

#[test]
fn a_panic_of_the_supervisor_stops_its_workers_and_says_why() {
    let bed = Bed::with(
        "termination_log = \"why.txt\"\n\
         [[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n",
    );
    bed.script("steady.sh", workers::STEADY);
    let home = bed.root().to_str().unwrap().to_owned();
    // The first message of a client is longer than the room for it.
    let inject =
        ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=recvmsg,recvfrom:retval=1000000:when=1"];
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
    assert!(why.contains("panicked at src/") && why.contains("procrun ends with code 70"), "{why}");
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
        let _tracer = Tracer::of(supervisor, "inject=recvmsg,recvfrom:retval=1000000:when=1");
        launch(&["ping"]).start().wait_end();
        support::wait_until("the end of the supervisor", || !support::procfs::alive(supervisor));
    }
    let log = bed.read("home/procrun.log");
    let line = log.lines().find(|line| line.contains("panicked at src/")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("this is a bug in procrun"), "{line}");
    assert!(log.contains("report it with these lines"), "{log}");
}

#[test]
fn a_shortage_while_a_socket_is_handed_over_delays_it() {
    for error in ["ENOBUFS", "ENOMEM", "ETOOMANYREFS"] {
        let bed = Bed::with(
            "[[apps]]\nname = \"app\"\nscript = \"app.js\"\nexec_mode = \"cluster\"\nbalance = \"shared\"\n",
        );
        bed.file(
            "app.js",
            "const server = require('http').createServer((_, response) => response.end('served'));\n\
             server.listen(0, () => console.log(`listening on ${server.address().port}`));\n",
        );
        let inject = format!("inject=sendmsg:error={error}:when=1..3");
        let inject = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", &inject];
        let mut run = bed.launch(&["ecosystem.toml"]).pid1().through(&inject).start();
        let port = support::web::port_of(&run, 1);
        assert!(support::web::get(port, "/").is_ok_and(|body| body == "served"), "{error}{}", run.story());
        run.expect_stop();
    }
}

#[test]
fn a_channel_that_cannot_carry_a_message_ends_and_so_does_its_worker() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"app.js\"\nexec_mode = \"cluster\"\nmax_restarts = 4\n",
    );
    bed.file("app.js", "require('http').createServer().listen(0, () => console.log('serves'));\n");
    let inject = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=sendmsg:error=EINVAL:when=1"];
    let mut run = bed.launch(&["ecosystem.toml"]).pid1().through(&inject).start();
    run.wait_for_err("cannot be sent a message (Invalid argument");
    // The next one can, and serves.
    run.wait_for_line("serves");
    run.expect_stop();
}

/// `strace` before procrun, with one injected error.
fn with_error(inject: &str) -> Vec<String> {
    ["strace", "-D", "-qq", "-o", "/dev/null", "-e", inject].map(str::to_owned).into()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn a_client_that_cannot_be_accepted_at_once_is_accepted_later() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n");
    let home = bed.root().to_str().unwrap().to_owned();
    let inject = with_error("inject=accept4:error=EMFILE:when=1..3");
    let run = bed.launch(&["ecosystem.toml"]).through(&words(&inject)).env("PROCRUN_HOME", &home).start();
    run.wait_for_err("is online");
    // No other client comes after it.
    let mut client = bed.launch(&["ping"]).env("PROCRUN_HOME", &home).start();
    client.expect_code(0);
}

#[test]
fn orphans_are_not_found_without_the_right_to_adopt_them_and_that_is_all() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n");
    bed.script("steady.sh", workers::STEADY);
    let inject = with_error("inject=prctl:error=EINVAL:when=1");
    let mut run = bed.launch(&["ecosystem.toml"]).system_path().through(&words(&inject)).start();
    run.wait_for_err("prctl(PR_SET_CHILD_SUBREAPER) is refused");
    run.wait_for_line("app up");
    run.expect_stop();
}

#[test]
fn a_missing_dev_null_is_named() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n");
    let mut inject = with_error("inject=openat:error=ENOENT");
    inject.extend(["-P", "/dev/null"].map(str::to_owned));
    let mut run = bed.launch(&["ecosystem.toml"]).through(&words(&inject)).start();
    run.wait_for_err("cannot open /dev/null: No such file or directory");
    run.expect_code(71);
}

#[test]
fn an_error_of_a_device_behind_stdout_passes() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done\"\n",
    );
    let run = bed.launch(&["ecosystem.toml"]).start();
    run.wait_for_line("line 2");
    let thread = support::wait_for("the thread", || thread_of(run.pid(), "logs"));
    let _tracer = Tracer::of(thread, "inject=write:error=EIO:when=1");
    run.wait_for_err("cannot write to stdout: EIO");
    run.wait_for_err("stdout is writable again");
    let last = support::last_number(run.out().lines().last().unwrap());
    run.wait_for_line(&format!("line {}", last + 2));
}

#[test]
fn the_kernel_kills_a_worker_before_procrun() {
    let score = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    let own = score(i32::try_from(std::process::id()).unwrap());
    // Whether this machine lets a process lower it.
    let may = support::tool("sh", &["-c", "echo -500 > /proc/self/oom_score_adj"], std::path::Path::new("/"))
        .status
        .success();
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n\
         [[apps]]\nname = \"chosen\"\nscript = \"exec sleep 1001\"\noom_score_adj = 700\n",
    );
    let run = bed.start(&["ecosystem.toml"]);
    run.wait_for_err_lines("is online", 2);
    assert_eq!(score(run.pid()).trim(), if may { "-500" } else { own.trim() });
    let scores: std::collections::BTreeSet<String> =
        run.children().iter().map(|child| score(child.pid).trim().to_owned()).collect();
    assert_eq!(scores, [own.trim().to_owned(), "700".to_owned()].into());
}

#[test]
fn a_file_whose_name_steers_a_terminal_is_shown_escaped() {
    let bed = Bed::new();
    for (name, content) in [
        ("a\u{1b}[2J.toml", "[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n"),
        ("b\u{1b}[2J.toml", "[[apps]]\nname = 1\n"),
        (
            "c\u{1b}[2J.json",
            "{\"apps\": [{\"name\": \"app\", \"script\": \"sleep 1\", \"unknown\": 1}], \"deploy\": {}}",
        ),
    ] {
        bed.file(name, content);
        for command in [&["check", name][..], &["convert", name, "-o", "-"], &[name], &["start", name]] {
            let mut run = bed.launch(command).env("PROCRUN_HOME", bed.root().to_str().unwrap()).start();
            if command.len() == 1 && name.starts_with('a') {
                run.wait_for_err("is online");
                run.expect_stop();
            } else if command.len() > 1 {
                run.wait_end();
            } else if run.has_ended() {
                continue;
            } else {
                run.stop();
            }
            let all = [run.out().lines(), run.err().lines()].concat().join("\n");
            assert!(!all.contains('\u{1b}'), "{command:?}: {all:?}");
        }
        let mut kill = bed.launch(&["kill"]).env("PROCRUN_HOME", bed.root().to_str().unwrap()).start();
        kill.wait_end();
    }
}

#[test]
fn replaced_instances_keep_no_descriptors_while_the_output_is_not_read() {
    let bed = Bed::with(
        "[[apps]]\nname = \"loud\"\nscript = \"yes fills the pipe\"\n\
         [[apps]]\nname = \"app\"\nscript = \"echo starts; exec sleep 1000\"\nkill_timeout = 100\n",
    );
    let home = bed.root().to_str().unwrap().to_owned();
    let run = bed.launch(&["ecosystem.toml"]).hold_out().env("PROCRUN_HOME", &home).start();
    run.wait_for_err_lines("is online", 2);
    let ask = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).start().wait_end();
    let files = || std::fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().count();
    let before = files();
    for _ in 0..40 {
        assert_eq!(ask(&["restart", "app"]), support::End::Code(0));
    }
    assert!(files() < before + 40, "{before} descriptors have become {}", files());
    // The files cannot be emptied now, and the client hears so.
    let mut flush = bed.launch(&["flush"]).env("PROCRUN_HOME", &home).start();
    flush.expect_code(1);
    flush.wait_for_err("the log output is blocked");
}

#[test]
fn a_termination_log_in_a_users_directory_is_written_with_the_users_rights() {
    let bed = with_a_user("");
    let ecosystem = bed.read("ecosystem.toml");
    bed.file("ecosystem.toml", format!("termination_log = \"app/why.txt\"\n{ecosystem}"));
    for link in ["ln -s ../secret app/why.txt", "ln -s ../made-by-root app/why.txt", "ln secret app/why.txt"]
    {
        assert!(
            support::tool("sh", &["-c", &format!("rm -f app/why.txt; {link}")], bed.root()).status.success()
        );
        let mut run = start(&bed, ":", &[]);
        run.wait_for_line("app up");
        run.expect_stop();
        run.wait_for_err("cannot write the termination message: ");
        assert_eq!(bed.read("secret"), "only root's\n", "{link}{}", run.story());
        assert!(!bed.exists("made-by-root"), "{link}");
    }
    assert!(support::tool("rm", &["app/why.txt"], bed.root()).status.success());
    let mut run = start(&bed, ":", &[]);
    run.wait_for_line("app up");
    run.expect_stop();
    assert!(bed.read("app/why.txt").contains("stopped by SIGTERM"));
    let why = std::fs::metadata(bed.path("app/why.txt")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&why), 65534);
}

#[test]
fn a_home_of_another_user_holds_no_list_of_ones_own() {
    let bed = Bed::new();
    bed.file("app.sh", "#!/bin/sh\nexec sleep 1000\n");
    bed.file("home/dump.json", "{}");
    let sh = "chmod 755 app.sh; chown -R 65534:65534 home";
    assert!(support::tool("sh", &["-c", sh], bed.root()).status.success());
    for command in [&["resurrect"][..], &["cleardump"], &["start", "./app.sh"]] {
        let mut run = bed.isolated(command).start();
        assert!(matches!(run.wait_end(), support::End::Code(code) if code != 0), "{command:?}");
        run.wait_for_err("the directory belongs to user 65534");
    }
}

#[test]
fn a_command_is_answered_when_the_pid_file_has_changed() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\npid_file = \"run/app.pid\"\n",
    );
    bed.script("steady.sh", workers::STEADY);
    let home = bed.path("home").to_string_lossy().into_owned();
    let launch = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch(&["ecosystem.toml"]).start();
    run.wait_for_line("app up");
    support::wait_until("the pid file", || bed.exists("run/app.pid"));
    let thread = support::wait_for("the thread", || thread_of(run.pid(), "helper"));
    {
        let path = bed.path("run/app.pid").to_str().unwrap().to_owned();
        let delay = "inject=openat,unlink,unlinkat:delay_enter=300000";
        let _tracer = Tracer::with(thread, &["-e", delay, "-P", &path]);
        let is_written = || bed.read("run/app.pid").trim() == run.worker().to_string();
        launch(&["restart", "app"]).start().expect_code(0);
        assert!(is_written(), "after restart{}", run.story());
        launch(&["stop", "app"]).start().expect_code(0);
        assert!(!bed.exists("run/app.pid"), "after stop{}", run.story());
        launch(&["start", "app"]).start().expect_code(0);
        assert!(is_written(), "after start{}", run.story());
    }
    run.expect_stop();
}

/// Exchanges files of `app/` for others, as fast as it can. What procrun has removed meanwhile comes back as a
/// link.
const EXCHANGER: &str = r#"#!/usr/bin/env python3
import ctypes, os
libc = ctypes.CDLL(None)
os.chdir("app")
names = ["victim.sh", "env", "pid", "out.log", "err.log"]
print("exchanging", flush=True)
while True:
    for name in names:
        if libc.renameat2(-100, name.encode(), -100, (name + ".other").encode(), 2) != 0:
            for missing in (name, name + ".other"):
                try:
                    os.symlink("../secret", missing)
                except FileExistsError:
                    pass
"#;

#[test]
fn a_user_that_exchanges_the_files_of_an_app_delays_nothing_and_gains_nothing() {
    let bed = Bed::with(
        "[[apps]]\nname = \"exchanger\"\nscript = \"./exchanger.py\"\nuser = \"nobody\"\n\
         [[apps]]\nname = \"victim\"\nscript = \"./app/victim.sh\"\nuser = \"nobody\"\nenv_file = \"app/env\"\n\
         pid_file = \"app/pid\"\nout_file = \"app/out.log\"\nerror_file = \"app/err.log\"\n\
         log_max_size = \"64K\"\nrestart_delay = 10\nmax_restarts = 1000000\n",
    );
    bed.script("exchanger.py", EXCHANGER);
    bed.script("app/victim.sh", "#!/bin/sh\necho runs\necho runs >&2\n");
    bed.file("app/env", "A=1\n");
    bed.file("secret", "only root's\n");
    let sh = "cd app; touch pid out.log err.log; mkfifo victim.sh.other env.other out.log.other; \
              ln -s ../secret pid.other; ln -s ../secret err.log.other; cd ..; \
              chmod 600 secret; chown -hR 65534:65534 app";
    assert!(support::tool("sh", &["-c", sh], bed.root()).status.success());
    let home = bed.path("home").to_string_lossy().into_owned();
    let launch = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch(&["ecosystem.toml"]).pid1().start();
    run.wait_for_line("exchanging");
    for round in 0..10 {
        let mut restarts = 0;
        support::wait_until("a run of the script", || {
            // A FIFO is no program: then the start fails.
            launch(&["restart", "victim"]).start().wait_end();
            restarts += 1;
            restarts >= 5 && run.out().lines_with("| runs").len() > round
        });
        // The file is read again, with its `env_file`.
        launch(&["apply", "ecosystem.toml"]).start().wait_end();
        launch(&["ping"]).start().expect_code(0);
    }
    run.expect_stop();
    assert_eq!(bed.read("secret"), "only root's\n", "{}", run.story());
}

#[test]
fn a_log_file_on_a_file_system_that_does_not_answer_stops_no_line_of_another_app() {
    let lines = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done";
    let bed = with_a_file_system(&format!(
        "script = \"{lines}\"\nautostart = false\nout_file = \"mnt/out.log\"\n\
         [[apps]]\nname = \"more\"\nscript = \"{lines}\"\nout_file = \"more.log\"\n"
    ));
    let mut run = start_with_a_file_system(&bed);
    run.wait_for_line("more | line 2");
    hang(&bed);
    let home = bed.path("home").to_string_lossy().into_owned();
    bed.launch(&["start", "hung"]).env("PROCRUN_HOME", &home).start().expect_code(0);
    run.wait_for_err("mnt/out.log does not answer");
    let written = || bed.read("more.log").lines().count();
    let (shown, before) = (run.out().lines_with("more | line").len(), written());
    run.wait_for_lines("hung | line", 20);
    run.wait_for_lines("more | line", shown + 20);
    support::wait_until("the other file to grow", || written() > before + 20);
    bed.launch(&["ping"]).env("PROCRUN_HOME", &home).start().expect_code(0);
    run.expect_stop();
}

#[test]
fn a_full_file_system_costs_the_lines_of_its_files_and_nothing_else() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nout_file = \"full/out.log\"\npid_file = \"full/app.pid\"\n\
         script = \"n=0; while :; do n=$((n+1)); echo line $n of this app; sleep 0.02; done\"\n",
    );
    bed.file("full/here", "");
    let home = bed.path("full/home").to_string_lossy().into_owned();
    let fill = "mount -t tmpfs -o size=256k full full; cat /dev/zero 2> /dev/null > full/filler || true";
    let launch = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch(&["ecosystem.toml"]).own_mounts().pid1().after(fill).start();
    run.wait_for_err("cannot write the log file");
    run.wait_for_err("cannot write the pid file ");
    let pid = run.pid().to_string();
    let directory = format!("--wd={}", bed.root().display());
    // Where the mount is.
    let inside = |args: &[&str]| {
        let mut client = launch(args).through(&["nsenter", "--mount", "--target", &pid, &directory]).start();
        (client.wait_end(), client.err().lines().join("\n"))
    };
    assert_eq!(inside(&["ping"]).0, support::End::Code(0), "{}", run.story());
    let (end, said) = inside(&["save"]);
    assert!(end == support::End::Code(1) && said.contains("No space left on device"), "{end:?} {said}");
    // It is said once, not with each line.
    let before = run.out().lines_with("of this app").len();
    run.wait_for_lines("of this app", before + 100);
    assert_eq!(run.err().lines_with("cannot write the log file").len(), 1, "{}", run.story());

    std::fs::remove_file(format!("/proc/{pid}/root{}", bed.path("full/filler").display())).unwrap();
    run.wait_for_err("can be written again");
    assert_eq!(inside(&["restart", "app"]).0, support::End::Code(0), "{}", run.story());
    let full = format!("/proc/{pid}/root{}", bed.path("full").display());
    let names = || std::fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names().any(|name| name == "app.pid"), "{:?}", names().collect::<Vec<_>>());
    assert_eq!(inside(&["save"]).0, support::End::Code(0));
    let left: Vec<_> = std::fs::read_dir(home.replace(&*bed.path("full").to_string_lossy(), &full))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    run.expect_stop();
}

#[test]
fn a_log_file_that_does_not_answer_stops_no_other_line() {
    // Another file system: one that does not answer holds up all of its files.
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let other_file = shm.path().join("other.log");
    let lines = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done";
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"stuck\"\nscript = \"{lines}\"\nout_file = \"stuck.log\"\n\
         [[apps]]\nname = \"other\"\nscript = \"{lines}\"\nout_file = \"{}\"\n",
        other_file.display()
    ));
    let mut run = bed.launch(&["ecosystem.toml"]).start();
    for app in ["stuck", "other"] {
        run.wait_for_line(&format!("{app} | line 2"));
    }
    let thread = support::wait_for("the thread", || thread_of(run.pid(), "log-files"));
    let other = || std::fs::read_to_string(&other_file).unwrap().lines().count();
    let stuck = || bed.read("stuck.log").lines().count();
    {
        // The next write to either of them takes ten minutes: to the first file, since the other one is excluded.
        let path = bed.path("stuck.log").to_str().unwrap().to_owned();
        let _tracer = Tracer::with(thread, &["-e", "inject=write:delay_enter=600000000", "-P", &path]);
        run.wait_for_err("stuck.log does not answer");
        let (lines, before) = (run.out().lines_with("stuck | line").len(), other());
        run.wait_for_lines("stuck | line", lines + 20);
        support::wait_until("the other file to grow", || other() > before + 20);
    }
    run.wait_for_err("stuck.log answers again");
    let before = stuck();
    support::wait_until("the file to grow again", || stuck() > before + 5);
    run.expect_stop();
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
        end == support::End::Code(1) && text.contains("the thread `helper` was killed")
    });
}
