//! How a worker is started: its user, its descriptors, and what runs its script.

use std::path::Path;

use crate::support::{self, Bed, Launch, Procrun, last_pid, procfs, text, wait_until, workers};

/// Runs a worker that prints facts about itself, line by line, up to `done`.
fn report_of(launch: Launch<'_>) -> (Procrun, Vec<String>) {
    let run = launch.start();
    run.wait_for_line("done");
    let lines = run.out().lines().iter().map(|line| text(line).to_owned()).collect();
    (run, lines)
}

#[test]
fn stdin_is_an_open_pipe_and_the_session_its_own() {
    for pid1 in [false, true] {
        let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app.py\"\n");
        bed.script(
            "app.py",
            "#!/usr/bin/env python3\nimport os, select, time\nprint(os.readlink('/proc/self/fd/0').split(':')[0])\n\
             print(select.select([0], [], [], 0.2)[0])\n\
             print(os.getsid(0) == os.getpid() == os.getpgrp())\nprint('done', flush=True)\ntime.sleep(1000)\n",
        );
        let (mut run, report) = report_of(bed.launch(&["ecosystem.toml"]).pid1_if(pid1));
        assert_eq!(report, ["pipe", "[]", "True", "done"]);
        run.expect_stop();
    }
}

/// Says that it waits for input, then what the end of it was.
const READS_TO_THE_END: &str = "#!/bin/sh\necho \"$1 reads $(readlink /proc/self/fd/0 | cut -d: -f1)\"\n\
    cat > \"$1.read\"\necho \"$1 found the end of its input\"\n";

#[test]
fn stdin_can_be_closed_and_a_task_has_none_by_default() {
    let bed = Bed::with(
        "[[apps]]\nname = \"open\"\nscript = \"./read.sh\"\nargs = [\"open\"]\n\
         [[apps]]\nname = \"null\"\nscript = \"./read.sh\"\nargs = [\"null\"]\nstdin = \"null\"\nautorestart = false\n\
         [[apps]]\nname = \"task\"\nscript = \"./read.sh\"\nargs = [\"task\"]\noneshot = true\n\
         [[apps]]\nname = \"asks\"\nscript = \"./read.sh\"\nargs = [\"asks\"]\noneshot = true\nstdin = \"open\"\n",
    );
    bed.script("read.sh", READS_TO_THE_END);
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_line("null reads /dev/null");
    run.wait_for_line("null found the end");
    run.wait_for_line("task reads /dev/null");
    run.wait_for_line("task found the end");
    run.wait_for_line("open reads pipe");
    run.wait_for_line("asks reads pipe");
    run.expect_stop();
    for name in ["open", "asks"] {
        assert!(run.out().lines_with(&format!("{name} found the end")).is_empty(), "{}", run.story());
    }
}

/// esbuild ends with its standard input, so that a build that is watched never outlives its terminal.
#[test]
fn a_bundler_that_watches_runs_as_long_as_its_stdin_is_open() {
    let bed = Bed::with(
        "[[apps]]\nname = \"watch\"\nscript = \"./node_modules/.bin/esbuild\"\n\
         args = [\"in.js\", \"--outfile=out.js\", \"--watch\"]\n\
         [[apps]]\nname = \"ends\"\nscript = \"./node_modules/.bin/esbuild\"\n\
         args = [\"in.js\", \"--outfile=other.js\", \"--watch\"]\nstdin = \"null\"\nautorestart = false\n",
    );
    std::os::unix::fs::symlink(support::web::prepared_file("apps/node_modules"), bed.path("node_modules"))
        .unwrap();
    bed.file("in.js", "console.log('first');\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    let bundled = |text: &str| wait_until(text, || bed.exists("out.js") && bed.read("out.js").contains(text));
    bundled("first");
    run.wait_for_err("ends (1) exited: code 0");
    bed.file("in.js", "console.log('second');\n");
    bundled("second");
    run.expect_stop();
    assert!(run.err().lines_with("watch (0) exited: code 0").is_empty(), "{}", run.story());
}

#[test]
fn no_descriptor_of_procruns_leaks() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./app.py\"\ninstances = 5\nout_file = \"out.log\"\nerror_file = \"err.log\"\n",
    );
    bed.script("app.py", workers::DESCRIPTORS);
    // What the caller of the tests leaked is another matter.
    let clean = "import os, sys; os.closerange(3, 4096); os.execv(sys.argv[1], sys.argv[1:])";
    let mut run = bed.launch(&["ecosystem.toml"]).pid1().through(&["python3", "-c", clean]).start();
    run.wait_for_lines("done", 5);
    run.expect_stop();
    let fds = run.out().lines_with(" fd ");
    for number in ["0", "1", "2", "15"] {
        assert_eq!(run.out().lines_with(&format!("fd {number} ")).len(), 5, "{}", run.story());
    }
    assert_eq!(fds.len(), 20, "0, 1, 2 and the IPC channel each{}", run.story());
}

