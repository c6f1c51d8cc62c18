//! The real inotify, without the thread: the kernel queues its events before the system call that causes them
//! returns, so no test has to wait.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::sys::eventfd::EventFd;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::{
    spec::WatchSpec,
    watch::{Mailbox, own_files::OwnFiles},
};

fn shared_state() -> WatchShared {
    WatchShared {
        mailbox: std::sync::Mutex::new(Mailbox::default()),
        wake_fd: EventFd::new().unwrap(),
        supervisor_wake: Notify::new(),
    }
}

/// A directory and its watcher.
struct Bench {
    root: PathBuf,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { root: dir.path().canonicalize().unwrap().join("app"), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn file(&self, name: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }

    fn watched(&self, paths: &[&str], spec: WatchSpec) -> Arc<Watched> {
        let paths = paths.iter().map(|path| self.root.join(path)).collect();
        Arc::new(Watched {
            name: "api".into(),
            cwd: self.root.clone(),
            script: self.path("main.js"),
            spec: WatchSpec { paths, ..spec },
            own: Arc::new(OwnFiles::default()),
        })
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }
}

/// Everything that has changed since the last call, relative to the application.
fn changed(thread: &mut WatchThread<'_>) -> Vec<String> {
    for app in thread.apps.values_mut() {
        if let Backend::Polling(scan) = &mut app.backend {
            scan.next = now();
        }
    }
    // Several turns: one does not read the whole queue of the kernel.
    for _ in 0..8 {
        thread.listen();
    }
    thread.poll_files();
    let later = now() + Duration::from_secs(3600);
    let mut changed: Vec<String> = thread
        .apps
        .values_mut()
        .flat_map(|app| {
            let changes = app.burst.take(later, Duration::ZERO).unwrap_or_default();
            changes.iter().map(|change| app.watched.describe(change)).collect::<Vec<_>>()
        })
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

fn thread(shared_state: &WatchShared) -> WatchThread<'_> {
    WatchThread { shared_state, kernel: None, apps: BTreeMap::new(), next: 0 }
}

fn directories(thread: &WatchThread<'_>) -> usize {
    let trees = thread.apps.values().map(|app| match &app.backend {
        Backend::Inotify(tree) => tree.directories(),
        Backend::Polling(_) => 0,
    });
    trees.sum()
}

/// What an editor or a build does, and whether it counts; the same for inotify and polling.
fn everything_that_happens_to_files(spec: WatchSpec) {
    let bench = Bench::new();
    for name in
        ["main.js", "src/a.js", "src/deep/b.js", "node_modules/x/index.js", ".git/HEAD", "logs/old.txt"]
    {
        bench.file(name);
    }
    let spec = WatchSpec { ignore: vec!["logs".into(), "*.tmp".into()], ..spec };
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&[""], spec)]);
    assert_eq!(changed(&mut thread), [""; 0]);

    fs::write(bench.path("src/a.js"), "in place").unwrap();
    assert_eq!(changed(&mut thread), ["src/a.js"]);

    fs::write(bench.path("src/a.js.tmp"), "beside").unwrap();
    fs::rename(bench.path("src/a.js.tmp"), bench.path("src/a.js")).unwrap();
    assert_eq!(changed(&mut thread), ["src/a.js"]);

    bench.file("src/new/er/c.js");
    assert_eq!(changed(&mut thread), ["src/new/er/c.js"]);
    fs::write(bench.path("src/new/er/c.js"), "again").unwrap();
    assert_eq!(changed(&mut thread), ["src/new/er/c.js"]);

    for name in
        ["node_modules/x/index.js", "node_modules/y/new.js", ".git/index", "logs/new.txt", ".a.swp", "a.tmp"]
    {
        bench.file(name);
    }
    let mode = fs::Permissions::from_mode(0o600);
    // Its content has not changed; it was written before the first scan, or longer ago.
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(bench.path("src/deep/b.js")).unwrap().set_modified(old).unwrap();
    let _ = changed(&mut thread);
    fs::set_permissions(bench.path("src/deep/b.js"), mode).unwrap();
    fs::create_dir(bench.path("empty")).unwrap();
    assert_eq!(changed(&mut thread), [""; 0]);

    fs::rename(bench.path("src/deep"), bench.path("src/deeper")).unwrap();
    let moved = changed(&mut thread);
    assert!(moved.contains(&"src/deeper/b.js".to_owned()), "{moved:?}");
    fs::write(bench.path("src/deeper/b.js"), "found again").unwrap();
    assert_eq!(changed(&mut thread), ["src/deeper/b.js"]);

    fs::remove_dir_all(bench.path("src/new")).unwrap();
    assert_eq!(changed(&mut thread).len(), 1);
    fs::remove_file(bench.path("main.js")).unwrap();
    assert_eq!(changed(&mut thread).len(), 1);
    assert_eq!(changed(&mut thread), [""; 0]);
}

