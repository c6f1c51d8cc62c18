//! A file system that does not answer: it delays what needs it and nothing else.

use crate::{
    hostile::Tracer,
    support::{self, Bed, workers},
};

/// Waits for the file `go`, mounts a file system that does not answer at `mnt`, says so, reads all requests and
/// answers none. `asked` is there when one waits. With the file `heal`, `mnt` is what it was before, and what
/// waits fails.
const HUNG_FS: &str = r#"
import ctypes, os, select, signal, struct, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while not os.path.exists("go"):
    time.sleep(0.01)
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hung", b"mnt", b"fuse", 0, options) != 0:
    sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
_, _, unique = struct.unpack_from("<IIQ", os.read(fd, 1 << 20))
init = struct.pack("<IIIIHHIIHH8I", 7, 31, 65536, 0, 12, 10, 4096, 1, 1, 0, *([0] * 8))
os.write(fd, struct.pack("<IiQ", 16 + len(init), 0, unique) + init)
os.write(os.open("mounted", os.O_CREAT | os.O_WRONLY, 0o600), b"yes")
while not os.path.exists("heal"):
    if select.select([fd], [], [], 0.02)[0]:
        if not os.read(fd, 1 << 20):
            sys.exit()
        os.write(os.open("asked", os.O_CREAT | os.O_WRONLY, 0o600), b"yes")
libc.umount2(b"mnt", 2)
"#;

/// A bed with a directory `mnt`, an app `hung` that needs it, and an app `fine`.
pub(crate) fn with_a_file_system(app: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"hung\"\n{app}\n[[apps]]\nname = \"fine\"\nscript = \"./steady.sh\"\nargs = [\"fine\"]\n"
    ));
    bed.file("hung.py", HUNG_FS);
    bed.file("mnt/env", "A=1\n");
    bed.script("mnt/app.sh", "#!/bin/sh\nsleep 0.1\n");
    bed.script("mnt/bin/program", "#!/bin/sh\nsleep 0.1\n");
    bed.script("steady.sh", workers::STEADY);
    bed
}

/// Starts the applications as PID 1, with all files still there.
pub(crate) fn start_with_a_file_system(bed: &Bed) -> support::Procrun {
    let launch = bed.isolated(&["ecosystem.toml"]).system_path();
    let run = launch.own_mounts().pid1().after("python3 hung.py &").start();
    run.wait_for_line("fine up");
    run
}

/// Lets the file system stop answering.
pub(crate) fn hang(bed: &Bed) {
    bed.file("go", "");
    support::wait_until("the mount", || bed.exists("mounted"));
}

#[test]
fn a_file_system_that_does_not_answer_fails_the_starts_that_need_it_and_no_other() {
    for (app, step) in [
        ("script = \"true\"\ncwd = \"mnt\"\n", "opening its cwd"),
        ("script = \"./mnt/app.sh\"\n", "looking up its script"),
        ("script = \"program\"\nenv = { PATH = \"mnt/bin:/usr/bin:/bin\" }\n", "the programs of PATH"),
    ] {
        let bed = with_a_file_system(&format!("{app}restart_delay = 100\nmax_restarts = 1000000\n"));
        let mut run = start_with_a_file_system(&bed);
        run.wait_for_err("hung (0) is online");
        hang(&bed);
        let failure = run.wait_for_err("hung (0) ended: spawn-failed, its start hangs");
        assert!(failure.contains(step), "{failure}");
        run.wait_for_err("hung (0) ended: spawn-failed, its last start still hangs");
        // The supervisor answers, starts other applications, and stops all in order.
        bed.command(&["restart", "fine"]).ok();
        run.wait_for_lines("fine up", 2);
        run.expect_stop();
        assert_eq!(run.out().lines_with("fine bye TERM").len(), 2, "{}", run.story());
    }
}

