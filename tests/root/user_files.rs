//! Files in directories that the user of an application controls: links, FIFOs and exchanges gain nothing.

use crate::{
    start_steady,
    support::{self, Bed, End},
};

/// A bed in which `app/` belongs to the user `nobody`, and `secret` only to root.
pub(crate) fn with_a_user(keys: &str) -> Bed {
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
    let mut run = start_steady(&bed, ":", &[]);
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
    let mut run = start_steady(&bed, ":", &[]);
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
    let mut run = start_steady(&bed, ":", &[]);
    run.wait_for_line("app up");
    run.wait_for_err("pid file");
    run.expect_stop();
}

#[test]
fn a_program_that_cannot_be_executed_by_another_user_is_an_error_of_its_start() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./private/app\"\nuser = \"nobody\"\nautorestart = false\n",
    );
    bed.script("private/app", "#!/bin/sh\n");
    assert!(support::tool("chmod", &["700", "private"], bed.root()).status.success());
    let mut run = start_steady(&bed, ":", &[]);
    assert!(run.wait_for_err("could not start").contains("ermission denied"), "{}", run.story());
    run.expect_code(126);
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
        let mut run = start_steady(&bed, ":", &[]);
        run.wait_for_line("app up");
        run.expect_stop();
        run.wait_for_err("cannot write the termination message: ");
        assert_eq!(bed.read("secret"), "only root's\n", "{link}{}", run.story());
        assert!(!bed.exists("made-by-root"), "{link}");
    }
    assert!(support::tool("rm", &["app/why.txt"], bed.root()).status.success());
    let mut run = start_steady(&bed, ":", &[]);
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
        assert!(matches!(run.wait_end(), End::Code(code) if code != 0), "{command:?}");
        run.wait_for_err("the directory belongs to user 65534");
    }
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