#[test]
fn inotify_reports_changes_of_files() {
    everything_that_happens_to_files(WatchSpec::default());
}

#[test]
fn polling_finds_changes_of_files() {
    everything_that_happens_to_files(WatchSpec { polling: Polling::Always, ..WatchSpec::default() });
}

/// As the kubelet updates a ConfigMap: a new directory, a new `..data`, and the old directory is removed.
fn a_config_map_is_swapped(spec: WatchSpec, watch: &[&str]) {
    let bench = Bench::new();
    let version = |number: u32, mode: &str| {
        bench.file("x");
        let dir = bench.path(&format!("conf/..day{number}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("app.yaml"), format!("mode: {mode}")).unwrap();
        fs::write(dir.join("same.yaml"), "same").unwrap();
        symlink(dir.file_name().unwrap(), bench.path("conf/..data_tmp")).unwrap();
        fs::rename(bench.path("conf/..data_tmp"), bench.path("conf/..data")).unwrap();
        if number > 1 {
            fs::remove_dir_all(bench.path(&format!("conf/..day{}", number - 1))).unwrap();
        }
    };
    version(1, "first");
    symlink("..data/app.yaml", bench.path("conf/app.yaml")).unwrap();
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(watch, spec)]);
    for number in 2..6 {
        version(number, &"new ".repeat(number as usize));
        assert_eq!(changed(&mut thread), ["conf/app.yaml"], "version {number}");
        assert_eq!(changed(&mut thread), [""; 0]);
    }
}

#[test]
fn a_config_map_is_followed_from_version_to_version() {
    a_config_map_is_swapped(WatchSpec::default(), &["conf"]);
    a_config_map_is_swapped(WatchSpec::default(), &["conf/app.yaml"]);
    a_config_map_is_swapped(WatchSpec { polling: Polling::Always, ..WatchSpec::default() }, &["conf"]);
}

#[test]
fn a_release_that_is_swapped_is_watched_from_then_on() {
    for polling in [Polling::IfNeeded, Polling::Always] {
        let bench = Bench::new();
        bench.file("releases/1/app.js");
        bench.file("releases/2/app.js");
        symlink("releases/1", bench.path("current")).unwrap();
        let shared_state = shared_state();
        let mut thread = thread(&shared_state);
        thread.apply_config(vec![bench.watched(&["current"], WatchSpec { polling, ..WatchSpec::default() })]);
        fs::write(bench.path("releases/1/app.js"), "changed").unwrap();
        assert_eq!(changed(&mut thread), ["current/app.js"]);
        symlink("releases/2", bench.path("next")).unwrap();
        fs::rename(bench.path("next"), bench.path("current")).unwrap();
        assert_eq!(changed(&mut thread).len(), 1);
        fs::write(bench.path("releases/1/app.js"), "changed, but old").unwrap();
        assert_eq!(changed(&mut thread), [""; 0]);
        fs::write(bench.path("releases/2/app.js"), "changed too").unwrap();
        assert_eq!(changed(&mut thread), ["current/app.js"]);
    }
}