#[test]
fn cwd_is_where_the_worker_runs_and_where_its_script_is_sought() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./here.sh\"\ncwd = \"deep/down\"\nautorestart = false\n\
         [[apps]]\nname = \"plain\"\nscript = \"./plain.sh\"\nautorestart = false\n",
    );
    bed.script("deep/down/here.sh", "#!/bin/sh\npwd\n");
    bed.script("plain.sh", "#!/bin/sh\npwd\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    let root = std::fs::canonicalize(bed.root()).unwrap();
    assert_eq!(text(&run.wait_for_line("0|app")), root.join("deep/down").to_string_lossy());
    assert_eq!(text(&run.wait_for_line("1|plain")), root.to_string_lossy());
}

#[test]
fn a_cwd_that_is_missing_is_named() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"/bin/true\"\ncwd = \"not-there\"\nautorestart = false\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    assert_ne!(run.wait_end(), support::End::Code(0));
    run.wait_for_err("not-there");
}

/// A passwd and a group file of our own, laid over the machine's.
fn with_users(bed: &Bed, args: &[&str]) -> Procrun {
    let real = |path: &str| std::fs::read_to_string(path).unwrap();
    bed.file("passwd", real("/etc/passwd") + "appuser:x:4321:4322:App:/home/appuser:/bin/sh\n");
    bed.file(
        "group",
        real("/etc/group")
            + "appgroup:x:4322:\nextra:x:4400:appuser\nmore:x:4401:other,appuser\nnot-his:x:4402:other\n",
    );
    bed.launch(args)
        .own_mounts()
        .after("mount --bind passwd /etc/passwd; mount --bind group /etc/group")
        .start()
}

#[test]
fn user_and_group_with_supplementary_groups() {
    for (keys, uid, gid, groups) in [
        ("user = \"appuser\"\n", "4321", "4322", &["4322", "4400", "4401"][..]),
        ("uid = \"appuser\"\n", "4321", "4322", &["4322", "4400", "4401"]),
        ("uid = 4321\n", "4321", "4322", &["4322", "4400", "4401"]),
        ("uid = \"4321\"\n", "4321", "4322", &["4322", "4400", "4401"]),
        ("uid = \"appuser\"\ngid = \"extra\"\n", "4321", "4400", &["4400", "4401"]),
        ("uid = 55555\ngid = 55556\n", "55555", "55556", &["55556"]),
    ] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"app\"\nscript = \"./id.sh\"\nautorestart = false\n{keys}"
        ));
        bed.script("id.sh", "#!/bin/sh\necho \"id $(id -u) $(id -g)\"\necho \"groups $(id -G)\"\ngrep CapEff /proc/self/status\n");
        let mut run = with_users(&bed, &["ecosystem.toml"]);
        run.expect_code(0);
        assert_eq!(text(&run.wait_for_line("id ")), format!("id {uid} {gid}"), "{keys}");
        let told = run.wait_for_line("groups ");
        let told: Vec<&str> = text(&told).split(' ').skip(1).collect();
        assert!(groups.iter().all(|group| told.contains(group)), "{keys}: {told:?}");
        let own = ["4322", "4400", "4401", "55556"];
        assert!(told.iter().all(|group| own.contains(group)), "of others: {keys}: {told:?}");
        assert!(run.wait_for_line("CapEff").ends_with("0000000000000000"), "{keys}{}", run.story());
    }
}

#[test]
fn dev_stdout_can_be_reopened_after_a_change_of_user() {
    for keys in ["", "uid = 65534\ngid = 65534\n"] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\nautorestart = false\n{keys}"
        ));
        bed.script(
            "app.sh",
            "#!/bin/sh\nset -e\necho to stdout > /dev/stdout\necho to stderr > /dev/stderr\necho by number > /proc/self/fd/1\n",
        );
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(0);
        run.wait_for_line("to stdout");
        run.wait_for_err("to stderr");
        run.wait_for_line("by number");
    }
}

