//! Where the socket is, who has it, and who may use it.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
};

use super::{APPS, socket, supervisor};
use crate::support::{self, Bed, SIGKILL, SIGSTOP, wait_until};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_default_socket_is_pid_1s_and_others_have_their_own() {
    let bed = Bed::with(APPS);
    let mut pid1 = supervisor(&bed, true, 3);
    assert_eq!(socket(&bed), bed.path("home/procrun.sock"));
    assert_eq!((mode(&bed.path("home")), mode(&socket(&bed))), (0o700, 0o600));
    let mut plain = supervisor(&bed, false, 3);
    let own = bed.path(&format!("home/{}.sock", plain.pid()));
    assert!(own.exists());
    assert!(bed.command(&["ping"]).ok().contains("procrun.sock"), "the default one is meant");
    let ping = bed.command(&["ping", "--socket", own.to_str().unwrap()]).ok();
    assert!(ping.contains(&format!("pid {}", plain.pid())), "{ping}");
    pid1.expect_stop();
    assert!(
        bed.command(&["ping"]).ok().contains(&format!("pid {}", plain.pid())),
        "the only live one is meant"
    );
    plain.expect_stop();
    assert_eq!(bed.list("home"), [""; 0], "nothing is left behind");
}

#[test]
fn without_a_supervisor_the_list_is_empty() {
    let bed = Bed::new();
    for command in ["jlist", "prettylist"] {
        let said = bed.command(&[command]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "[]\n", ""), "{command}");
    }
    let said = bed.command(&["list"]);
    assert!(said.err.starts_with("notice: no supervisor is running"), "{said:?}");
    assert_eq!(said.ok().lines().count(), 4, "headings and no row");
    assert_eq!(bed.command(&["list", "-m"]).ok(), "");
    let list = bed.command(&["list", "--json"]).json();
    assert_eq!(list, serde_json::json!({ "supervisor": null, "instances": [] }));
    assert!(!bed.exists("home"), "nothing was started for that");
    for command in ["jlist", "list"] {
        bed.command(&[command, "--socket", "typo.sock"]).fails(69, "typo.sock: no such socket");
    }
}

#[test]
fn of_several_one_has_to_be_named() {
    let bed = Bed::with(APPS);
    let (one, two) = (supervisor(&bed, false, 3), supervisor(&bed, false, 3));
    bed.command(&["jlist"]).fails(69, "2 supervisors are running");
    let said = bed.command(&["list"]).fails(69, "2 supervisors are running");
    for run in [&one, &two] {
        assert!(said.contains(&format!("--socket {}/{}.sock", bed.home(), run.pid())), "{said}");
    }
}

#[test]
fn a_second_pid_1_leaves_the_first_its_socket() {
    let bed = Bed::with(APPS);
    let _first = supervisor(&bed, true, 3);
    let _second = supervisor(&bed, true, 3);
    assert_eq!(bed.list("home"), ["1.lock", "1.sock", "procrun.lock", "procrun.sock"]);
    bed.command(&["ping"]).ok();
    bed.command(&["ping", "--socket", "home/1.sock"]).ok();
}

#[test]
fn the_files_of_a_killed_supervisor_are_recognised_and_taken_over() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, true, 3);
    run.signal(SIGKILL);
    run.wait_end();
    assert!(bed.exists("home/procrun.sock"));
    bed.command(&["ping"]).fails(69, "procrun.sock: its supervisor has exited");
    assert_eq!(bed.command(&["jlist"]).ok(), "[]\n", "nothing runs there");
    let _next = supervisor(&bed, true, 3);
    assert_eq!(bed.list("home"), ["procrun.lock", "procrun.sock"]);
    bed.command(&["ping"]).ok();
}

#[test]
fn a_socket_can_be_named_and_a_file_in_its_place_stays() {
    let bed = Bed::with(APPS);
    let run = bed.isolated(&["ecosystem.toml", "--socket", "my.sock"]).start();
    run.wait_for_err_lines("is online, pid", 3);
    assert_eq!(mode(&bed.path("my.sock")), 0o600);
    bed.command(&["ping"]).fails(69, "no such socket");
    bed.command(&["--socket", "my.sock", "ping"]).ok();
    let second = bed.isolated(&["ecosystem.toml", "--socket", "my.sock"]).start();
    second.wait_for_err("another supervisor uses the control socket");
    second.wait_for_err_lines("is online, pid", 3);

    bed.file("data", "mine");
    let third = bed.isolated(&["ecosystem.toml", "--socket", "data"]).start();
    third.wait_for_err("cannot serve the control socket: ");
    third.wait_for_err_lines("is online, pid", 3);
    assert_eq!(bed.read("data"), "mine");
}