#[test]
fn a_directory_may_be_replaced_vanish_and_come_back() {
    for polling in [Polling::IfNeeded, Polling::Always] {
        let bench = Bench::new();
        bench.file("dist/main.js");
        bench.file("dist.new/main.js");
        let shared_state = shared_state();
        let mut thread = thread(&shared_state);
        thread.apply_config(vec![
            bench.watched(&["dist", "later/on"], WatchSpec { polling, ..WatchSpec::default() }),
        ]);
        fs::rename(bench.path("dist"), bench.path("dist.old")).unwrap();
        fs::rename(bench.path("dist.new"), bench.path("dist")).unwrap();
        assert!(!changed(&mut thread).is_empty());
        fs::write(bench.path("dist/main.js"), "replaced").unwrap();
        assert_eq!(changed(&mut thread), ["dist/main.js"]);
        fs::write(bench.path("dist.old/main.js"), "nobody's").unwrap();
        assert_eq!(changed(&mut thread), [""; 0]);

        for round in 0..3 {
            fs::remove_dir_all(bench.path("dist")).unwrap();
            assert!(!changed(&mut thread).is_empty());
            bench.file("dist/main.js");
            assert!(!changed(&mut thread).is_empty(), "round {round}");
            fs::write(bench.path("dist/main.js"), format!("round {round}")).unwrap();
            assert_eq!(changed(&mut thread), ["dist/main.js"]);
            // Changes between two scans are unknown.
            fs::remove_dir_all(bench.path("dist")).unwrap();
            bench.file("dist/main.js");
            assert!(!changed(&mut thread).is_empty(), "round {round}");
        }

        // A watched path may appear later, and its parents may be removed.
        bench.file("later/on/x.js");
        assert!(!changed(&mut thread).is_empty());
        fs::rename(bench.path("later"), bench.path("sooner")).unwrap();
        let _ = changed(&mut thread);
        bench.file("later/on/x.js");
        assert!(!changed(&mut thread).is_empty());
        fs::write(bench.path("later/on/x.js"), "now").unwrap();
        assert_eq!(changed(&mut thread), ["later/on/x.js"]);
    }
}

#[test]
fn links_are_followed_unless_they_must_not_be() {
    for polling in [Polling::IfNeeded, Polling::Always] {
        let bench = Bench::new();
        bench.file("main.js");
        let (shared, lib) = (bench.outside("shared.js"), bench.outside("lib"));
        fs::write(&shared, "x").unwrap();
        fs::create_dir(&lib).unwrap();
        symlink(&shared, bench.path("shared.js")).unwrap();
        symlink(&lib, bench.path("lib")).unwrap();
        symlink(".", bench.path("me")).unwrap();
        let shared_state = shared_state();
        let mut following = thread(&shared_state);
        following.apply_config(vec![bench.watched(&[""], WatchSpec { polling, ..WatchSpec::default() })]);
        let mut staying = thread(&shared_state);
        staying.apply_config(vec![
            bench.watched(&[""], WatchSpec { polling, follow_links: false, ..WatchSpec::default() }),
        ]);
        fs::write(&shared, "another").unwrap();
        assert_eq!(changed(&mut following), ["shared.js"]);
        fs::write(lib.join("new.js"), "x").unwrap();
        assert_eq!(changed(&mut following), ["lib/new.js"]);
        assert_eq!(changed(&mut staying), [""; 0]);

        fs::remove_file(bench.path("shared.js")).unwrap();
        symlink("main.js", bench.path("shared.js")).unwrap();
        assert_eq!(changed(&mut following), ["shared.js"]);
        assert_eq!(changed(&mut staying), ["shared.js"]);
        fs::remove_file(bench.path("lib")).unwrap();
        let _ = (changed(&mut following), changed(&mut staying));
        fs::write(lib.join("new.js"), "nobody's").unwrap();
        assert_eq!(changed(&mut following), [""; 0]);
    }
}

#[test]
fn opening_a_file_without_writing_is_no_change() {
    let bench = Bench::new();
    bench.file("data.db");
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&[""], WatchSpec::default())]);
    fs::write(bench.path("data.db"), "known").unwrap();
    assert_eq!(changed(&mut thread), ["data.db"]);
    for _ in 0..3 {
        drop(OpenOptions::new().write(true).open(bench.path("data.db")).unwrap());
    }
    assert_eq!(changed(&mut thread), [""; 0]);
    // A log, a database: a writer that never closes its file causes no event.
    let mut log = OpenOptions::new().create(true).append(true).open(bench.path("open.txt")).unwrap();
    std::io::Write::write_all(&mut log, b"line\n").unwrap();
    assert_eq!(changed(&mut thread), [""; 0]);
    drop(log);
    assert_eq!(changed(&mut thread), ["open.txt"]);
    // As `touch` of busybox, and Docker Desktop for a file of the host.
    let now = nix::sys::time::TimeSpec::UTIME_NOW;
    let at = nix::fcntl::AT_FDCWD;
    let flag = nix::sys::stat::UtimensatFlags::FollowSymlink;
    nix::sys::stat::utimensat(at, &bench.path("data.db"), &now, &now, flag).unwrap();
    assert_eq!(changed(&mut thread), ["data.db"]);
    fs::hard_link(bench.path("data.db"), bench.path("link.db")).unwrap();
    assert!(changed(&mut thread).contains(&"link.db".to_owned()));
}