/// A directory of fake interpreters that tell how they were called.
fn fake_interpreters(bed: &Bed, names: &[&str]) -> String {
    for name in names {
        bed.script(&format!("fakes/{name}"), format!("#!/bin/sh\necho \"{name} called:\" \"$@\"\n"));
    }
    format!("{}:{}", bed.path("fakes").display(), std::env::var("PATH").unwrap())
}

#[test]
fn the_extension_chooses_the_interpreter() {
    let bed = Bed::new();
    let path = fake_interpreters(&bed, &["node", "bun", "python3", "ruby", "php", "perl", "lua", "bash"]);
    for (script, interpreters) in [
        ("a.js", &["node"][..]),
        ("a.cjs", &["node"]),
        ("a.mjs", &["node"]),
        ("a.ts", &["node", "bun"]),
        ("a.py", &["python3"]),
        ("a.rb", &["ruby"]),
        ("a.php", &["php"]),
        ("a.pl", &["perl"]),
        ("a.lua", &["lua"]),
        ("a.sh", &["bash"]),
        ("extensionless", &["node"]),
    ] {
        bed.file(script, "no line that names an interpreter\n");
        bed.file(
            "ecosystem.toml",
            format!("[[apps]]\nname = \"app\"\nscript = \"{script}\"\nargs = [\"x y\", \"z\"]\nautorestart = false\n"),
        );
        let mut run = bed.launch(&["ecosystem.toml"]).env("PATH", &path).start();
        run.expect_code(0);
        let told = run.wait_for_line("called:");
        let expected = |name: &&str| text(&told).starts_with(&format!("{name} called:"));
        assert!(interpreters.iter().any(expected), "{script}: {told}");
        assert!(told.contains(script) && told.ends_with("x y z"), "{script}: {told}");
    }
}

#[test]
fn a_program_or_a_file_that_names_its_interpreter_runs_by_itself() {
    let bed = Bed::new();
    let path = fake_interpreters(&bed, &["node"]);
    bed.copy("/bin/echo", "elf");
    bed.script("shebang", "#!/bin/sh\necho \"shebang: $@\"\n");
    for (script, expected) in [("./elf", "a b c"), ("elf", "a b c"), ("./shebang", "shebang: a b c")] {
        let app = format!(
            "[[apps]]\nname = \"app\"\nscript = \"{script}\"\nargs = [\"a b\", \"c\"]\nautorestart = false\n"
        );
        bed.file("ecosystem.toml", &app);
        let mut run = bed.launch(&["ecosystem.toml"]).env("PATH", &path).start();
        run.expect_code(0);
        assert_eq!(text(&run.out().lines()[0]), expected, "{script}");
    }
}

#[test]
fn interpreter_and_its_args() {
    for (script, content, keys, expected) in [
        (
            "a.txt",
            "print('python says', end='')\nimport sys; print('', sys.argv[1:], sys.flags.optimize)\n",
            "interpreter = \"python3\"\ninterpreter_args = [\"-O\"]\nargs = [\"1\"]\n",
            "python says ['1'] 1",
        ),
        (
            "a.js",
            "console.log(process.execArgv.join(' '))\n",
            "node_args = [\"--max-old-space-size=64\", \"--no-warnings\"]\n",
            "--max-old-space-size=64 --no-warnings",
        ),
        (
            "a.js",
            "console.log(process.execArgv.join(' '))\n",
            "node_args = \"--max-old-space-size=64 --no-warnings\"\n",
            "--max-old-space-size=64 --no-warnings",
        ),
        (
            "a.js",
            "console.log(process.execArgv.join(' '))\n",
            "source_map_support = true\n",
            "--enable-source-maps",
        ),
        ("a.js", "#!/bin/sh\necho \"by itself\"\n", "interpreter = \"none\"\n", "by itself"),
        ("a.js", "echo \"a shell\" $1\n", "exec_interpreter = \"sh\"\nargs = \"script\"\n", "a shell script"),
    ] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"app\"\nscript = \"./{script}\"\nautorestart = false\n{keys}"
        ));
        bed.script(script, content);
        let mut run = bed.start(&["ecosystem.toml"]);
        run.expect_code(0);
        assert_eq!(text(&run.out().lines()[0]), expected, "{keys}");
    }
}

