//! The real inotify, without the thread. The kernel queues an event before the system call that causes it returns, so
//! no test has to wait for events. The one exception is the end of writing, for which [`write`] waits.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
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
    watch::{own_files::OwnFiles, shared::Mailbox},
};

/// Writes a file and waits until it is closed in all processes.
fn write(path: impl AsRef<Path>, content: &str) {
    let mut file = File::create(&path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    close(file, path);
}

/// Closes a file and waits until it is closed in all processes. A process that another test starts at this moment
/// inherits the descriptor until its `exec`, and the kernel reports the end of writing only with the last copy.
fn close(file: File, path: impl AsRef<Path>) {
    // The copies hold the lock, too.
    file.lock().unwrap();
    drop(file);
    File::open(path).unwrap().lock().unwrap();
}

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
        write(path, name);
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
    // Several loop iterations: one does not read the whole queue of the kernel.
    for _ in 0..8 {
        thread.read_events();
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
    WatchThread { shared_state, inotify: None, apps: BTreeMap::new(), next: 0 }
}

fn directories(thread: &WatchThread<'_>) -> usize {
    let trees = thread.apps.values().map(|app| match &app.backend {
        Backend::Inotify(tree) => tree.directories(),
        Backend::Polling(_) => 0,
    });
    trees.sum()
}

/// The changes of editors and builds, for inotify and polling.
fn changes_of_files_are_reported(spec: WatchSpec) {
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

    write(bench.path("src/a.js"), "in place");
    assert_eq!(changed(&mut thread), ["src/a.js"]);

    write(bench.path("src/a.js.tmp"), "beside");
    fs::rename(bench.path("src/a.js.tmp"), bench.path("src/a.js")).unwrap();
    assert_eq!(changed(&mut thread), ["src/a.js"]);

    bench.file("src/new/er/c.js");
    assert_eq!(changed(&mut thread), ["src/new/er/c.js"]);
    write(bench.path("src/new/er/c.js"), "again");
    assert_eq!(changed(&mut thread), ["src/new/er/c.js"]);

    for name in
        ["node_modules/x/index.js", "node_modules/y/new.js", ".git/index", "logs/new.txt", ".a.swp", "a.tmp"]
    {
        bench.file(name);
    }
    let mode = fs::Permissions::from_mode(0o600);
    // Its content has not changed; it was written before the first scan, or longer ago.
    let old = SystemTime::now() - Duration::from_secs(3600);
    let file = File::options().write(true).open(bench.path("src/deep/b.js")).unwrap();
    file.set_modified(old).unwrap();
    close(file, bench.path("src/deep/b.js"));
    let _ = changed(&mut thread);
    fs::set_permissions(bench.path("src/deep/b.js"), mode).unwrap();
    fs::create_dir(bench.path("empty")).unwrap();
    assert_eq!(changed(&mut thread), [""; 0]);

    fs::rename(bench.path("src/deep"), bench.path("src/deeper")).unwrap();
    let moved = changed(&mut thread);
    assert!(moved.contains(&"src/deeper/b.js".to_owned()), "{moved:?}");
    write(bench.path("src/deeper/b.js"), "found again");
    assert_eq!(changed(&mut thread), ["src/deeper/b.js"]);

    fs::remove_dir_all(bench.path("src/new")).unwrap();
    assert_eq!(changed(&mut thread).len(), 1);
    fs::remove_file(bench.path("main.js")).unwrap();
    assert_eq!(changed(&mut thread).len(), 1);
    assert_eq!(changed(&mut thread), [""; 0]);
}

#[test]
fn inotify_reports_changes_of_files() {
    changes_of_files_are_reported(WatchSpec::default());
}

#[test]
fn polling_finds_changes_of_files() {
    changes_of_files_are_reported(WatchSpec { polling: Polling::Always, ..WatchSpec::default() });
}

/// As the kubelet updates a ConfigMap: a new directory, a new `..data`, and the old directory is removed.
fn replace_config_map(spec: WatchSpec, watch: &[&str]) {
    let bench = Bench::new();
    let version = |number: u32, mode: &str| {
        bench.file("x");
        let dir = bench.path(&format!("conf/..day{number}"));
        fs::create_dir_all(&dir).unwrap();
        write(dir.join("app.yaml"), &format!("mode: {mode}"));
        write(dir.join("same.yaml"), "same");
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
fn each_version_of_a_config_map_is_reported() {
    replace_config_map(WatchSpec::default(), &["conf"]);
    replace_config_map(WatchSpec::default(), &["conf/app.yaml"]);
    replace_config_map(WatchSpec { polling: Polling::Always, ..WatchSpec::default() }, &["conf"]);
}

#[test]
fn a_new_release_is_watched_instead_of_the_old_one() {
    for polling in [Polling::IfNeeded, Polling::Always] {
        let bench = Bench::new();
        bench.file("releases/1/app.js");
        bench.file("releases/2/app.js");
        symlink("releases/1", bench.path("current")).unwrap();
        let shared_state = shared_state();
        let mut thread = thread(&shared_state);
        thread.apply_config(vec![bench.watched(&["current"], WatchSpec { polling, ..WatchSpec::default() })]);
        write(bench.path("releases/1/app.js"), "changed");
        assert_eq!(changed(&mut thread), ["current/app.js"]);
        symlink("releases/2", bench.path("next")).unwrap();
        fs::rename(bench.path("next"), bench.path("current")).unwrap();
        assert_eq!(changed(&mut thread).len(), 1);
        write(bench.path("releases/1/app.js"), "changed, but old");
        assert_eq!(changed(&mut thread), [""; 0]);
        write(bench.path("releases/2/app.js"), "changed too");
        assert_eq!(changed(&mut thread), ["current/app.js"]);
    }
}

#[test]
fn a_directory_may_be_replaced_removed_and_created_again() {
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
        write(bench.path("dist/main.js"), "replaced");
        assert_eq!(changed(&mut thread), ["dist/main.js"]);
        write(bench.path("dist.old/main.js"), "not watched");
        assert_eq!(changed(&mut thread), [""; 0]);

        for round in 0..3 {
            fs::remove_dir_all(bench.path("dist")).unwrap();
            assert!(!changed(&mut thread).is_empty());
            bench.file("dist/main.js");
            assert!(!changed(&mut thread).is_empty(), "round {round}");
            write(bench.path("dist/main.js"), &format!("round {round}"));
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
        write(bench.path("later/on/x.js"), "now");
        assert_eq!(changed(&mut thread), ["later/on/x.js"]);
    }
}

/// The kernel reports the removal of a directory itself only when no process has it open: a shell whose working
/// directory it was, for example.
#[test]
fn a_directory_that_a_process_has_open_may_be_replaced() {
    for polling in [Polling::IfNeeded, Polling::Always] {
        let bench = Bench::new();
        bench.file("dist/sub/main.js");
        let shared_state = shared_state();
        let mut thread = thread(&shared_state);
        let spec = WatchSpec { polling, ..WatchSpec::default() };
        thread.apply_config(vec![bench.watched(&["dist/sub"], spec)]);
        let _open = ["dist", "dist/sub"].map(|name| File::open(bench.path(name)).unwrap());
        fs::remove_dir_all(bench.path("dist")).unwrap();
        bench.file("dist/sub/main.js");
        assert!(!changed(&mut thread).is_empty());
        write(bench.path("dist/sub/main.js"), "replaced");
        assert_eq!(changed(&mut thread), ["dist/sub/main.js"]);
    }
}

#[test]
fn links_are_followed_unless_that_is_disabled() {
    for polling in [Polling::IfNeeded, Polling::Always] {
        let bench = Bench::new();
        bench.file("main.js");
        let (shared, lib) = (bench.outside("shared.js"), bench.outside("lib"));
        write(&shared, "x");
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
        write(&shared, "another");
        assert_eq!(changed(&mut following), ["shared.js"]);
        write(lib.join("new.js"), "x");
        assert_eq!(changed(&mut following), ["lib/new.js"]);
        assert_eq!(changed(&mut staying), [""; 0]);

        fs::remove_file(bench.path("shared.js")).unwrap();
        symlink("main.js", bench.path("shared.js")).unwrap();
        assert_eq!(changed(&mut following), ["shared.js"]);
        assert_eq!(changed(&mut staying), ["shared.js"]);
        fs::remove_file(bench.path("lib")).unwrap();
        let _ = (changed(&mut following), changed(&mut staying));
        write(lib.join("new.js"), "not watched");
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
    write(bench.path("data.db"), "known");
    assert_eq!(changed(&mut thread), ["data.db"]);
    for _ in 0..3 {
        close(OpenOptions::new().write(true).open(bench.path("data.db")).unwrap(), bench.path("data.db"));
    }
    assert_eq!(changed(&mut thread), [""; 0]);
    // A log, a database: a writer that never closes its file causes no event.
    let mut log = OpenOptions::new().create(true).append(true).open(bench.path("open.txt")).unwrap();
    log.write_all(b"line\n").unwrap();
    assert_eq!(changed(&mut thread), [""; 0]);
    close(log, bench.path("open.txt"));
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
    write(bench.outside(".gitignore"), "*.bin\n");
    bench.file("main.js");
    write(bench.path(".gitignore"), "gen\n");
    bench.file("gen/a.js");
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&[""], WatchSpec::default())]);
    bench.file("gen/a.js");
    bench.file("x.bin");
    assert_eq!(changed(&mut thread), [""; 0]);
    write(bench.path(".gitignore"), "nothing\n");
    assert_eq!(changed(&mut thread), [""; 0]);
    bench.file("gen/a.js");
    assert_eq!(changed(&mut thread), ["gen/a.js"]);
    bench.file("lib/.gitignore");
    write(bench.path("lib/.gitignore"), "*.out");
    let _ = changed(&mut thread);
    bench.file("lib/a.out");
    assert_eq!(changed(&mut thread), [""; 0]);
}

#[test]
fn patterns_and_depth_select_files() {
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
        write(bench.path(".env"), "A=12345");
        assert_eq!(changed(&mut thread), [".env"]);
        write(bench.path(".env.new"), "A=1");
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
    thread.read_events();
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
        write(path, "");
    }
    let shared_state = shared_state();
    let mut thread = thread(&shared_state);
    thread.apply_config(vec![bench.watched(&[""], WatchSpec::default())]);
    assert_eq!(directories(&thread), 102);
    write(bench.path("src/77/7777.js"), "x");
    assert_eq!(changed(&mut thread), ["src/77/7777.js"]);
    // More events than the kernel's queue holds.
    for number in 0..20_000 {
        write(bench.path(&format!("src/{}/{number}.ts", number % 100)), "");
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
