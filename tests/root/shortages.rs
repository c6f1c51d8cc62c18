//! Shortages and failing system calls: the supervisor continues and stops in order.

use crate::{
    start_steady,
    support::{
        self, Bed, End, SIGKILL, last_pid, procfs, send,
        strace::{Tracer, injected, injected_in_all, thread_of},
        workers,
    },
};

const SCHEDULED: &str = "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ninstances = 30\n\
    [[apps]]\nname = \"nightly\"\nscript = \"./steady.sh\"\nargs = [\"nightly\"]\ncron_restart = \"0 3 * * *\"\n";

#[test]
fn a_lack_of_descriptors_for_a_schedule_ends_no_app() {
    // At each of these limits the table of descriptors is full at another step of the start.
    for limit in 36..=47 {
        let bed = Bed::with(SCHEDULED);
        let mut run = start_steady(&bed, &format!("ulimit -n {limit}"), &[]);
        run.wait_for_line("app up");
        run.wait_for_err("could not start");
        run.expect_stop();
        let count = |what: &str| run.out().lines_with(what).len();
        assert_eq!(count("app up"), count("app bye TERM"), "ulimit -n {limit}{}", run.story());
    }
}

#[test]
fn a_schedule_without_a_timer_is_checked_by_the_second() {
    // The kernel refuses the first timers, then gives one.
    let inject = injected("inject=timerfd_create:error=EMFILE:when=1..2");
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
    );
    let mut run = start_steady(&bed, ":", &inject);
    run.wait_for_err("cannot set the timer of `cron_restart`: ");
    run.wait_for_lines("app bye", 2);
    run.wait_for_err("can set the timer of `cron_restart` again");
    run.expect_stop();
}

#[test]
fn a_lost_timer_is_made_again() {
    // Setting it fails once, in the middle of its work.
    let inject = injected("inject=timerfd_settime:error=ENOMEM:when=3");
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
    );
    let mut run = start_steady(&bed, ":", &inject);
    run.wait_for_err("cannot set the timer of `cron_restart`: Cannot allocate memory");
    run.wait_for_err("can set the timer of `cron_restart` again");
    run.wait_for_lines("app bye", 3);
    run.expect_stop();
}

#[test]
fn a_shortage_of_processes_makes_no_app_errored() {
    // The first four tries of each helper thread to create a process fail: more than `max_restarts` allows.
    let inject = injected_in_all("inject=clone:error=EAGAIN:when=1..4");
    let bed = Bed::with(
        "cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\nmax_restarts = 2\n\
         autorestart = false\n",
    );
    let mut run = start_steady(&bed, ":", &inject);
    run.wait_for_err("Resource temporarily unavailable");
    run.wait_for_line("app up");
    run.expect_stop();
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
        let inject = injected(&inject);
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
    let inject = injected("inject=sendmsg:error=EINVAL:when=1");
    let mut run = bed.launch(&["ecosystem.toml"]).pid1().through(&inject).start();
    run.wait_for_err("cannot be sent a message (Invalid argument");
    // The next one can, and serves.
    run.wait_for_line("serves");
    run.expect_stop();
}

#[test]
fn a_process_whose_channel_cannot_be_watched_ends_with_all_that_it_has_started_and_starts_again() {
    for error in ["ENOMEM", "ENOSPC"] {
        let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\nmax_restarts = 2\n");
        bed.script(
            "app.sh",
            "#!/bin/sh\necho up $$\nsetsid -f sh -c 'echo daemon $$; exec sleep 7105'\nexec sleep 1000\n",
        );
        let mut run = bed.start(&["ecosystem.toml"]);
        let worker = last_pid(&run.wait_for_line("up"));
        run.wait_for_line("daemon");
        {
            // The program runs when the supervisor makes this call.
            let inject = format!("inject=epoll_ctl:error={error}:delay_enter=300ms");
            let _tracer = Tracer::of(run.pid(), &["-e", &inject]);
            send(worker, SIGKILL);
            run.wait_for_err("could not start: cannot make its IPC channel");
        }
        let daemon = last_pid(&run.wait_for_lines("daemon", 2)[1]);
        assert!(!procfs::alive(daemon), "{error}{}", run.story());
        run.wait_for_lines("daemon", 3);
        run.expect_stop();
    }
}

#[test]
fn a_client_that_cannot_be_accepted_at_once_is_accepted_later() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n");
    let home = bed.root().to_str().unwrap().to_owned();
    let inject = injected("inject=accept4:error=EMFILE:when=1..3");
    let run = bed.launch(&["ecosystem.toml"]).through(&inject).env("PROCRUN_HOME", &home).start();
    run.wait_for_err("is online");
    // No other client comes after it.
    let mut client = bed.launch(&["ping"]).env("PROCRUN_HOME", &home).start();
    client.expect_code(0);
}

#[test]
fn without_the_right_to_adopt_orphans_only_orphans_are_missed() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n");
    bed.script("steady.sh", workers::STEADY);
    let inject = injected("inject=prctl:error=EINVAL:when=1");
    let mut run = bed.launch(&["ecosystem.toml"]).system_path().through(&inject).start();
    run.wait_for_err("prctl(PR_SET_CHILD_SUBREAPER) is refused");
    run.wait_for_line("app up");
    run.expect_stop();
}

#[test]
fn a_missing_dev_null_is_named() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n");
    let inject = [&injected("inject=openat:error=ENOENT")[..], &["-P", "/dev/null"]].concat();
    let mut run = bed.launch(&["ecosystem.toml"]).through(&inject).start();
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
    let _tracer = Tracer::of(thread, &["-e", "inject=write:error=EIO:when=1"]);
    run.wait_for_err("cannot write to stdout: EIO");
    run.wait_for_err("stdout is writable again");
    let last = support::last_number(run.out().lines().last().unwrap());
    run.wait_for_line(&format!("line {}", last + 2));
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
        assert_eq!(ask(&["restart", "app"]), End::Code(0));
    }
    assert!(files() < before + 40, "{before} descriptors have become {}", files());
    // The files cannot be emptied now, and the client hears so.
    let mut flush = bed.launch(&["flush"]).env("PROCRUN_HOME", &home).start();
    flush.expect_code(1);
    flush.wait_for_err("the log output is blocked");
}