#[test]
fn a_pid_file_on_a_file_system_that_does_not_answer_delays_nothing() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nargs = [\"hung\"]\npid_file = \"mnt/pid\"\n");
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + "pid_file = \"fine.pid\"\n");
    let mut run = start_with_a_file_system(&bed);
    run.wait_for_line("hung up");
    hang(&bed);
    bed.command(&["restart", "all"]).ok();
    run.wait_for_lines("hung up", 2);
    let up = run.wait_for_lines("fine up", 2).remove(1);
    support::wait_until("the other pid file", || {
        bed.read("fine.pid").trim() == support::last_pid(&up).to_string()
    });
    run.expect_stop();
    assert_eq!(run.out().lines_with("bye").len(), 4, "{}", run.story());
    assert!(!bed.exists("fine.pid"), "it does not wait for the other one");
}

/// Starts the applications as PID 1 when `mnt` does not answer any more.
fn start_with_a_hung_file_system(bed: &Bed) -> support::Procrun {
    bed.file("go", "");
    let launch = bed.isolated(&["ecosystem.toml"]).system_path();
    let mount = "python3 hung.py & while [ ! -e mounted ]; do sleep 0.02; done";
    launch.own_mounts().pid1().after(mount).start()
}

/// A command to the supervisor of this bed.
fn command(bed: &Bed, args: &[&str]) -> support::Procrun {
    bed.isolated(args).start()
}

/// An app that goes on when its file system does not.
const LONG: &str = "#!/bin/sh\necho hung up $A\nexec sleep 1000\n";

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
        let failure = run.wait_for_err("hung (0) ended: spawn-failed, its start hangs");
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
        run.wait_for_err("hung (0) ended: spawn-failed");
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
    run.signal(support::SIGTERM);
    run.wait_for_err("before anything was started");
    // The kernel ends no process of which a thread waits for an answer that the file system has begun to make.
    bed.file("heal", "");
    run.expect_code(0);
}

#[test]
fn an_app_whose_files_do_not_answer_stays_as_it_is_while_others_change() {
    let long = |keys: &str| format!("script = \"./mnt/long.sh\"\n{keys}");
    for (before, after, what) in [
        // Read with the configuration.
        (long("env_file = \"mnt/env\"\n"), long("env_file = \"mnt/env\"\n"), "reading its `env_file`"),
        (long("instances = 2\n"), long("instances = 2\n"), "looking up its script"),
        // Checked before it is changed.
        (long(""), long("env = { NEW = \"1\" }\n"), "looking up its script"),
    ] {
        let bed = with_a_file_system(&before);
        bed.script("mnt/long.sh", LONG);
        let mut run = start_with_a_file_system(&bed);
        run.wait_for_line("hung up");
        hang(&bed);
        let mut file = bed.read("ecosystem.toml").replace(&before, &after);
        file.push_str("env = { NEW = \"2\" }\n");
        bed.file("ecosystem.toml", &file);
        run.signal(support::SIGHUP);
        let said = run.wait_for_err("app `hung` stays as it is");
        assert!(said.contains(what), "{said}");
        run.wait_for_lines("fine up", 2);
        bed.file("ecosystem.toml", file.replace("\"2\"", "\"3\""));
        let mut apply = command(&bed, &["apply"]);
        apply.expect_code(0);
        apply.wait_for_line("app `hung` stays as it is");
        run.wait_for_lines("fine up", 3);
        assert!(run.err().lines_with("hung (0) ended").is_empty(), "it runs on{}", run.story());
        run.expect_stop();
    }
}

#[test]
fn a_command_that_would_replace_an_app_whose_files_do_not_answer_is_refused() {
    let bed = with_a_file_system("script = \"./mnt/long.sh\"\n");
    bed.script("mnt/long.sh", LONG);
    let mut run = start_with_a_file_system(&bed);
    run.wait_for_line("hung up");
    hang(&bed);
    for args in [&["restart", "hung", "--update-env"][..], &["restart", "hung", "-i", "2"]] {
        let mut restart = command(&bed, args);
        assert_ne!(restart.wait_end(), support::End::Code(0), "{args:?}");
        restart.wait_for_err("app `hung`: looking up its script `./mnt/long.sh`");
    }
    assert!(run.err().lines_with("hung (0) ended").is_empty(), "it runs on{}", run.story());
    run.expect_stop();
}