#[test]
fn without_a_directory_for_the_socket_it_runs_and_reports_that_once() {
    let bed = Bed::with(APPS);
    bed.file("home", "a file, not a directory");
    let mut run = supervisor(&bed, false, 3);
    run.wait_for_err("no directory can hold the control socket");
    run.expect_stop();
    let said = run.err().lines_with("control socket");
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn a_read_only_root_has_a_place_in_dev_shm() {
    let bed = Bed::with(APPS);
    let run = bed
        .launch(&["ecosystem.toml"])
        .own_mounts()
        .pid1()
        .after("mkdir -p /run; mount -t tmpfs -o ro none /run; mount -t tmpfs none /dev/shm")
        .start();
    run.wait_for_err_lines("is online, pid", 3);
    let own = bed.path("run");
    let shm = format!("/proc/{}/root/dev/shm/procrun-0", run.pid());
    wait_until("the socket", || fs::exists(format!("{shm}/procrun.sock")).unwrap());
    assert_eq!(mode(shm.as_ref()), 0o700);
    assert!(!own.exists());
}

#[test]
fn another_user_gets_no_word_in_and_root_does() {
    let bed = Bed::with(APPS);
    bed.file("home-of-7/.keep", "");
    let path = bed.path("home-of-7");
    std::os::unix::fs::chown(&path, Some(7777), Some(7777)).expect("these tests run as root");
    let binary = bed.copy(support::binary(), "procrun-of-all");
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let as_user = |user: &str, args: &[&str]| {
        let path = path.to_str().unwrap().to_owned();
        bed.launch(args)
            .binary(&binary)
            .env("PROCRUN_HOME", &path)
            .through(&["setpriv", "--reuid", user, "--regid", user, "--clear-groups"])
            .start()
    };
    let run = as_user("7777", &["ecosystem.toml"]);
    run.wait_for_err_lines("is online, pid", 3);
    as_user("7777", &["ping"]).output().ok();
    as_user("0", &["ping", "--socket", &socket_in(&path)]).output().ok();
    as_user("0", &["ping"]).output().fails(69, "it belongs to user 7777");
    as_user("0", &["jlist"]).output().fails(69, "it belongs to user 7777");

    // Even if the file permits it: every user may connect, but only its own user is served.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(socket_in(&path), fs::Permissions::from_mode(0o777)).unwrap();
    let said = as_user("8888", &["ping"]).output();
    assert_eq!(said.code, 69, "{said:?}");
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  try: s.sendall(b'{\"protocol\":2,\"procrun\":\"x\"}\\n\"kill\"\\n')\n\
                  except OSError: pass\n\
                  print(s.recv(65536).decode())\n";
    bed.file("client.py", script);
    let heard = support::tool(
        "setpriv",
        &["--reuid", "8888", "--clear-groups", "/usr/bin/python3", "client.py", &socket_in(&path)],
        bed.root(),
    );
    let heard = String::from_utf8_lossy(&heard.stdout).into_owned();
    assert!(heard.contains("user 8888 may not control this supervisor"), "{heard}");
    as_user("7777", &["ping"]).output().ok();
}

fn socket_in(path: &std::path::Path) -> String {
    let sockets: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sock"))
        .collect();
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    sockets[0].to_str().unwrap().to_owned()
}

#[test]
fn a_supervisor_that_hangs_is_not_waited_for_without_end() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, false, 3);
    run.signal(SIGSTOP);
    bed.command(&["list"]).fails(69, "does not answer");
    run.signal(support::SIGCONT);
    bed.command(&["list"]).ok();
}

#[test]
fn an_old_client_and_a_new_server_say_what_to_do() {
    let bed = Bed::new();
    fs::create_dir(bed.path("home")).unwrap();
    let listener = UnixListener::bind(bed.path("home/procrun.sock")).unwrap();
    let command = bed.isolated(&["list"]).start();
    let (mut stream, _) = listener.accept().unwrap();
    std::io::Write::write_all(&mut stream, b"{\"protocol\":9,\"procrun\":\"9.0.0\",\"more\":[]}\n").unwrap();
    let said = command.output().fails(1, "is procrun 9.0.0 with protocol version 9");
    assert!(said.contains(&format!("/proc/{}/exe list", std::process::id())), "{said}");
}
