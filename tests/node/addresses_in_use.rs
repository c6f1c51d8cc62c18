//! Programs that cannot listen because their address is in use: their status, and the reason of their end.

use std::{net::TcpListener, time::Duration};

use crate::support::{Bed, now, wait_for, wait_until, web::free_port};
use serde_json::Value;

/// What `jlist` shows of each process: its status, whether it is ready, and its problem.
fn listed(bed: &Bed) -> Vec<(String, Value, String)> {
    let all = bed.command(&["jlist"]).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = |it: &Value| {
        let env = &it["pm2_env"];
        (text(&env["status"]), env["ready"].clone(), text(&env["problem"]))
    };
    all.as_array().unwrap().iter().map(shown).collect()
}

#[test]
fn a_second_process_in_fork_mode_on_the_same_port_is_errored_and_the_reason_names_the_port() {
    let port = free_port();
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"web\"\nscript = \"web.js\"\ninstances = 2\nexec_mode = \"fork\"\nport = {port}\n\
         restart_delay = 0\nmax_restarts = 4\n"
    ));
    bed.file("web.js", "require('http').createServer((_, it) => it.end()).listen(process.env.PORT);");
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    let reason = format!("cannot listen on port {port}: Address already in use (EADDRINUSE)");
    let ended = run.wait_for_err(&format!("({reason}), restarting in 100 ms"));
    let loser = usize::from(ended.contains("web (1)"));
    let others = wait_for("an errored process", || {
        let listed = listed(&bed);
        let (status, _, _) = &listed[loser];
        assert_ne!(status, "online", "it has failed at least once: {listed:?}");
        (status == "errored").then_some(listed)
    });
    assert_eq!((others[1 - loser].0.as_str(), others[loser].2.as_str()), ("online", reason.as_str()));
    run.wait_for_err(&format!("({reason}), errored: 4 unstable runs in a row"));
    run.wait_for_err("hint: another process listens there (`ss -ltnp` shows it)");
    let mut list = bed.isolated(&["list"]).start();
    list.expect_code(0);
    list.wait_for_line(&format!("web ({loser}): {reason}"));
    run.expect_stop();
}

#[test]
fn a_process_that_survives_a_failed_listen_is_not_online_until_it_listens() {
    for mode in ["fork", "cluster"] {
        let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"web\"\nscript = \"web.js\"\ninstances = 1\nexec_mode = \"{mode}\"\nport = {port}\n"
        ));
        bed.file(
            "web.js",
            "const server = require('http').createServer((_, it) => it.end());
             const listen = () => server.listen(+process.env.PORT, '0.0.0.0');
             server.on('error', (error) => { console.log('survives', error.code); setTimeout(listen, 50); });
             server.on('listening', () => console.log('listens'));
             listen();",
        );
        let mut run = bed.isolated(&["ecosystem.toml"]).start();
        run.wait_for_line("survives EADDRINUSE");
        run.wait_for_err(&format!("warn: web (0) cannot listen on 0.0.0.0:{port}: Address already in use"));
        let (status, ready, problem) = listed(&bed).remove(0);
        assert_eq!((status.as_str(), ready), ("launching", Value::Bool(false)), "{mode}");
        assert!(problem.starts_with(&format!("cannot listen on 0.0.0.0:{port}: ")), "{problem}");
        let mut health = bed.isolated(&["healthcheck"]).start();
        health.expect_code(1);
        health.wait_for_err("web (0) is launching: cannot listen on");
        drop(taken);
        run.wait_for_line("listens");
        wait_until("it to be online", || listed(&bed)[0].0 == "online");
        assert_eq!(listed(&bed)[0].2, "");
        run.expect_stop();
    }
}

/// Runs a script that listens although a port is in use, and checks that it counts as one that does its work.
fn is_online_although_a_port_is_in_use(script: &str) {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"web\"\nscript = \"web.js\"\nexec_mode = \"fork\"\nenv = {{ TAKEN = \"{port}\" }}\n"
    ));
    bed.file("web.js", script);
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("catches EADDRINUSE");
    run.wait_for_line("listens");
    wait_until("it to be online", || listed(&bed)[0].0 == "online");
    assert_eq!(listed(&bed)[0].2, "", "it has no problem");
    let mut health = bed.isolated(&["healthcheck"]).start();
    health.expect_code(0);
    run.expect_stop();
}

#[test]
fn a_process_that_listens_with_another_server_after_one_failed_is_online() {
    // As detect-port and portfinder do it.
    is_online_although_a_port_is_in_use(
        "const { createServer } = require('http');
         createServer().on('error', (error) => {
           console.log('catches', error.code);
           createServer().listen(0, '127.0.0.1', () => console.log('listens'));
         }).listen(+process.env.TAKEN, '127.0.0.1');",
    );
}

#[test]
fn a_process_that_listens_is_online_although_an_optional_port_is_in_use() {
    is_online_although_a_port_is_in_use(
        "const { createServer } = require('http');
         createServer().listen(0, '127.0.0.1', () => {
           console.log('listens');
           const metrics = createServer().on('error', (error) => console.log('catches', error.code));
           metrics.listen(+process.env.TAKEN, '127.0.0.1');
         });",
    );
}

#[test]
fn an_uncaught_failure_to_listen_is_the_reason_of_the_end_although_another_server_listens() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"web\"\nscript = \"web.js\"\nautorestart = false\nport = {port}\n"
    ));
    bed.file(
        "web.js",
        "const { createServer } = require('http');
         createServer().listen(0, '127.0.0.1', () => createServer().listen(+process.env.PORT, '127.0.0.1'));",
    );
    let mut run = bed.start(&["ecosystem.toml", "--json"]);
    run.expect_code(1);
    let ended: Value = serde_json::from_str(&run.wait_for_err("web (0) exited")).unwrap();
    assert_eq!(ended["reason"], "address-in-use", "{ended}");
}

