//! What the kernel allows a worker, read back by the worker itself; and that procrun's own stays.

use std::fs;

use crate::support::{self, Bed, End, Procrun, SIGHUP, SIGKILL, last_pid, procfs, send, text, tool};

/// Prints what it was given, line by line, up to `done`.
const REPORTS: &str = r#"#!/bin/sh
cat /proc/self/limits
echo "nice $(cut -d' ' -f19 /proc/self/stat)"
echo "oom $(cat /proc/self/oom_score_adj)"
echo "umask $(umask)"
echo "privileges $(grep NoNewPrivs /proc/self/status)"
echo "user $(id -u)"
echo done
exec sleep 1000
"#;

/// The same of any process, as the kernel shows it.
fn own(pid: i32, what: &str) -> String {
    let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the process is there");
    match what {
        "nice" => {
            let stat = of("stat");
            let fields = stat.rsplit(')').next().expect("the last part").split_whitespace();
            // The third field is the first behind the name.
            fields.clone().nth(19 - 3).expect("a nice value").to_owned()
        }
        "oom" => of("oom_score_adj").trim().to_owned(),
        "umask" => procfs::status(pid, "Umask"),
        "privileges" => procfs::status(pid, "NoNewPrivs"),
        limit => of("limits").lines().find(|line| line.starts_with(limit)).expect("a limit").to_owned(),
    }
}

fn this() -> i32 {
    i32::try_from(std::process::id()).expect("a process id")
}

/// What an app reported.
struct Report(Vec<String>);

impl Report {
    #[track_caller]
    fn of(run: &Procrun, app: &str) -> Self {
        let label = format!("|{app}");
        let of_app = || {
            run.out()
                .lines()
                .into_iter()
                .filter(|line| line.split(" | ").next().unwrap().trim_end().ends_with(&label))
        };
        support::wait_until("the whole report", || of_app().any(|line| line.ends_with("| done")));
        Self(of_app().map(|line| text(&line).to_owned()).collect())
    }

    /// The line that begins so, its words after that.
    #[track_caller]
    fn words(&self, begin: &str) -> Vec<String> {
        let line = self.0.iter().find_map(|line| line.strip_prefix(begin));
        let line = line.unwrap_or_else(|| panic!("no {begin} in {:?}", self.0));
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Soft and hard limit of what /proc calls so.
    #[track_caller]
    fn limit(&self, name: &str) -> [String; 2] {
        let words = self.words(name);
        [words[0].clone(), words[1].clone()]
    }
}

/// All of them for one app, and none for another that starts after it.
fn limited(more: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"limited\"\nscript = \"./report\"\n\
         rlimits = {{ nofile = [1000, 2000], core = 0, nproc = [3000, \"4000\"], stack = \"4M\", as = \"unlimited\", \
         cpu = 600, fsize = [\"1M\", \"1G\"], nice = 0, rtprio = 0, msgqueue = 1000, sigpending = 99 }}\n\
         nice = -3\noom_score_adj = 1000\numask = \"027\"\nno_new_privileges = true\n{more}\
         [[apps]]\nname = \"plain\"\nscript = \"./report\"\n"
    ));
    bed.script("report", REPORTS);
    bed
}

#[test]
fn a_worker_has_what_it_is_given_and_procrun_keeps_what_it_has() {
    // A worker of procrun's own user shares its memory until its program runs, another one does not.
    for (more, user) in [("", "0"), ("uid = 65534\ngid = 65534\n", "65534")] {
        for pid1 in [false, true] {
            let bed = limited(more);
            let launch = bed.launch(&["ecosystem.toml"]).system_path().after("ulimit -Sn 600");
            let mut run = launch.pid1_if(pid1).start();
            let report = Report::of(&run, "limited");
            for (name, soft, hard) in [
                ("Max open files", "1000", "2000"),
                ("Max core file size", "0", "0"),
                ("Max processes", "3000", "4000"),
                ("Max stack size", "4194304", "4194304"),
                ("Max address space", "unlimited", "unlimited"),
                ("Max cpu time", "600", "600"),
                ("Max file size", "1048576", "1073741824"),
                ("Max nice priority", "0", "0"),
                ("Max realtime priority", "0", "0"),
                ("Max msgqueue size", "1000", "1000"),
                ("Max pending signals", "99", "99"),
            ] {
                assert_eq!(report.limit(name), [soft, hard], "{name}{}", run.story());
            }
            assert_eq!(report.words("nice "), ["-3"]);
            assert_eq!(report.words("oom "), ["1000"]);
            assert_eq!(report.words("umask "), ["0027"]);
            assert_eq!(report.words("privileges "), ["NoNewPrivs:", "1"]);
            assert_eq!(report.words("user "), [user]);

            let plain = Report::of(&run, "plain");
            assert_eq!(plain.limit("Max open files")[0], "600", "its old limit back{}", run.story());
            for limit in
                ["Max stack size", "Max cpu time", "Max processes", "Max file size", "Max pending signals"]
            {
                let ours = own(this(), limit);
                let ours: Vec<&str> = ours[limit.len()..].split_whitespace().take(2).collect();
                assert_eq!(plain.limit(limit), ours[..], "{limit}");
                assert_eq!(own(run.pid(), limit), own(this(), limit), "procrun's own");
            }
            let words = |what| plain.words(what).last().expect("a word").clone();
            assert_eq!(words("nice "), own(this(), "nice"));
            assert_eq!(words("oom "), own(this(), "oom"));
            assert_eq!(words("umask "), own(this(), "umask"));
            assert_eq!(words("privileges "), own(this(), "privileges"));
            for what in ["nice", "oom", "umask", "privileges"] {
                assert_eq!(own(run.pid(), what), own(this(), what), "procrun's own {what}");
            }
            run.expect_stop();
        }
    }
}