#[test]
fn apps_that_never_started_are_described_by_their_names_if_files_do_not_answer() {
    let apps = (0..60).map(|number| {
        format!("[[apps]]\nname = \"app-{number}\"\nscript = \"./mnt/app.sh\"\nautostart = false\n")
    });
    let bed = with_a_file_system("script = \"./mnt/app.sh\"\nautostart = false\n");
    let apps: String = std::iter::once(bed.read("ecosystem.toml")).chain(apps).collect();
    bed.file("ecosystem.toml", apps);
    let mut run = start_with_a_file_system(&bed);
    hang(&bed);
    for _ in 0..3 {
        let mut list = command(&bed, &["jlist"]);
        list.expect_code(0);
        assert_eq!(list.out().lines().join("").matches("\"pm_exec_path\":\"./mnt/app.sh\"").count(), 61);
    }
    let helpers = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    assert!(helpers(run.pid()) < 10, "one thread looks and hangs");
    run.expect_stop();
}

#[test]
fn a_hundred_apps_that_hang_leave_threads_for_another_one() {
    let apps = |keys: &str| -> String {
        let app = |number| {
            format!(
                "[[apps]]\nname = \"hung-{number}\"\nscript = \"exec sleep 1000\"\ncwd = \"mnt\"\n\
                 kill_timeout = 100\n{keys}[apps.health]\nexec = [\"true\"]\ninterval = \"500ms\"\n\
                 timeout = \"300ms\"\nretries = 1000\n"
            )
        };
        (0..100).map(app).collect()
    };
    let bed = with_a_file_system("script = \"./steady.sh\"\n");
    let fine = bed.read("ecosystem.toml");
    bed.file("ecosystem.toml", format!("{fine}{}", apps("")));
    let mut run = start_with_a_file_system(&bed);
    run.wait_for_err_lines("is online", 102);
    hang(&bed);
    let threads = || std::fs::read_dir(format!("/proc/{}/task", run.pid())).unwrap().count();
    support::wait_until("checks that hang", || threads() > 40);
    // All of them are checked before they are changed.
    bed.file("ecosystem.toml", format!("{fine}{}", apps("env = { NEW = \"1\" }\n")));
    run.signal(support::SIGHUP);
    run.wait_for_err("app `hung-99` stays as it is");
    command(&bed, &["restart", "fine"]).expect_code(0);
    run.wait_for_lines("fine up", 2);
    // And all of them hang in their start.
    let all: Vec<String> = (0..100).map(|number| format!("hung-{number}")).collect();
    let restart: Vec<&str> = std::iter::once("restart").chain(all.iter().map(String::as_str)).collect();
    let _restart = command(&bed, &restart);
    run.wait_for_err("hung-99 (101) ended: spawn-failed, its start hangs");
    command(&bed, &["restart", "fine"]).expect_code(0);
    run.wait_for_lines("fine up", 3);
    run.expect_stop();
}

#[test]
fn environments_that_hang_leave_threads_for_the_other_requests() {
    let bed = with_a_file_system("script = \"sleep 1000\"\nenv_file = \"mnt/env\"\nautostart = false\n");
    let mut run = start_with_a_hung_file_system(&bed);
    run.wait_for_line("fine up");
    let mut clients: Vec<_> = (0..24).map(|_| command(&bed, &["env", "hung"])).collect();
    for client in &mut clients {
        client.wait_for_err("reading the files of its environment timed out");
        assert_ne!(client.wait_end(), support::End::Code(0));
    }
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + "env = { NEW = \"1\" }\n");
    run.signal(support::SIGHUP);
    run.wait_for_lines("fine up", 2);
    run.expect_stop();
}

