//! Sockets of a start that fails, and the files of unix sockets.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
};

use crate::support::{Bed, DEADLINE, SIGHUP};

use super::{SERVER, answer, app, request, served_by, start};

#[test]
fn an_app_of_another_user_that_cannot_start_is_reported() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./app\"\nuser = \"nobody\"\nlisten = \"tcp://127.0.0.1:0\"\n",
    );
    fs::set_permissions(bed.script("app", "#!/bin/sh\n"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut run = start(&bed);
    run.wait_for_err("app (0) could not start");
    assert!(run.err().lines().iter().any(|line| line.contains("Permission denied")), "{}", run.story());
    run.expect_code(126);
}

#[test]
fn a_stop_before_anything_has_started_leaves_no_file() {
    let bed = Bed::new();
    let path = bed.path("app.sock");
    let keys = format!("listen = \"unix://{}\"", path.display());
    bed.file("ecosystem.toml", format!("start_delay = \"1h\"\n{}", app(&keys)));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    run.wait_for_err("waiting for 1 h 0 min before the first start");
    // Connections may come already, and another look at the file does not close the door.
    UnixStream::connect(&path).unwrap();
    run.signal(SIGHUP);
    run.wait_for_err("no app has changed");
    UnixStream::connect(&path).unwrap();
    run.expect_stop();
    assert!(!path.exists());
}

#[test]
fn an_address_in_use_is_one_clear_error_and_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bed = Bed::new();
    let _listener = UnixListener::bind(bed.path("app.sock")).unwrap();
    let port = taken.local_addr().unwrap().port();
    for place in [format!("tcp://127.0.0.1:{port}"), format!("unix://{}", bed.path("app.sock").display())] {
        let first = "[[apps]]\nname = \"first\"\nscript = \"app.py\"\nlisten = \"tcp://127.0.0.1:0\"\n";
        bed.file("ecosystem.toml", format!("{first}{}", app(&format!("listen = \"{place}\""))));
        bed.file("app.py", SERVER);
        let mut run = start(&bed);
        run.expect_code(126);
        assert_eq!(run.out().lines(), [""; 0]);
        let said = run.err().lines();
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(
            said[0],
            format!("error: app `app`: cannot listen on {place}: Address already in use (os error 98)")
        );
        assert!(said[1].starts_with("  hint: another program listens there"), "{said:?}");
        assert_eq!(said[2], "nothing was started");
        assert!(bed.exists("app.sock"), "the other's file is left alone");
    }
}

#[test]
fn a_socket_in_a_missing_directory_is_a_clear_error() {
    let bed = served_by(SERVER, "listen = \"unix:///nowhere/app.sock\"");
    let mut run = start(&bed);
    run.expect_code(126);
    let said = run.err().lines();
    assert!(said[0].contains("cannot listen on unix:///nowhere/app.sock: No such file"), "{said:?}");
    assert_eq!(said[1], "  hint: create its directory: procrun does not");
}

#[test]
fn a_boot_that_is_refused_leaves_no_socket_file() {
    let bed = Bed::new();
    let listens = |number| format!("listen = \"unix://{}\"", bed.path(&format!("{number}.sock")).display());
    let apps: String = (0..20)
        .map(|number| app(&listens(number)).replace("\"app\"", &format!("\"app-{number}\"")))
        .collect();
    bed.file("ecosystem.toml", format!("{apps}[[apps]]\nname = \"missing\"\nscript = \"./nowhere\"\n"));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    run.expect_code(127);
    let left: Vec<String> = bed.list(".").into_iter().filter(|name| name.contains(".sock")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stale_socket_file_is_replaced_and_its_mode_kept() {
    let bed = Bed::new();
    let path = bed.path("app.sock");
    drop(UnixListener::bind(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o766)).unwrap();
    bed.file("ecosystem.toml", app(&format!("listen = \"unix://{}\"", path.display())));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    run.wait_for_line("up");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o766);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    request(&mut stream, "/").unwrap();
    assert_eq!(answer(&mut stream).unwrap(), run.worker().to_string());
    run.expect_stop();
    assert!(!path.exists());
}