#[test]
fn a_successor_has_the_same_limits() {
    let bed = limited("");
    let mut run = bed.start(&["ecosystem.toml"]);
    let before = Report::of(&run, "limited");
    let worker = last_pid(&run.wait_for_err("limited (0) is online, pid"));
    send(worker, SIGKILL);
    run.wait_for_lines("|limited | done", 2);
    run.expect_stop();
    // The limit of file locks is the mark of a run.
    let without_mark = |report: Report| -> Vec<String> {
        report.0.into_iter().filter(|line| !line.starts_with("Max file locks")).collect()
    };
    let (before, report) = (without_mark(before), without_mark(Report::of(&run, "limited")));
    let half = report.len() / 2;
    // Since the CPU time of a process is no limit, all other lines are the same.
    assert_eq!(report[..half], report[half..]);
    assert_eq!(report[..half], before[..half]);
}

#[test]
fn changed_limits_restart_the_app_and_describe_shows_them() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./report\"\nrlimits = { nofile = 500 }\n");
    bed.script("report", REPORTS);
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    assert_eq!(Report::of(&run, "app").limit("Max open files"), ["500", "500"]);
    bed.file(
        "ecosystem.toml",
        "[[apps]]\nname = \"app\"\nscript = \"./report\"\nrlimits = { nofile = 400, stack = [\"1M\", \"2M\"] }\numask = 0o77\n",
    );
    run.signal(SIGHUP);
    run.wait_for_err("app: changed rlimits, umask");
    run.wait_for_lines("| done", 2);
    let described = |args: &[&str]| bed.command(&[&["describe", "app"], args].concat()).ok();
    let text = described(&[]);
    assert!(text.contains("nofile=400 stack=1M:2M") && text.contains("077"), "{text}");
    let json = described(&["--json"]);
    assert!(!json.contains("no_new_privileges") && json.contains("\"umask\""), "{json}");
    run.expect_stop();
}

#[test]
fn a_saved_list_is_restored_with_its_limits() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./report\"\nnice = 19\numask = \"077\"\nno_new_privileges = true\n\
         rlimits = { nofile = 400, as = [\"8G\", \"unlimited\"] }\n",
    );
    bed.script("report", REPORTS);
    // The supervisor in the background lives as long as the variable of the command that has started it.
    let background = |args: &[&str]| {
        let mut run = bed.isolated(args).start();
        run.expect_code(0);
        run
    };
    let wait_for_reports = |times| {
        let log = || bed.read("home/logs/app-out.log");
        support::wait_until("the whole report", || log().matches("\ndone\n").count() == times);
    };
    let _first = background(&["start", "ecosystem.toml"]);
    wait_for_reports(1);
    bed.command(&["save"]).ok();
    bed.command(&["kill"]).ok();
    let _second = background(&["resurrect"]);
    let text = bed.command(&["describe", "app"]).ok();
    for part in [
        "as=8G:unlimited nofile=400",
        "nice                19",
        "umask               077",
        "privileges   true",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    wait_for_reports(2);
    let report = bed.read("home/logs/app-out.log");
    assert_eq!(report.matches("\numask 0077\n").count(), 2, "{report}");
}

/// As a user that may raise nothing.
fn powerless(bed: &Bed, before: &str) -> Procrun {
    let binary = bed.copy(support::binary(), "procrun");
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    bed.launch(&["ecosystem.toml"]).binary(binary).system_path().after(before).through(&user).start()
}

