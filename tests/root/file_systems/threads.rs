//! Helper threads that a file system or a memory map holds up: others do the work.

use crate::support::{self, Bed, End, SIGHUP, workers};

use super::{
    command, hang, start_with_a_failing_file_system, start_with_a_file_system, start_with_a_hung_file_system,
    with_a_file_system,
};

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
    run.signal(SIGHUP);
    run.wait_for_err("app `hung-99` is unchanged");
    command(&bed, &["restart", "fine"]).expect_code(0);
    run.wait_for_lines("fine up", 2);
    // And all of them hang in their start.
    let all: Vec<String> = (0..100).map(|number| format!("hung-{number}")).collect();
    let restart: Vec<&str> = std::iter::once("restart").chain(all.iter().map(String::as_str)).collect();
    let _restart = command(&bed, &restart);
    run.wait_for_err("hung-99 (101) could not start: its start hangs");
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
        assert_ne!(client.wait_end(), End::Code(0));
    }
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + "env = { NEW = \"1\" }\n");
    run.signal(SIGHUP);
    run.wait_for_lines("fine up", 2);
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
        command(&bed, &["restart", "fine", "--update-env"]).wait_end() == End::Code(0)
    });
    run.expect_stop();
}

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
