//! Crashes of workers: the port stays open.

use std::io;

use crate::support::{
    Bed, SIGKILL, send,
    web::{get, port_of},
};

use super::{SERVER, app};

#[test]
fn a_crash_never_closes_the_port() {
    for balance in ["auto", "round-robin", "shared"] {
        let keys = format!("instances = 1\nbalance = \"{balance}\"\nmin_uptime = 0");
        let bed = Bed::with_files(&app(&keys), &[("app.js", SERVER)]);
        let procrun = bed.start_with_debug_log();
        let port = port_of(&procrun, 1);
        let mut last = 0;
        for round in 1..=3 {
            procrun.wait_for_lines("listening on", round);
            let pid: i32 = get(port, "/").unwrap().parse().unwrap();
            assert_ne!(pid, last);
            last = pid;
            send(pid, SIGKILL);
            // There is no worker at the moment: this waits for the next one.
            let next: i32 = get(port, "/").unwrap().parse().unwrap();
            assert_ne!(next, pid);
        }
    }
}

#[test]
fn connections_survive_a_crash_under_load() {
    let bed = Bed::with_files(
        &app("instances = 2\nbalance = \"round-robin\"\nmin_uptime = 0"),
        &[("app.js", SERVER)],
    );
    let procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    let mut refused = 0;
    let mut crashes = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let asked = (0..100).map(|_| get(port, "/"));
                    asked.filter(|answer| answer.as_ref().is_err_and(is_refused)).count()
                })
            })
            .collect();
        for _ in 0..4 {
            // What was on its way to the same worker may be cut off, but no port is closed.
            crashes += usize::from(get(port, "/crash").is_err());
        }
        refused += clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>();
    });
    assert_eq!((refused, crashes), (0, 4));
    procrun.wait_for_err_lines("exited: code 7", 4);
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}
