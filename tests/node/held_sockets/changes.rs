//! Changes of `listen` while applications run.

use std::{net::TcpListener, os::unix::net::UnixStream};

use crate::support::{Bed, Procrun, SIGHUP, text, wait_until};

use super::{ANY_PORT, PROBE, SERVER, address, app, get, served_by, start};

#[test]
fn a_change_that_cannot_listen_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let bed = served_by(SERVER, ANY_PORT);
    let mut run = start(&bed);
    let at = address(&run);
    let pid = get(at, "/").unwrap();
    let sock = bed.path("app.sock").display().to_string();
    bed.file("ecosystem.toml", app(&format!("listen = [\"unix://{sock}\", \"tcp://{taken}\"]")));
    run.signal(SIGHUP);
    run.wait_for_err(&format!("cannot listen on tcp://{taken}: Address already in use"));
    run.wait_for_err("nothing was changed");
    assert_eq!(get(at, "/").unwrap(), pid, "the same process on the same port");
    assert!(!bed.exists("app.sock"), "what was opened in vain is closed");
    run.expect_stop();
}

#[test]
fn a_changed_listen_keeps_its_sockets_and_moves_others() {
    let bed = Bed::new();
    let sock = bed.path("app.sock").display().to_string();
    let two = |app: &str, other: &str| {
        format!(
            "[[apps]]\nname = \"app\"\nscript = \"app.py\"\nlisten = [{app}]\n\
             [[apps]]\nname = \"other\"\nscript = \"app.py\"\nlisten = [{other}]\n"
        )
    };
    bed.file("app.py", PROBE);
    let (any, own, unix) = ("\"tcp://127.0.0.1:0\"", "\"tcp://127.0.0.2:0\"", format!("\"unix://{sock}\""));
    bed.file("ecosystem.toml", two(&format!("{any}, {unix}"), own));
    let mut run = start(&bed);
    let seen = |run: &Procrun, app: &str, runs: usize, count: usize| {
        run.wait_for_lines("probed as", runs);
        let lines = run.out().lines();
        let of_app =
            lines.iter().filter(|line| line.contains(&format!("|{app} ")) && line.contains(" True "));
        let inodes = of_app.map(|line| text(line).split(' ').nth(4).unwrap().to_owned());
        let all: Vec<String> = inodes.collect();
        all[all.len() - count..].to_vec()
    };
    let before = seen(&run, "app", 2, 2);

    bed.file("ecosystem.toml", two(&format!("\"tcp://127.0.0.3:0\", {any}"), &format!("{own}, {unix}")));
    run.signal(SIGHUP);
    let app = seen(&run, "app", 4, 2);
    assert_eq!(app[1], before[0], "the same socket at another number");
    assert!(!before.contains(&app[0]));
    assert_eq!(seen(&run, "other", 4, 2)[1], before[1], "and this one is another's now");
    UnixStream::connect(&sock).unwrap();

    // An app that is gone takes its sockets with it.
    bed.file("ecosystem.toml", two(any, own).split("[[apps]]\nname = \"other\"").next().unwrap());
    run.signal(SIGHUP);
    assert_eq!(seen(&run, "app", 5, 1), [before[0].clone()]);
    wait_until("the file of the socket to be gone", || !bed.exists("app.sock"));
    run.expect_stop();
}