#[test]
fn what_cannot_be_given_is_found_before_anything_starts() {
    for (before, keys, said) in [
        (
            "ulimit -n 1024",
            "rlimits = { nofile = [512, 4096] }",
            &["the limit `nofile` of 4096 is not allowed", "own hard limit is 1024", "--ulimit nofile=4096"]
                [..],
        ),
        (
            "ulimit -c 0",
            "rlimits = { core = \"unlimited\" }",
            &["the limit `core` of unlimited is not allowed", "own hard limit is 0", "--ulimit core=-1"],
        ),
        ("true", "nice = -20", &["`nice` = -20 is not allowed", "CAP_SYS_NICE"]),
        (
            "echo 100 > /proc/self/oom_score_adj",
            "oom_score_adj = -1",
            &["`oom_score_adj` = -1 is not allowed", "own is 100", "CAP_SYS_RESOURCE"],
        ),
    ] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"first\"\nscript = \"./first.sh\"\n\
             [[apps]]\nname = \"greedy\"\nscript = \"./first.sh\"\n{keys}\n"
        ));
        bed.script("first.sh", "#!/bin/sh\necho started\nexec sleep 1000\n");
        let mut run = powerless(&bed, before);
        run.expect_code(126);
        let error = run.err().lines().join("\n");
        assert!(error.contains("error: app `greedy`: ") && error.contains("\n  hint: "), "{error}");
        assert!(error.ends_with("nothing was started"), "{error}");
        for part in said {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
        assert_eq!(run.out().lines(), [""; 0], "nothing was started");
    }
}

#[test]
fn what_needs_no_rights_is_given_to_everybody() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./report\"\nnice = 19\noom_score_adj = 150\numask = \"077\"\n\
         no_new_privileges = true\nrlimits = { nofile = 64, core = 0 }\n",
    );
    bed.script("report", REPORTS);
    let mut run = powerless(&bed, "echo 100 > /proc/self/oom_score_adj");
    let report = Report::of(&run, "app");
    assert_eq!(report.limit("Max open files"), ["64", "64"]);
    assert_eq!(
        (report.words("nice "), report.words("oom ")),
        (vec!["19".to_owned()], vec!["150".to_owned()])
    );
    assert_eq!(
        (report.words("umask "), report.words("privileges ")[1].as_str()),
        (vec!["0077".to_owned()], "1")
    );
    assert_eq!(own(run.pid(), "oom"), "100");
    assert_eq!(own(run.pid(), "nice"), own(this(), "nice"));
    run.expect_stop();
}

#[test]
fn more_files_than_the_kernel_has_are_refused_to_root_too() {
    let bed = Bed::once("rlimits = { nofile = 4000000000 }\n", "echo started");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.expect_code(126);
    run.wait_for_err("error: app `main`: the limit `nofile` of 4000000000 is not allowed: the kernel gives no process more than");
    assert_eq!(run.out().lines(), [""; 0]);
}

#[test]
fn a_limit_that_is_refused_at_a_start_is_the_reason_of_the_exit() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./report\"\nmax_restarts = 3\nrlimits = { msgqueue = 1000 }\n",
    );
    bed.script("report", REPORTS);
    // As root, so that its limit can be lowered from here, but without root's right to raise it again.
    let without = ["setpriv", "--inh-caps=-sys_resource", "--bounding-set=-sys_resource"];
    let mut run = bed.launch(&["ecosystem.toml"]).through(&without).start();
    Report::of(&run, "app");
    let pid = run.pid().to_string();
    let lowered = tool("prlimit", &["--pid", &pid, "--msgqueue=10:10"], bed.root());
    assert!(lowered.status.success(), "{lowered:?}");
    send(run.worker(), SIGKILL);
    assert_eq!(run.wait_end(), End::Code(126), "{}", run.story());
    let ends = run.err().lines_with("app (0) could not start: the limit `msgqueue` of 1000 is not allowed");
    // The run that was killed was shorter than `min_uptime`, too.
    assert_eq!(ends.len(), 2, "{}", run.story());
    assert!(ends[0].contains("procrun's own hard limit is 10,"), "{ends:?}");
}

/// The kernel says so only when the program is to be executed, to a user that has changed and has
/// processes already.
#[test]
fn the_error_for_too_many_processes_of_a_user_names_the_limit() {
    let bed = Bed::with(
        "[[apps]]\nname = \"first\"\nscript = \"exec sleep 1000\"\nuid = 47111\n\
         [[apps]]\nname = \"second\"\nscript = \"exec sleep 1000\"\nuid = 47111\nrlimits = { nproc = 0 }\n\
         max_restarts = 2\ndepends_on = [\"first\"]\n",
    );
    let mut run = bed.launch(&["ecosystem.toml"]).system_path().start();
    run.wait_for_err("second (1) could not start: ");
    run.wait_for_err("hint: its user has more processes than the limit `nproc` allows");
    run.wait_for_err("errored: 2 unstable runs in a row");
    run.expect_stop();
    assert_eq!(run.err().lines_with("is online").len(), 1, "{}", run.story());
}
