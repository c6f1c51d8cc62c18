//! Boots while a file system does not answer.

use crate::support::{self, SIGHUP, SIGTERM};

use super::{LONG, command, start_with_a_hung_file_system, with_a_file_system};

#[test]
fn a_boot_starts_what_can_start_and_the_rest_when_its_file_system_answers() {
    for (app, step) in [
        // What several processes of a script are depends on the script.
        ("script = \"./mnt/long.sh\"\ninstances = 2\n", "looking up its script"),
        ("script = \"echo hung up; exec sleep 1000\"\ncwd = \"mnt\"\n", "opening its cwd"),
        (
            "script = \"echo hung up $A; exec sleep 1000\"\nenv_file = \"mnt/env\"\nenv = { B = \"2\" }\n",
            "reading its `env_file`",
        ),
    ] {
        let bed = with_a_file_system(&format!("{app}restart_delay = 100\n"));
        bed.script("mnt/long.sh", LONG);
        let mut run = start_with_a_hung_file_system(&bed);
        run.wait_for_line("fine up");
        let failure = run.wait_for_err("hung (0) could not start: its start hangs");
        assert!(failure.contains(step), "{failure}");
        command(&bed, &["restart", "fine"]).expect_code(0);
        bed.file("heal", "");
        let up = run.wait_for_line("hung up");
        assert_eq!(up.ends_with("hung up 1"), app.contains("env_file"), "{up}");
        run.expect_stop();
    }
}

#[test]
fn a_file_system_that_fails_during_the_preflight_stops_no_boot() {
    let bed = with_a_file_system("script = \"./mnt/long.sh\"\nrestart_delay = 100\n");
    bed.script("mnt/long.sh", LONG);
    let mut run = start_with_a_hung_file_system(&bed);
    support::wait_until("a look-up", || bed.exists("asked"));
    bed.file("heal", "");
    run.wait_for_line("fine up");
    run.wait_for_line("hung up");
    run.expect_stop();
}

#[test]
fn a_file_system_that_fails_while_the_configuration_is_read_stops_no_boot() {
    let bed = with_a_file_system("script = \"./mnt/long.sh\"\nenv_file = \"mnt/env\"\n");
    bed.script("mnt/long.sh", LONG);
    let mut run = start_with_a_hung_file_system(&bed);
    support::wait_until("the reading of the env_file", || bed.exists("asked"));
    bed.file("heal", "");
    run.wait_for_line("fine up");
    run.wait_for_line("hung up 1");
    run.expect_stop();
}

#[test]
fn a_file_system_that_fails_during_a_first_start_does_not_count_against_the_app() {
    for app in [
        "script = \"./mnt/long.sh\"\n",
        "script = \"echo hung up; exec sleep 1000\"\ncwd = \"mnt\"\n",
        "script = \"echo hung up $A; exec sleep 1000\"\nenv_file = \"mnt/env\"\n",
    ] {
        let bed = with_a_file_system(app);
        bed.script("mnt/long.sh", LONG);
        let mut run = start_with_a_hung_file_system(&bed);
        // Its start has begun then, too, and has not timed out.
        run.wait_for_line("fine up");
        bed.file("heal", "");
        run.wait_for_err("hung (0) could not start");
        run.wait_for_line("hung up");
        run.expect_stop();
    }
}

#[test]
fn a_stop_ends_a_boot_whose_ecosystem_file_does_not_answer() {
    let bed = with_a_file_system("script = \"true\"\n");
    bed.file("mnt/ecosystem.toml", bed.read("ecosystem.toml"));
    bed.file("go", "");
    let launch = bed.isolated(&["mnt/ecosystem.toml"]).system_path();
    let mount = "python3 hung.py & while [ ! -e mounted ]; do sleep 0.02; done; echo starts";
    let mut run = launch.own_mounts().pid1().after(mount).start();
    run.wait_for_line("starts");
    support::wait_until("the thread that reads the file", || {
        std::fs::read_dir(format!("/proc/{}/task", run.pid())).is_ok_and(|tasks| tasks.count() > 1)
    });
    run.signal(SIGTERM);
    run.wait_for_err("before anything was started");
    // The kernel ends no process of which a thread waits for an answer that the file system has begun to make.
    bed.file("heal", "");
    run.expect_code(0);
}

#[test]
fn a_refused_boot_does_not_wait_for_its_termination_message() {
    let bed = with_a_file_system("script = \"./nowhere\"\n");
    bed.file("ecosystem.toml", format!("termination_log = \"mnt/why\"\n{}", bed.read("ecosystem.toml")));
    let mut run = start_with_a_hung_file_system(&bed);
    run.wait_for_err("nothing was started");
    let main_thread = || support::procfs::status(run.pid(), "State");
    support::wait_until("the end of the supervisor's thread", || main_thread().starts_with('Z'));
    // The kernel ends no process of which a thread waits for an answer that the file system has begun to make.
    bed.file("heal", "");
    run.expect_code(127);
}

#[test]
fn a_stop_of_the_only_start_leaves_the_schedules_of_the_other_apps() {
    let bed = with_a_file_system("script = \"true\"\ncwd = \"mnt\"\n");
    let file = bed.read("ecosystem.toml") + "autostart = false\ncron_restart = \"0 0 1 1 *\"\n";
    bed.file("ecosystem.toml", file);
    let mut run = start_with_a_hung_file_system(&bed);
    support::wait_until("the control socket", || bed.exists("home/procrun.sock"));
    command(&bed, &["stop", "hung"]).expect_code(0);
    let mut describe = command(&bed, &["describe", "fine"]);
    describe.wait_for_line("next run");
    describe.expect_code(0);
    run.expect_stop();
}

#[test]
fn a_signal_that_arrives_before_the_boot_is_handled_after_it() {
    let bed = with_a_file_system("script = \"true\"\ncwd = \"mnt\"\n");
    let mut run = start_with_a_hung_file_system(&bed);
    support::wait_until("the threads that check the apps", || {
        std::fs::read_dir(format!("/proc/{}/task", run.pid())).is_ok_and(|tasks| tasks.count() > 1)
    });
    run.signal(SIGHUP);
    run.wait_for_err("SIGHUP");
    run.wait_for_line("fine up");
    run.expect_stop();
}
