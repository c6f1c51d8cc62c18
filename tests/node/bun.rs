//! Several instances on the real Bun. It opens most of its sockets by itself, so they share a port
//! by Bun's own means and not by procrun's.

use std::{collections::HashSet, fmt::Write as _, os::unix::fs::symlink};

use crate::support::{
    Bed, Procrun, SIGTERM, wait_until,
    web::{fixture, free_port, get, prepared_file},
};

/// A bed whose one application `app` runs on Bun, on a port of its own; procrun finds no Node.
fn bed_of(script: &str, port: u16, keys: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"app\"\nscript = \"{script}\"\nport = {port}\ninstances = 2\n{keys}\n"
    ));
    bed.file(script, fixture(script));
    bed
}

/// Starts procrun where there is Bun and no Node.
fn start(bed: &Bed, file: &str) -> Procrun {
    std::fs::create_dir(bed.path("bin")).unwrap();
    symlink(prepared_file("nodes/bun/node_modules/.bin/bun"), bed.path("bin/bun")).unwrap();
    let path = bed.path("bin");
    bed.launch(&[file, "--log-level", "debug"]).env("PATH", &path.to_string_lossy()).start()
}

/// Asks until two processes have answered; the kernel chooses which one does.
#[track_caller]
fn both_answer(port: u16) {
    let mut pids = HashSet::new();
    wait_until("answers of two processes", || {
        pids.insert(get(port, "/").unwrap());
        pids.len() == 2
    });
}

/// No worker was reported for being Bun.
#[track_caller]
fn nothing_is_wrong(procrun: &Procrun) {
    for words in ["ignored", "its channel is closed", "ENOTSUP", "exited: code 1"] {
        assert!(procrun.err().lines_with(words).is_empty(), "{words}{}", procrun.story());
    }
}

#[test]
fn servers_of_http_share_a_port_and_speak_with_procrun() {
    let port = free_port();
    let bed = bed_of("bun-http.js", port, "shutdown_with_message = true");
    let mut procrun = start(&bed, "ecosystem.toml");
    procrun.wait_for_lines("up 0 of 2 cluster_mode true 1", 1);
    procrun.wait_for_lines("up 1 of 2 cluster_mode true 2", 1);
    both_answer(port);
    for instance in 0..2 {
        procrun.wait_for_err(&format!("app ({instance}) reports that it is ready"));
        procrun.wait_for_err(&format!("app ({instance}) has sent a message"));
        procrun.wait_for_err(&format!("app ({instance}) listens on port {port}"));
    }
    procrun.signal(SIGTERM);
    procrun.wait_for_lines("got shutdown", 2);
    procrun.expect_code(0);
    nothing_is_wrong(&procrun);
}

#[test]
fn buns_own_servers_share_a_port() {
    let port = free_port();
    let bed = bed_of("bun-serve.ts", port, "");
    let mut procrun = start(&bed, "ecosystem.toml");
    procrun.wait_for_lines("up", 2);
    both_answer(port);
    procrun.wait_for_err("app (0) reports that it is ready");
    procrun.expect_stop();
    nothing_is_wrong(&procrun);
}

#[test]
fn an_application_that_forks_under_bun_is_a_worker_here() {
    let port = free_port();
    let bed = bed_of("bun-cluster.js", port, "interpreter = \"bun\"");
    let mut procrun = start(&bed, "ecosystem.toml");
    procrun.wait_for_line("up 1");
    procrun.wait_for_line("up 2");
    both_answer(port);
    procrun.expect_stop();
    assert!(procrun.out().lines_with("a primary").is_empty());
    nothing_is_wrong(&procrun);
}

#[test]
fn a_socket_that_bun_cannot_take_is_an_error_of_the_application() {
    let port = free_port();
    let bed = bed_of("bun-net.js", port, "");
    let mut procrun = start(&bed, "ecosystem.toml");
    procrun.wait_for_lines("error ENOTSUP", 2);
    procrun.wait_for_err_lines("requests a socket of its cluster, which Bun cannot take", 2);
    procrun.expect_stop();
}

#[test]
fn a_socket_that_bun_opens_itself_is_shared() {
    let port = free_port();
    let bed = bed_of("bun-net.js", port, "env = { REUSE = \"yes\" }");
    let mut procrun = start(&bed, "ecosystem.toml");
    procrun.wait_for_lines("up", 2);
    procrun.expect_stop();
    nothing_is_wrong(&procrun);
}

#[test]
fn where_there_is_no_node_bun_reads_the_file_and_runs_the_script() {
    let port = free_port();
    let bed = Bed::new();
    let mut config =
        String::from("interface App { name: string; script: string; instances: number; port: number }\n");
    writeln!(
        config,
        "const apps: App[] = [{{ name: 'app', script: 'bun-serve.ts', instances: 2, port: {port} }}];\n\
         export default {{ apps }};"
    )
    .unwrap();
    bed.file("ecosystem.config.ts", config);
    bed.file("bun-serve.ts", fixture("bun-serve.ts"));
    let mut procrun = start(&bed, "ecosystem.config.ts");
    procrun.wait_for_lines("up", 2);
    both_answer(port);
    procrun.expect_stop();
    nothing_is_wrong(&procrun);
}
