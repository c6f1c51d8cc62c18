//! A real Next.js application, started in a cluster as its users start it with PM2.

use std::{collections::HashSet, os::unix::fs::symlink};

use crate::support::{
    Bed,
    load::under_load,
    wait_until,
    web::{Client, free_port, get, prepared_file},
};

/// The application that `tests/setup.sh test` has built, on this port.
fn bed_of(port: u16) -> Bed {
    let bed = Bed::new();
    let built = prepared_file("next");
    for name in [".next", "node_modules", "package.json"] {
        symlink(built.join(name), bed.path(name)).unwrap();
    }
    bed.file(
        "ecosystem.config.js",
        format!(
            "module.exports = {{
               apps: [{{
                 name: 'web',
                 script: 'node_modules/next/dist/bin/next',
                 args: 'start -p {port}',
                 instances: 2,
                 exec_mode: 'cluster',
                 env: {{ NEXT_TELEMETRY_DISABLED: '1' }},
               }}],
             }};\n"
        ),
    );
    bed
}

/// The processes that answer.
fn workers(port: u16) -> HashSet<String> {
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(port).unwrap()).collect();
    clients.iter_mut().map(|client| client.request("/api/pid").unwrap().body).collect()
}

#[test]
fn two_workers_of_next_serve_and_a_reload_loses_no_request() {
    let port = free_port();
    let bed = bed_of(port);
    let mut run = bed.isolated(&["ecosystem.config.js", "--log-level", "debug"]).start();
    run.wait_for_err_lines("listens on", 2);
    wait_until("a page", || get(port, "/").is_ok_and(|page| page.contains("served by")));
    wait_until("answers of two workers", || workers(port).len() == 2);
    let before = workers(port);
    for keep_alive in [true, false] {
        let load = under_load(port, "/api/pid", keep_alive, |requests| {
            requests.wait_for_more(20);
            bed.command(&["reload", "web"]).ok();
            requests.wait_for_more(20);
        });
        assert!(load.errors.is_empty(), "{load:?}{}", run.story());
    }
    wait_until("answers of two other workers", || {
        let after = workers(port);
        after.len() == 2 && after.is_disjoint(&before)
    });
    run.expect_stop();
}