#[test]
fn a_script_with_spaces_that_is_no_file_is_a_shell_line() {
    let bed = Bed::with(
        "[[apps]]\nname = \"line\"\nscript = \"echo from a shell | tr a-z A-Z; exit 4\"\nautorestart = false\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(4);
    run.wait_for_line("FROM A SHELL");

    let bed = Bed::with("[[apps]]\nname = \"file\"\nscript = \"./with a space.sh\"\nautorestart = false\n");
    bed.script("with a space.sh", "#!/bin/sh\necho \"a file\"\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(0);
    run.wait_for_line("a file");
}

#[test]
fn args_as_text_are_split_and_as_a_list_are_not() {
    for (args, expected) in [
        ("\"--one --two=3 'four five'\"", "[--one] [--two=3] [four five]"),
        ("[\"--one two\", \"\", \"$HOME *\"]", "[--one two] [] [$HOME *]"),
    ] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"app\"\nscript = \"./args.sh\"\nautorestart = false\nargs = {args}\n"
        ));
        bed.script("args.sh", "#!/bin/sh\nfor arg do all=\"$all [$arg]\"; done\necho \"args:$all\"\n");
        let mut run = bed.start(&["ecosystem.toml"]);
        run.expect_code(0);
        assert_eq!(text(&run.wait_for_line("args:")), format!("args: {expected}"));
    }
}

#[test]
fn a_program_in_the_path_is_found_also_in_an_ecosystem_file() {
    let bed =
        Bed::with("[[apps]]\nname = \"app\"\nscript = \"my-tool\"\nargs = [\"1\"]\nautorestart = false\n");
    let path = fake_interpreters(&bed, &["my-tool"]);
    let mut run = bed.launch(&["ecosystem.toml"]).env("PATH", &path).start();
    run.expect_code(0);
    run.wait_for_line("my-tool called: 1");
}

#[test]
fn if_one_program_is_missing_nothing_starts() {
    for (script, keys, prepare_plain, code) in [
        ("./not-there.sh", "", false, 127),
        ("no-such-program-in-the-path", "", false, 127),
        ("./plain", "interpreter = \"none\"\n", true, 126),
        ("./first.sh", "interpreter = \"no-such-interpreter\"\n", false, 127),
    ] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"first\"\nscript = \"./first.sh\"\n\
             [[apps]]\nname = \"second\"\nscript = \"{script}\"\n{keys}\
             [[apps]]\nname = \"third\"\nscript = \"./first.sh\"\n"
        ));
        bed.script("first.sh", "#!/bin/sh\n> started\nexec sleep 1000\n");
        if prepare_plain {
            bed.file("plain", "#!/bin/sh\n> started\n");
        }
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(code);
        assert!(!bed.exists("started"), "{script}{}", run.story());
        run.wait_for_err("second");
    }
}

#[test]
fn pythons_output_is_not_buffered() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app.py\"\n");
    bed.file("app.py", "import time\nprint('at once')\ntime.sleep(1000)\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_line("at once");
    run.expect_stop();
}

#[test]
fn a_pid_file_of_pm2s_files_has_the_id_in_its_name() {
    let bed = Bed::new();
    bed.script("app.sh", "#!/bin/sh\nexec sleep 1000\n");
    let app = |name: &str, file: &str| {
        format!(r#"{{"name": "{name}", "script": "./app.sh", "pid_file": "{file}"}}"#)
    };
    let apps = [
        app("plain", "plain.pid"),
        app("numbered", "numbered-7.pid"),
        app("said", "{id}-said.pid"),
        app("other", "other.txt"),
    ];
    bed.file("ecosystem.json", format!("[{}]", apps.join(", ")));
    let mut run = bed.start(&["ecosystem.json"]);
    run.wait_for_err_lines("is online, pid", 4);
    for (name, id, file) in [
        ("plain", 0, "plain-0.pid"),
        ("numbered", 1, "numbered-1.pid"),
        ("said", 2, "2-said.pid"),
        ("other", 3, "other.txt"),
    ] {
        let pid = last_pid(&run.wait_for_err(&format!("{name} ({id}) is online, pid")));
        wait_until(file, || bed.read(file).trim() == pid.to_string());
    }
    let converted = bed.start(&["convert", "ecosystem.json", "-o", "-"]);
    converted.wait_for_line("pid_file = \"numbered-{id}.pid\"");
    run.expect_stop();
    assert_eq!(bed.list("."), ["app.sh", "ecosystem.json"], "gone with the workers");
}

#[test]
fn pid_file_holds_the_process_id() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\nargs = [\"app\"]\npid_file = \"app.pid\"\n",
    );
    bed.script("app.sh", workers::STEADY);
    let mut run = bed.start(&["ecosystem.toml"]);
    let pid = last_pid(&run.wait_for_line("app up"));
    wait_until("the pid file", || bed.read("app.pid").trim() == pid.to_string());
    run.expect_stop();
    assert!(!bed.exists("app.pid"), "gone with the worker");
}