#[test]
fn twenty_files_that_hang_leave_an_app_of_another_file_system_alone() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nautostart = false\n");
    let hung = (0..20).map(|number| {
        bed.file(&format!("mnt/env-{number}"), "A=1\n");
        format!(
            "[[apps]]\nname = \"hung-{number}\"\nscript = \"./steady.sh\"\nautostart = false\n\
             env_file = \"mnt/env-{number}\"\n"
        )
    });
    let hung: String = hung.collect();
    bed.file("fine.env", "B=1\n");
    let fine = bed.read("ecosystem.toml") + "env_file = \"fine.env\"\n";
    // The files that hang are read first.
    bed.file("ecosystem.toml", format!("{hung}{fine}"));
    let mut run = start_with_a_file_system(&bed);
    hang(&bed);
    bed.file("ecosystem.toml", format!("{hung}{fine}env = {{ NEW = \"1\" }}\n"));
    // A busy machine may need more than the first reading, whose time the others use up.
    support::wait_until("the change of the app that does not hang", || {
        command(&bed, &["apply"]).wait_end();
        run.out().lines_with("fine up").len() > 1
    });
    run.expect_stop();
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
    run.signal(support::SIGHUP);
    run.wait_for_err("SIGHUP");
    run.wait_for_line("fine up");
    run.expect_stop();
}

/// `strace` before procrun and all its threads: these calls with this path are changed.
fn injected<'a>(inject: &'a str, path: &'a str) -> [&'a str; 10] {
    ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", inject, "-P", path]
}

/// A script that goes on.
const WEB: &str = "console.log('web up');\nsetInterval(() => {}, 1000);\n";

/// Starts procrun as PID 1 with a file system at `mnt` on which the look-up of each of these names fails until the
/// file `heal` is there.
fn start_with_a_failing_file_system(bed: &Bed, args: &[&str], names: &str) -> support::Procrun {
    bed.file("answering.py", ANSWERING_FS);
    let mount = format!("python3 answering.py {names} & while [ ! -e mounted ]; do sleep 0.02; done");
    let bin = format!("{}:{}", bed.path("mnt/bin").display(), std::env::var("PATH").unwrap());
    bed.isolated(args).env("PATH", &bin).own_mounts().pid1().after(&mount).start()
}

/// A bed with a script for Node in a directory, another script, and a program.
fn with_three_programs() -> Bed {
    let bed = Bed::new();
    bed.file("mnt/web/package.json", r#"{ "main": "lib.js" }"#);
    bed.file("mnt/web/lib.js", WEB);
    for script in ["mnt/long.sh", "mnt/bin/only-in-path"] {
        bed.script(script, "#!/bin/sh\necho web up\nexec sleep 1000\n");
    }
    bed
}

#[test]
fn a_main_file_that_cannot_be_looked_up_does_not_count_against_the_app() {
    let bed = with_three_programs();
    bed.file("ecosystem.toml", "[[apps]]\nname = \"web\"\nscript = \"./mnt/web\"\nmax_restarts = 1\n");
    let mut run = start_with_a_failing_file_system(&bed, &["ecosystem.toml"], "package.json");
    // More often than `max_restarts` allows.
    for failure in run.wait_for_err_lines("web (0) ended: spawn-failed", 3) {
        assert!(failure.contains("Input/output error"), "{failure}");
    }
    bed.file("heal", "");
    run.wait_for_line("web up");
    run.expect_stop();
}

#[test]
fn a_target_that_cannot_be_looked_up_is_started_when_it_can() {
    for (target, name) in
        [("./mnt/long.sh", "long.sh"), ("mnt/web", "package.json"), ("only-in-path", "only-in-path")]
    {
        let bed = with_three_programs();
        let mut run = start_with_a_failing_file_system(&bed, &[target], name);
        run.wait_for_err("ended: spawn-failed");
        bed.file("heal", "");
        run.wait_for_line("web up");
        run.expect_stop();
    }
}

#[test]
fn a_schedule_begins_when_its_time_zone_can_be_read() {
    for (inject, why) in [
        ("inject=openat:error=EIO:when=1..2", "failed: Input/output error"),
        // Longer than the configuration waits.
        ("inject=openat:delay_enter=3000000:when=1", "timed out"),
    ] {
        let bed = Bed::with(
            "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
        );
        bed.script("steady.sh", workers::STEADY);
        let inject = injected(inject, "/etc/localtime");
        let mut run = bed.isolated(&["ecosystem.toml"]).through(&inject).start();
        let notice = run.wait_for_err("looking up its time zone /etc/localtime");
        assert!(notice.contains(why), "{notice}");
        run.wait_for_line("app up");
        run.wait_for_err("app `app`: its time zone is known");
        run.wait_for_line("app bye TERM");
        run.expect_stop();
    }
}

#[test]
fn a_shortage_in_the_preflight_replaces_no_app_that_runs() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"long.sh\"\n");
    bed.script("long.sh", "#!/bin/sh\necho app up $NEW\nexec sleep 1000\n");
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("app up");
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + "env = { NEW = \"1\" }\n");
    {
        let path = format!("{}/long.sh", bed.root().display());
        let inject = ["-e", "inject=statx,newfstatat:error=ENFILE", "-P", &path];
        let _tracer = Tracer::with_all(run.pid(), &inject);
        run.signal(support::SIGHUP);
        let notice = run.wait_for_err("app `app` stays as it is");
        assert!(notice.contains("Too many open files in system") && notice.contains("try again"), "{notice}");
        let mut restart = command(&bed, &["restart", "app", "--update-env"]);
        restart.wait_for_err("Too many open files in system");
        assert_ne!(restart.wait_end(), support::End::Code(0));
        assert!(run.err().lines_with("app (0) ended").is_empty(), "it runs on{}", run.story());
    }
    command(&bed, &["apply"]).expect_code(0);
    run.wait_for_line("app up 1");
    run.expect_stop();
}