#[test]
fn a_changed_gitignore_applies_at_once() {
    let bench = Bench::new();
    fs::create_dir_all(bench.outside(".git")).unwrap();
    fs::write(bench.outside(".gitignore"), "*.bin\n").unwrap();
    bench.file("main.js");
    fs::write(bench.path(".gitignore"), "gen\n").unwrap();
    bench.file("gen/a.js");
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&[""], WatchSpec::default())]);
    bench.file("gen/a.js");
    bench.file("x.bin");
    assert_eq!(changed(&mut thread), [""; 0]);
    fs::write(bench.path(".gitignore"), "nothing\n").unwrap();
    assert_eq!(changed(&mut thread), [""; 0]);
    bench.file("gen/a.js");
    assert_eq!(changed(&mut thread), ["gen/a.js"]);
    bench.file("lib/.gitignore");
    fs::write(bench.path("lib/.gitignore"), "*.out").unwrap();
    let _ = changed(&mut thread);
    bench.file("lib/a.out");
    assert_eq!(changed(&mut thread), [""; 0]);
}

#[test]
fn patterns_and_depth_say_which_files_count() {
    for polling in [Polling::IfNeeded, Polling::Always] {
        let bench = Bench::new();
        bench.file("src/a/b/c.js");
        bench.file(".env");
        let shared_state = shared_state();
        let mut thread = thread(&shared_state);
        let spec = WatchSpec { polling, ..WatchSpec::default() };
        thread.apply_config(vec![
            bench.watched(&["src/**/*.{js,ts}", ".env"], spec.clone()),
            bench.watched(&["src"], WatchSpec { depth: Some(1), ..spec }),
        ]);
        bench.file("src/a/b/c.css");
        bench.file("src/a/b/d.ts");
        assert_eq!(changed(&mut thread), ["src/a/b/d.ts"]);
        bench.file("src/a/x.css");
        assert_eq!(changed(&mut thread), ["src/a/x.css"]);
        fs::write(bench.path(".env"), "A=12345").unwrap();
        assert_eq!(changed(&mut thread), [".env"]);
        fs::write(bench.path(".env.new"), "A=1").unwrap();
        fs::rename(bench.path(".env.new"), bench.path(".env")).unwrap();
        assert_eq!(changed(&mut thread), [".env"]);
    }
}

#[test]
fn a_new_configuration_changes_only_what_differs() {
    let bench = Bench::new();
    bench.file("a/x");
    bench.file("b/x");
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&["a"], WatchSpec::default())]);
    bench.file("a/x");
    // Changes before the new configuration are not lost.
    thread.listen();
    thread.apply_config(vec![
        bench.watched(&["a"], WatchSpec::default()),
        bench.watched(&["b"], WatchSpec::default()),
    ]);
    bench.file("b/x");
    assert_eq!(changed(&mut thread), ["a/x", "b/x"]);
    assert_eq!(directories(&thread), 2);
    thread.apply_config(vec![bench.watched(&["b"], WatchSpec::default())]);
    bench.file("a/x");
    assert_eq!(changed(&mut thread), [""; 0]);
    bench.file("b/x");
    assert_eq!(changed(&mut thread), ["b/x"]);
    assert_eq!(directories(&thread), 1);
}

#[test]
fn ten_thousand_files_are_a_hundred_watches() {
    let bench = Bench::new();
    for number in 0..10_000 {
        let path = bench.path(&format!("src/{}/{number}.js", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        File::create(path).unwrap();
    }
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&[""], WatchSpec::default())]);
    assert_eq!(directories(&thread), 102);
    fs::write(bench.path("src/77/7777.js"), "x").unwrap();
    assert_eq!(changed(&mut thread), ["src/77/7777.js"]);
    // More events than the kernel's queue holds.
    for number in 0..20_000 {
        File::create(bench.path(&format!("src/{}/{number}.ts", number % 100))).unwrap();
    }
    let many = changed(&mut thread);
    assert!(!many.is_empty());
    bench.file("src/77/7777.js");
    assert_eq!(changed(&mut thread), ["src/77/7777.js"]);
}

#[test]
fn control_characters_in_names_are_escaped() {
    let bench = Bench::new();
    bench.file("main.js");
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&[""], WatchSpec::default())]);
    bench.file("a\nprocrun | all is well.js");
    assert_eq!(changed(&mut thread), ["a\\nprocrun | all is well.js"]);
    assert_eq!(
        bench.watched(&[""], WatchSpec::default()).describe(&Change::Path(Path::new("/etc/x").into())),
        "/etc/x"
    );
}
