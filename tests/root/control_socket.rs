//! The control socket beside a file system that does not answer.

use crate::{file_systems::with_a_file_system, support};

#[test]
fn a_control_socket_whose_directory_does_not_answer_delays_no_boot() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nargs = [\"hung\"]\n");
    bed.file("mnt/home/here", "");
    bed.file("go", "");
    let home = bed.path("mnt/home").to_str().unwrap().to_owned();
    let mount = "python3 hung.py & while [ ! -e mounted ]; do sleep 0.02; done";
    let launch = bed.launch(&["ecosystem.toml"]).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch.own_mounts().pid1().after(mount).start();
    run.wait_for_line("fine up");
    run.wait_for_err("the directory of the control socket does not answer");
    run.signal(support::SIGTERM);
    run.wait_for_line("fine bye TERM");
    // The kernel ends no process of which a thread waits for an answer that the file system has begun to make.
    bed.file("heal", "");
    run.expect_code(0);
}

#[test]
fn a_termination_message_whose_file_does_not_answer_leaves_no_control_socket_behind() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nargs = [\"hung\"]\n");
    bed.file("ecosystem.toml", format!("termination_log = \"mnt/why\"\n{}", bed.read("ecosystem.toml")));
    bed.file("go", "");
    // Not as PID 1, which ends the program that serves the file system.
    let mount = "python3 hung.py & while [ ! -e mounted ]; do sleep 0.02; done";
    let launch = bed.isolated(&["ecosystem.toml"]).system_path();
    let mut run = launch.own_mounts().after(mount).start();
    run.wait_for_line("fine up");
    let socket = format!("home/{}.sock", run.pid());
    support::wait_until("the control socket", || bed.exists(&socket));
    run.signal(support::SIGTERM);
    run.wait_for_err("cannot write the termination message: the file system does not answer");
    assert!(!bed.exists(&socket), "{:?}", bed.list("home"));
    // The kernel ends no process of which a thread waits for an answer that the file system has begun to make.
    bed.file("heal", "");
    run.expect_code(0);
}
