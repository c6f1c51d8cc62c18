//! What a worker is handed: descriptors, variables, and nothing else.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use crate::support::{Bed, last_number};

use super::{ANY_PORT, PROBE, probed, served_by, start};

#[test]
fn a_program_finds_its_sockets_by_the_rules_of_systemd() {
    for user in ["", "user = \"nobody\""] {
        let bed = served_by(
            PROBE,
            &format!(
                "{user}\nenv = {{ LISTEN_PID = \"1\", LISTEN_FDS = \"9\" }}\nlisten = [\n  \
                 \"tcp://127.0.0.1:0\",\n  \"web=tcp://*:0\",\n  \"udp://127.0.0.1:0\",\n  \
                 \"unix://{}/app.sock\",\n]",
                "${HOME}"
            ),
        );
        fs::set_permissions(bed.root(), fs::Permissions::from_mode(0o777)).unwrap();
        // procrun's parent handed it sockets too; they are not the workers'.
        let stranger = [("LISTEN_FDS", "7"), ("LISTEN_PID", "1"), ("LISTEN_FDNAMES", "a:b")];
        let launch = bed.launch(&["ecosystem.toml"]).system_path();
        let mut run = stranger.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start();
        let sockets = probed(&run, 1, 4);
        let path = bed.path("app.sock").display().to_string();
        let name = format!("unix_{path}");
        let expected = [
            ["3", "tcp_127.0.0.1_0", "stream", "127.0.0.1"],
            ["4", "web", "stream", "::"],
            ["5", "udp_127.0.0.1_0", "datagram", "127.0.0.1"],
            ["6", &name, "stream", &path],
        ];
        for (socket, [number, name, kind, at]) in sockets.iter().zip(expected) {
            let seen = [&socket[0], &socket[1], &socket[2], &socket[5]];
            assert_eq!(seen, [number, name, kind, at], "{sockets:?}");
        }
        let owner = fs::metadata(&path).unwrap().uid();
        let whole = run.wait_for_line("probed as");
        assert!(whole.contains(&format!("probed as {owner} ")), "the file is the worker's: {whole}");
        assert_eq!(owner == 65534, !user.is_empty(), "{whole}");
        assert_eq!(last_number(&whole), 7, "and no other descriptor: {whole}");
        run.expect_stop();
        assert!(!bed.exists("app.sock"), "the file of a socket goes with it");
    }
}

#[test]
fn an_app_without_a_socket_gets_no_variables() {
    let bed =
        served_by("import os; print(sorted(n for n in os.environ if 'LISTEN' in n))", "autorestart = false");
    let launch = bed.launch(&["ecosystem.toml"]).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "x");
    let mut run = launch.env("LISTEN_PID", "1").env("LISTEN_PIDFDID", "1").start();
    run.expect_code(0);
    assert!(run.out().lines()[0].ends_with("[]"), "{}", run.story());
}

#[test]
fn more_sockets_than_procrun_had_free_numbers() {
    let addresses: Vec<String> = (1..=40).map(|last| format!("\"tcp://127.0.0.{last}:0\"")).collect();
    for user in ["", "user = \"nobody\""] {
        let bed = served_by(PROBE, &format!("{user}\nlisten = [{}]", addresses.join(", ")));
        let mut run = bed.launch(&["ecosystem.toml"]).system_path().start();
        let sockets = probed(&run, 1, 40);
        for (number, socket) in sockets.iter().enumerate() {
            assert_eq!(socket[0], (number + 3).to_string());
            assert_eq!(socket[5], format!("127.0.0.{}", number + 1), "in their order: {sockets:?}");
        }
        run.expect_stop();
    }
}

#[test]
fn a_shell_line_that_ends_in_exec_passes_the_sockets_on() {
    let bed =
        Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"true; exec python3 app.py\"\n{ANY_PORT}\n"));
    bed.file("app.py", PROBE);
    let mut run = start(&bed);
    assert_eq!(probed(&run, 1, 1).len(), 1);
    run.expect_stop();
}
