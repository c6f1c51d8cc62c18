//! Log files on file systems that are full, slow or do not answer.

use crate::support::{
    self, Bed, End,
    strace::{Tracer, thread_of},
};

use super::{hang, start_with_a_file_system, with_a_file_system};

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
    assert_eq!(inside(&["ping"]).0, End::Code(0), "{}", run.story());
    let (end, said) = inside(&["save"]);
    assert!(end == End::Code(1) && said.contains("No space left on device"), "{end:?} {said}");
    // It is said once, not with each line.
    let before = run.out().lines_with("of this app").len();
    run.wait_for_lines("of this app", before + 100);
    assert_eq!(run.err().lines_with("cannot write the log file").len(), 1, "{}", run.story());

    std::fs::remove_file(format!("/proc/{pid}/root{}", bed.path("full/filler").display())).unwrap();
    run.wait_for_err("can be written again");
    assert_eq!(inside(&["restart", "app"]).0, End::Code(0), "{}", run.story());
    let full = format!("/proc/{pid}/root{}", bed.path("full").display());
    let names = || std::fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names().any(|name| name == "app.pid"), "{:?}", names().collect::<Vec<_>>());
    assert_eq!(inside(&["save"]).0, End::Code(0));
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
        let _tracer = Tracer::of(thread, &["-e", "inject=write:delay_enter=600000000", "-P", &path]);
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