/// A worker whose only server is optional: a queue consumer with a port for its metrics.
#[test]
fn a_process_that_handles_a_failed_listen_and_does_not_try_again_is_online() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    for (handler, is_online) in
        [("server.on('error', caught)", true), ("process.on('uncaughtException', caught)", false)]
    {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"consumer\"\nscript = \"consumer.js\"\nlisten_timeout = 300\nport = {port}\n"
        ));
        bed.file(
            "consumer.js",
            format!(
                "const server = require('http').createServer();
                 const caught = (error) => console.log('catches', error.code);
                 {handler};
                 server.listen(+process.env.PORT, '127.0.0.1');
                 setInterval(() => {{}}, 1e6);"
            ),
        );
        let mut run = bed.isolated(&["ecosystem.toml"]).start();
        run.wait_for_line("catches EADDRINUSE");
        run.wait_for_err("warn: consumer (0) cannot listen on 127.0.0.1:");
        let health = || bed.isolated(&["healthcheck"]).start();
        if is_online {
            run.wait_for_err(&format!(
                "consumer (0) handles the error and keeps running without 127.0.0.1:{port}"
            ));
            let (status, ready, problem) = listed(&bed).remove(0);
            assert_eq!((status.as_str(), ready), ("online", Value::Bool(true)));
            assert!(problem.starts_with("cannot listen on 127.0.0.1:"), "it stays visible: {problem}");
            health().expect_code(0);
        } else {
            let since = now();
            wait_until("more than its listen_timeout to pass", || {
                since.elapsed() > Duration::from_millis(400)
            });
            assert_eq!(listed(&bed)[0].0, "launching");
            health().expect_code(1);
        }
        run.expect_stop();
    }
}

/// Programs of other languages report nothing: their last lines tell.
#[test]
fn an_address_in_use_is_the_reason_of_the_end_of_other_programs() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let on_port = format!("port {port}");
    for (script, args, place) in [
        ("python3", format!("-m http.server --bind 127.0.0.1 {port}"), "its address"),
        (
            "python3",
            format!("-c \"import asyncio; asyncio.run(asyncio.start_server(print, '127.0.0.1', {port}))\""),
            &*on_port,
        ),
        ("nginx", "-e stderr -p . -c nginx.conf -g 'daemon off;'".to_owned(), &*on_port),
        ("./wrapper.sh", String::new(), &*on_port),
        ("npm", "start".to_owned(), &*on_port),
    ] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"web\"\nscript = {script:?}\nargs = {args:?}\nautorestart = false\n"
        ));
        let listen = format!("listen 127.0.0.1:{port};");
        bed.file(
            "nginx.conf",
            format!("pid nginx.pid; events {{}} http {{ access_log off; server {{ {listen} }} }}"),
        );
        bed.script(
            "wrapper.sh",
            format!(
                "#!/bin/sh\necho 'main.go:12: listen tcp :{port}: bind: address already in use' >&2\nexit 7\n"
            ),
        );
        bed.file("package.json", r#"{ "scripts": { "start": "node web.js" } }"#);
        bed.file("web.js", format!("require('http').createServer().listen({port}, '127.0.0.1');"));
        let mut run = bed.start(&["ecosystem.toml"]);
        let code = if script == "./wrapper.sh" { 7 } else { 1 };
        run.expect_code(code);
        run.wait_for_err(&format!(
            "(cannot listen on {place}: Address already in use (EADDRINUSE)), not restarting it"
        ));
        run.wait_for_err("hint: another process listens there");
    }
}

#[test]
fn only_the_last_lines_of_a_run_that_failed_tell_of_an_address_in_use() {
    // What an earlier run said, what is far above the end, stdout, and a success.
    let flood = "i=0; while [ $i -lt 40 ]; do echo line $i >&2; i=$((i+1)); done";
    for (body, reason) in [
        ("[ $run = 1 ] && echo 'bind: address already in use' >&2; exit 1", "exit"),
        (&*format!("echo 'bind: address already in use' >&2; {flood}; exit 1"), "exit"),
        ("echo 'bind: address already in use'; exit 1", "exit"),
        ("echo 'bind: address already in use' >&2; exit 0", "exit"),
        ("printf 'bind: address already in use' >&2; exit 1", "address-in-use"),
    ] {
        let keys = "max_restarts = 2\nrestart_delay = 0\nmin_uptime = \"10m\"\n";
        let bed = Bed::again(keys, &format!("echo >> starts; run=$(wc -l < starts)\n{body}"));
        let mut run = bed.start(&["ecosystem.toml", "--json"]);
        run.wait_end();
        let ended: Vec<Value> = run
            .err()
            .lines_with("main (0) exited")
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!((ended.len(), &ended[1]["reason"]), (2, &Value::from(reason)), "{body} {ended:?}");
    }
}

#[test]
fn an_error_handler_that_exits_leaves_the_reason_that_it_had() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"web\"\nscript = \"web.js\"\nautorestart = false\nport = {port}\n"
    ));
    // As express-generator's bin/www does it.
    bed.file(
        "web.js",
        "const server = require('http').createServer();
         server.on('error', () => { console.error('the port is already taken'); process.exit(1); });
         server.listen(process.env.PORT, '127.0.0.1');",
    );
    let mut run = bed.start(&["ecosystem.toml", "--json"]);
    run.expect_code(1);
    let ended: Value = serde_json::from_str(&run.wait_for_err("web (0) exited")).unwrap();
    assert_eq!(ended["reason"], "address-in-use", "{ended}");
}