#[test]
fn autostart_false_does_not_start() {
    let bed = Bed::with(
        "[[apps]]\nname = \"off\"\nscript = \"./app.sh\"\nargs = [\"off\"]\nautostart = false\n\
         [[apps]]\nname = \"on\"\nscript = \"./app.sh\"\nargs = [\"on\"]\n",
    );
    bed.script("app.sh", workers::STEADY);
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_line("on up");
    assert_eq!(run.children().len(), 1, "{}", run.story());
    run.expect_stop();
    assert_eq!(run.out().lines_with("off up").len(), 0, "{}", run.story());
}

#[test]
fn instances_follow_the_cpus_that_may_be_used() {
    for instances in ["\"max\"", "0", "-1"] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\nargs = [\"app\"]\ninstances = {instances}\n"
        ));
        bed.script("app.sh", workers::STEADY);
        let mut run = bed.launch(&["ecosystem.toml"]).through(&["taskset", "-c", "0"]).start();
        run.wait_for_line("app up");
        run.expect_stop();
        assert_eq!(run.out().lines_with("app up").len(), 1, "{instances}{}", run.story());
    }
}

/// Prints the size of its output pipes.
const TELLS_PIPES: &str = "#!/usr/bin/env python3\nimport fcntl, time\n\
    print('pipes', fcntl.fcntl(1, 1032), fcntl.fcntl(2, 1032), flush=True)\ntime.sleep(1000)\n";

#[test]
fn output_pipes_hold_a_mebibyte() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app.py\"\n");
    bed.script("app.py", TELLS_PIPES);
    let mut run = bed.start(&["ecosystem.toml"]);
    assert_eq!(text(&run.wait_for_line("pipes")), "pipes 1048576 1048576");
    run.expect_stop();
}

#[test]
fn without_privileges_pipes_use_at_most_half_of_the_users_limit() {
    let limit = std::fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").unwrap();
    let limit = limit.trim().parse::<u64>().unwrap() * 4096;
    let instances = limit / (2 * 1024 * 1024) / 2 + 6;
    let bed =
        Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"./app.py\"\ninstances = {instances}\n"));
    bed.script("app.py", TELLS_PIPES);
    // A separate user, whose limit no other process uses.
    let binary = bed.copy(support::binary(), "procrun");
    let launch = bed.launch(&["ecosystem.toml"]).binary(binary);
    let mut run = launch
        .through(&["setpriv", "--reuid=47110", "--regid=47110", "--clear-groups"])
        .system_path()
        .start();
    let told = run.wait_for_lines("pipes", usize::try_from(instances).unwrap());
    let sizes: Vec<u64> = told
        .iter()
        .flat_map(|line| text(line).split(' ').skip(1))
        .map(|size| size.parse().unwrap())
        .collect();
    assert!(sizes.iter().sum::<u64>() <= limit / 2, "{sizes:?}");
    assert!(sizes.contains(&1_048_576), "the first ones are large: {sizes:?}");
    assert!(sizes.iter().all(|&size| size >= 4096), "{sizes:?}");
    run.expect_stop();
}

#[test]
fn procruns_own_descriptors_do_not_grow_with_restarts() {
    let bed =
        Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\nmax_restarts = 200\nrestart_delay = 1\n");
    bed.script(
        "app.sh",
        "#!/bin/sh\necho x >> runs\n[ $(wc -l < runs) -ge 60 ] && echo last && exec sleep 1000\nexit 1\n",
    );
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_line("last");
    let open =
        |pid: i32| std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).unwrap().count();
    let few = open(run.pid());
    assert!(few < 40, "procrun holds {few} descriptors for one worker after 60 runs");
    assert!(procfs::alive(run.worker()));
    run.expect_stop();
}