#[test]
fn a_preflight_that_waits_for_a_thread_does_not_count_as_one_that_hangs() {
    let app = |number| {
        format!(
            "[[apps]]\nname = \"hung-{number}\"\nscript = \"exec sleep 1000\"\ncwd = \"mnt\"\nkill_timeout = 100\n\
             [apps.health]\nexec = [\"true\"]\ninterval = \"500ms\"\ntimeout = \"300ms\"\nretries = 1000\n"
        )
    };
    let bed = with_a_file_system("script = \"./steady.sh\"\n");
    let apps: String = (0..60).map(app).collect();
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + &apps);
    let mut run = start_with_a_file_system(&bed);
    run.wait_for_err_lines("is online", 62);
    hang(&bed);
    let refusals = || {
        let mut restart = command(&bed, &["restart", "fine", "--update-env"]);
        restart.wait_end();
        restart.err().lines_with("app `fine`: its preflight has not begun within 3 s").len()
    };
    support::wait_until("checks that take all threads", || refusals() == 1);
    // The next one does not take that for a file system that does not answer.
    assert_eq!(refusals(), 1, "{}", run.story());
    bed.file("heal", "");
    support::wait_until("a restart", || {
        command(&bed, &["restart", "fine", "--update-env"]).wait_end() == support::End::Code(0)
    });
    run.expect_stop();
}

/// Mounts a file system at `mnt` until the file `heal` is there. It has directories and a file `page`, which can be
/// opened and mapped, and cannot be read: no request for its content is answered. The look-up of a name of the
/// arguments fails.
const ANSWERING_FS: &str = r#"
import ctypes, os, select, signal, struct, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"answering", b"mnt", b"fuse", 0, options) != 0:
    sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
PAGE, DIRECTORY = 2, 3
def attributes(node):
    mode = 0o100644 if node == PAGE else 0o40755
    return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
def answer(unique, error, body=b""):
    os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
def look_up(unique, name):
    if name in sys.argv:
        return answer(unique, -5)
    if name not in ("page", "web", "bin"):
        return answer(unique, -2)
    node = PAGE if name == "page" else DIRECTORY
    answer(unique, 0, struct.pack("<4Q2I", node, 0, 0, 0, 0, 0) + attributes(node))
while not os.path.exists("heal"):
    if not select.select([fd], [], [], 0.02)[0]:
        continue
    request = os.read(fd, 1 << 20)
    _, code, unique, node = struct.unpack_from("<IIQQ", request)
    if code == 26:  # INIT
        answer(unique, 0, struct.pack("<IIIIHHIIHH8I", 7, 31, 65536, 0, 12, 10, 4096, 1, 1, 0, *([0] * 8)))
        os.close(os.open("mounted", os.O_CREAT | os.O_WRONLY, 0o600))
    elif code == 1:  # LOOKUP
        look_up(unique, request[40:].rstrip(b"\0").decode())
    elif code == 3:  # GETATTR
        answer(unique, 0, struct.pack("<QII", 0, 0, 0) + attributes(node))
    elif code in (14, 27):  # OPEN, OPENDIR
        answer(unique, 0, struct.pack("<QII", 0, 0, 0))
    elif code not in (2, 15, 36, 42):  # FORGET has no answer, READ gets none
        answer(unique, -38)
