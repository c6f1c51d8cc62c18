//! When an application runs again, how long it waits, and when procrun gives up.

use std::{net::TcpListener, time::Duration};

use crate::support::{Bed, End, Procrun, SIGKILL, now, send, wait_for, wait_until, web::free_port, workers};
use serde_json::Value;

/// A bed whose one app notes the time of each start in `starts`, then does `body`.
fn app(keys: &str, body: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\n{keys}"));
    bed.script(
        "app.sh",
        format!("#!/bin/sh\nulimit -c 0\ndate +%s%N >> starts\nrun=$(wc -l < starts)\n{body}\n"),
    );
    bed
}

/// When the app was started, in milliseconds.
fn starts(bed: &Bed) -> Vec<u64> {
    bed.read("starts").lines().map(|line| line.parse::<u64>().expect("nanoseconds") / 1_000_000).collect()
}

/// The times between the starts, in milliseconds.
fn gaps(bed: &Bed) -> Vec<u64> {
    starts(bed).windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The delays that the log announces: `now` or `in 100 ms`.
fn announced(run: &Procrun) -> Vec<String> {
    let lines = run.err().lines_with(", restarting ");
    lines.iter().filter_map(|line| Some(line.split_once(", restarting ")?.1.to_owned())).collect()
}

#[test]
fn without_autorestart_it_runs_once() {
    for (code, signal) in [(0, ""), (4, ""), (137, "kill -9 $$")] {
        let bed = app("autorestart = false\n", &format!("{signal}\nexit {code}"));
        bed.start_pid1(&["ecosystem.toml"]).expect_code(code);
        assert_eq!(starts(&bed).len(), 1);
    }
}

#[test]
fn exit_0_restarts_too() {
    let bed = app("", "[ $run = 3 ] && exec sleep 1000; exit 0");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the third run", || starts(&bed).len() == 3);
    run.expect_stop();
    assert_eq!(starts(&bed).len(), 3);
}

#[test]
fn a_stop_exit_code_is_final_and_others_are_not() {
    for (code, list) in [(0, "[0]"), (3, "[3]"), (9, "[0, 9]")] {
        let bed =
            app(&format!("stop_exit_codes = {list}\n"), &format!("[ $run = 2 ] && exit {code}; exit 1"));
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(code);
        assert_eq!(starts(&bed).len(), 2, "{list}{}", run.story());
    }
}

#[test]
fn restart_delay_is_the_same_each_time() {
    let bed = app("restart_delay = 200\nmax_restarts = 7\n", "exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(1);
    let gaps = gaps(&bed);
    assert_eq!(gaps.len(), 6, "{}", run.story());
    assert!(gaps.iter().all(|gap| *gap >= 200), "{gaps:?}");
    assert_eq!(announced(&run), ["in 200 ms"; 6], "{}", run.story());
}

#[test]
fn the_default_retries_once_at_once_and_then_slows_down() {
    let bed = app("max_restarts = 8\n", "exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(1);
    let gaps = gaps(&bed);
    assert_eq!(gaps.len(), 7, "{}", run.story());
    assert_eq!(announced(&run)[0], "now", "{}", run.story());
    for (at, least) in [100, 150, 225, 337, 506, 759].into_iter().enumerate() {
        assert!(gaps[at + 1] >= least, "at least {least} ms: {gaps:?}");
        assert_eq!(announced(&run)[at + 1], format!("in {least} ms"), "{}", run.story());
    }
}

#[test]
fn exp_backoff_restart_delay_sets_the_first_wait() {
    let bed = app("exp_backoff_restart_delay = 40\nmax_restarts = 8\n", "exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(1);
    let gaps = gaps(&bed);
    assert_eq!(gaps.len(), 7, "{}", run.story());
    for (at, least) in [40, 60, 90, 135, 202, 303, 455].into_iter().enumerate() {
        assert!(gaps[at] >= least, "at least {least} ms: {gaps:?}");
        assert_eq!(announced(&run)[at], format!("in {least} ms"), "{}", run.story());
    }
}

/// What pm2-runtime restarts for ever at full speed.
#[test]
fn a_program_that_crashes_after_min_uptime_slows_down_and_is_not_given_up() {
    let bed = app("min_uptime = 100\nmax_restarts = 3\n", "sleep 0.15; exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the eighth run", || starts(&bed).len() == 8);
    run.expect_stop();
    let gaps = gaps(&bed);
    for (at, least) in [100, 150, 225, 337, 506, 759].into_iter().enumerate() {
        assert!(gaps[at + 1] >= 150 + least, "run and wait: {gaps:?}");
    }
}

#[test]
fn max_restarts_unstable_starts_make_it_errored() {
    for most in [1, 2, 5] {
        let bed = app(&format!("max_restarts = {most}\nrestart_delay = 5\n"), "exit 7");
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.expect_code(7);
        assert_eq!(starts(&bed).len(), most, "{}", run.story());
        assert!(!run.err().lines_with("errored").is_empty(), "it is said{}", run.story());
    }
}

#[test]
fn sixteen_unstable_starts_are_the_default() {
    let bed = app("restart_delay = 5\n", "exit 7");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(7);
    assert_eq!(starts(&bed).len(), 16, "{}", run.story());
}

#[test]
fn a_stable_run_sets_the_count_back() {
    // Two short, one long, two short, and then it stays: never three short ones in a row.
    let bed = app(
        "max_restarts = 3\nmin_uptime = 200\nrestart_delay = 5\n",
        "case $run in 3) sleep 0.4 ;; 6) exec sleep 1000 ;; esac; exit 1",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the sixth run", || run.has_ended() || starts(&bed).len() == 6);
    assert!(!run.has_ended(), "given up{}", run.story());
    run.expect_stop();
}

#[test]
fn an_app_that_waits_for_its_restart_counts_as_alive() {
    let bed = app("restart_delay = 1200\n", "[ $run = 2 ] && exec sleep 1000; exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    wait_until("the second run", || run.has_ended() || starts(&bed).len() == 2);
    assert!(!run.has_ended(), "ended while the app waited{}", run.story());
    run.expect_stop();
}

#[test]
fn a_death_by_signal_restarts() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n");
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("app up");
    send(run.worker(), SIGKILL);
    run.wait_for_lines("app up", 2);
    assert_eq!(announced(&run), ["now"], "{}", run.story());
    run.expect_stop();
}

#[test]
fn ends_are_logged_with_their_reason() {
    let bed = app("max_restarts = 3\nrestart_delay = 5\n", "[ $run = 2 ] && kill -9 $$; exit 42");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.expect_code(42);
    let said = run.err().lines();
    let about = |reason: &str, detail: &str| {
        said.iter().any(|line| {
            line.contains("procrun") && line.contains("app") && line.contains(reason) && line.contains(detail)
        })
    };
    assert!(about("exit", "42"), "{}", run.story());
    assert!(about("signal", "SIGKILL") || about("signal", "9"), "{}", run.story());
}

#[test]
fn a_program_that_vanishes_is_spawn_failed_and_counts_as_unstable() {
    let bed = app("max_restarts = 4\nrestart_delay = 5\n", "rm app.sh; exit 1");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    let end = run.wait_end();
    assert!(matches!(end, End::Code(code) if code != 0), "{end:?}{}", run.story());
    assert_eq!(starts(&bed).len(), 1);
    let failed = run.err().lines_with("spawn-failed");
    assert!(failed.iter().any(|line| line.contains("app.sh")), "with the path{}", run.story());
    assert!(failed.len() >= 3, "each failed start is said{}", run.story());
}

#[test]
fn a_program_that_exists_again_is_started_again() {
    let bed = app("restart_delay = 50\n", "mv app.sh away; exit 1");
    bed.script("back.sh", "#!/bin/sh\necho back\nexec sleep 1000\n");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_err("spawn-failed");
    std::fs::rename(bed.path("back.sh"), bed.path("app.sh")).unwrap();
    run.wait_for_line("back");
    run.expect_stop();
}

#[test]
fn one_instance_that_crashes_leaves_the_others_alone() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\ninstances = 3\nmax_restarts = 2\nrestart_delay = 5\n",
    );
    bed.script(
        "app.sh",
        "#!/bin/sh\necho \"run $NODE_APP_INSTANCE\"\n[ \"$NODE_APP_INSTANCE\" = 1 ] && exit 5\nexec sleep 1000\n",
    );
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_lines("run 1", 2);
    run.wait_for_line("run 0");
    run.wait_for_line("run 2");
    wait_until("the crashing one to be given up", || run.children().len() == 2);
    run.expect_stop();
    for (line, times) in [("run 0", 1), ("run 1", 2), ("run 2", 1)] {
        assert_eq!(run.out().lines_with(line).len(), times, "{line}{}", run.story());
    }
}

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
    run.wait_for_err(&format!("({reason}), errored: 4 unstable starts in a row"));
    run.wait_for_err("hint: another process listens there; several processes of one app share a port with");
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
    let ended: Value = serde_json::from_str(&run.wait_for_err("web (0) ended")).unwrap();
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
        let mut run = bed.launch(&["ecosystem.toml"]).env("PROCRUN_HOME", &bed.home()).start();
        run.wait_for_line("catches EADDRINUSE");
        run.wait_for_err("warn: consumer (0) cannot listen on 127.0.0.1:");
        let health = || bed.launch(&["healthcheck"]).env("PROCRUN_HOME", &bed.home()).start();
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
        let bed = app("max_restarts = 2\nrestart_delay = 0\n", body);
        let mut run = bed.start(&["ecosystem.toml", "--json"]);
        run.wait_end();
        let ended: Vec<Value> = run
            .err()
            .lines_with("app (0) ended")
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
    let ended: Value = serde_json::from_str(&run.wait_for_err("web (0) ended")).unwrap();
    assert_eq!(ended["reason"], "address-in-use", "{ended}");
}

#[test]
fn an_error_that_nothing_catches_is_the_reason_of_the_end() {
    for (script, reason, said) in [
        ("Promise.reject(new Error('lost'));", "unhandled-rejection", "unhandled promise rejection"),
        ("(async () => { throw 5; })();", "unhandled-rejection", "unhandled promise rejection"),
        ("throw new Error('lost');", "uncaught-exception", "uncaught exception"),
        // The application decides.
        ("process.on('uncaughtException', () => process.exit(1)); throw 1;", "exit", ", up "),
        ("process.on('unhandledRejection', () => process.exit(1)); Promise.reject();", "exit", ", up "),
        ("process.exit(1);", "exit", ", up "),
    ] {
        for mode in ["fork", "cluster"] {
            let bed = Bed::with(&format!(
                "[[apps]]\nname = \"app\"\nscript = \"app.js\"\nexec_mode = \"{mode}\"\nautorestart = false\n"
            ));
            bed.file("app.js", script);
            let mut run = bed.start(&["ecosystem.toml", "--json"]);
            run.expect_code(1);
            let line = run.wait_for_err("app (0) ended");
            let ended: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(ended["reason"], reason, "{mode} {script} {line}");
            assert!(line.contains(said), "{line}");
            let has_hint = line.contains("--unhandled-rejections=warn");
            assert_eq!(has_hint, reason == "unhandled-rejection", "{line}");
        }
    }
}

#[test]
fn the_option_of_the_hint_keeps_the_process() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"app.js\"\nnode_args = \"--unhandled-rejections=warn\"\n",
    );
    bed.file("app.js", "Promise.reject(5); setTimeout(() => console.log('goes on', process.execArgv), 100);setInterval(() => {}, 1e6);");
    let mut run = bed.start(&["ecosystem.toml"]);
    // The script of procrun is not among the options that the application sees.
    run.wait_for_line("goes on [ '--unhandled-rejections=warn' ]");
    run.expect_stop();
}