libc.umount2(b"mnt", 2)
"#;

/// Makes each reader of its memory map wait: one thread reads the page through `/proc/self/mem` and holds the lock
/// of the map, another one waits for that lock to write.
const MAP_HOLDER: &str = r#"#!/usr/bin/env python3
import ctypes, os, signal, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
file = os.open("mnt/page", os.O_RDONLY)
page = libc.mmap(None, 4096, 1, 2, file, 0)
memory = os.open("/proc/self/mem", os.O_RDONLY)
open("/proc/self/comm", "w").write("holder")
print("maps", flush=True)
threading.Thread(target=os.pread, args=(memory, 1, page), daemon=True).start()
time.sleep(0.2)
libc.mmap(None, 4096, 1, 0x22, -1, 0)
signal.pause()
"#;

#[test]
fn a_process_that_holds_its_memory_map_holds_up_no_command() {
    let bed = Bed::with(
        "[[apps]]\nname = \"holder\"\nscript = \"./holder.py\"\nkill_timeout = 200\n\
         [[apps]]\nname = \"fine\"\nscript = \"./steady.sh\"\nargs = [\"fine\"]\n",
    );
    bed.script("holder.py", MAP_HOLDER);
    bed.script("steady.sh", workers::STEADY);
    bed.file("mnt/here", "");
    let mut run = start_with_a_failing_file_system(&bed, &["ecosystem.toml"], "none");
    run.wait_for_line("maps");
    let holder = || {
        let children = run.children().into_iter();
        let is_holder = |pid: &i32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "holder")
        };
        children.map(|child| child.pid).find(is_holder)
    };
    let sums = format!("/proc/{}/smaps_rollup", support::wait_for("the holder", holder));
    support::wait_until("the map to be held", || {
        let cat = support::tool("timeout", &["0.5", "cat", &sums], bed.root());
        cat.status.code() == Some(124)
    });
    // Each of them shows the share of the memory of its processes.
    for _ in 0..3 {
        for app in ["holder", "fine"] {
            command(&bed, &["describe", app]).expect_code(0);
        }
        command(&bed, &["jlist"]).expect_code(0);
    }
    command(&bed, &["restart", "fine"]).expect_code(0);
    run.wait_for_lines("fine up", 2);
    let readers = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", run.pid())).unwrap().flatten();
        let is_reader = |comm: std::io::Result<String>| comm.is_ok_and(|comm| comm.trim_end() == "proc");
        tasks.filter(|task| is_reader(std::fs::read_to_string(task.path().join("comm")))).count()
    };
    assert!(readers() <= 16, "{}", readers());
    bed.file("heal", "");
    run.expect_stop();
    assert_eq!(run.out().lines_with("fine bye TERM").len(), 2, "{}", run.story());
}

#[test]
fn a_control_socket_whose_directory_no_longer_answers_delays_no_end() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nargs = [\"hung\"]\n");
    bed.file("mnt/home/here", "");
    let home = bed.path("mnt/home").to_str().unwrap().to_owned();
    let launch = bed.launch(&["ecosystem.toml"]).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch.own_mounts().pid1().after("python3 hung.py &").start();
    run.wait_for_line("fine up");
    hang(&bed);
    run.signal(support::SIGTERM);
    // The first thread has ended, and the kernel waits for the one that removes the socket.
    let state = || support::procfs::process(run.pid()).map(|process| process.state);
    support::wait_until("the end of the supervisor's thread", || matches!(state(), None | Some('Z')));
    bed.file("heal", "");
    run.expect_code(0);
    assert_eq!(run.out().lines_with("bye TERM").len(), 2, "{}", run.story());
}
