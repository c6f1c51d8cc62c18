//! What a script is, tried with the real programs: files without extension, links, directories, shims,
//! tsx, ts-node, npm, shells and Python; and Node's IPC channel, which each of them has.

use std::os::unix::fs::symlink;

use crate::support::{self, Bed, Procrun, SIGHUP, tool, wait_until, web::prepared_file};

/// Says what it was given and that it is ready.
const SAYS: &str = r"
const { isWorker } = require('cluster');
console.log(`up ${process.env.name} worker=${isWorker} [${process.execArgv.join(' ')}] send=${typeof process.send}`);
if (isWorker) require('http').createServer(() => {}).listen(0, '127.0.0.1', () => console.log('listens ' + process.env.name));
if (process.send) process.send('ready');
setInterval(() => {}, 1000);
";

const SHEBANG: &str = "#!/usr/bin/env node\n";

fn bed_with(apps: &str) -> Bed {
    let bed = Bed::new();
    bed.file("ecosystem.json", format!("{{ \"apps\": [{apps}] }}"));
    bed
}

/// With the packages of `tests/apps`.
fn bed_with_packages(apps: &str) -> Bed {
    let bed = bed_with(apps);
    symlink(prepared_file("apps/node_modules"), bed.path("node_modules")).unwrap();
    bed
}

fn start(bed: &Bed) -> Procrun {
    bed.start(&["ecosystem.json", "--log-level", "debug"])
}

#[test]
fn what_a_file_is_makes_it_a_cluster() {
    let cluster = |name: &str, script: &str, keys: &str| {
        format!(
            r#"{{ "name": "{name}", "script": "{script}", "exec_mode": "cluster", "instances": 2, "node_args": "--no-warnings"{keys} }}"#
        )
    };
    let bed = bed_with(
        &[
            cluster("linked", "node_modules/.bin/fw", ""),
            cluster("www", "bin/www", ""),
            cluster("directory", "./", ""),
            cluster("none", "start.js", r#", "interpreter": "none""#),
            cluster("path", "fw-serve", r#", "env": { "PATH": "./path:" }"#),
        ]
        .join(", ")
        .replace("./path:", &format!("./path:{}", std::env::var("PATH").unwrap())),
    );
    let program = format!("{SHEBANG}{SAYS}");
    bed.script("node_modules/fw/dist/bin/fw", &program);
    std::fs::create_dir_all(bed.path("node_modules/.bin")).unwrap();
    symlink("../fw/dist/bin/fw", bed.path("node_modules/.bin/fw")).unwrap();
    bed.file("bin/www", SAYS);
    bed.file("package.json", r#"{ "main": "lib/main.js" }"#);
    bed.file("lib/main.js", SAYS);
    bed.file("start.js", SAYS);
    bed.script("path/fw-serve", &program);
    let mut run = start(&bed);
    for name in ["linked", "www", "directory", "none", "path"] {
        for line in run.wait_for_lines(&format!("up {name} "), 2) {
            assert!(line.contains("worker=true"), "{line}");
            assert!(line.contains("[--no-warnings"), "{line}");
        }
        run.wait_for_lines(&format!("listens {name}"), 2);
    }
    run.expect_stop();
    assert!(run.err().lines_with("cluster:").is_empty(), "{}", run.story());
}

#[test]
fn typescript_by_tsx_and_ts_node_is_a_cluster_too() {
    let script = "const text: string = `up ${process.env.name}`;\n\
        console.log(text, (process as any).argv.length, require('cluster').isWorker);\n\
        if (require('cluster').isWorker) require('http').createServer(() => {}).listen(0, () => console.log('listens'));\n\
        process.send!('ready');\nsetInterval(() => {}, 1000);\n";
    let app = |name: &str, mode: &str| {
        format!(
            r#"{{ "name": "{name}-{mode}", "script": "app.ts", "interpreter": "node_modules/.bin/{name}", "args": ["a"],
                "exec_mode": "{mode}", "wait_ready": true, "env": {{ "TS_NODE_TRANSPILE_ONLY": "1" }} }}"#
        )
    };
    let apps: Vec<String> =
        ["tsx", "ts-node"].iter().flat_map(|name| ["fork", "cluster"].map(|mode| app(name, mode))).collect();
    let bed = bed_with_packages(&apps.join(", "));
    bed.file("app.ts", script);
    bed.file("tsconfig.json", "{}");
    let mut run = start(&bed);
    for (name, fork, cluster) in [("tsx", 0, 1), ("ts-node", 2, 3)] {
        run.wait_for_line(&format!("up {name}-fork 3 false"));
        run.wait_for_line(&format!("up {name}-cluster 3 true"));
        run.wait_for_err(&format!("{name}-fork ({fork}) is ready"));
        run.wait_for_err(&format!("{name}-cluster ({cluster}) is ready"));
    }
    run.wait_for_lines("listens", 2);
    run.expect_stop();
}

#[test]
fn a_shim_of_pnpm_is_a_cluster() {
    let bed = bed_with_packages(
        r#"{ "name": "fw", "script": "bin/fw", "exec_mode": "cluster", "instances": 2, "node_args": "--no-warnings" }"#,
    );
    bed.file("fw/cli.js", format!("{SHEBANG}{SAYS}console.log('path', process.env.NODE_PATH);\n"));
    // The very code by which pnpm writes them.
    let write = "require('@zkochan/cmd-shim')('fw/cli.js', 'bin/fw', { createPwshFile: false, createCmdFile: false, nodePath: ['/x', '/y'] })";
    let said = tool("node", &["-e", write], bed.root());
    assert!(said.status.success(), "{said:?}");
    let mut run = start(&bed);
    for line in run.wait_for_lines("up fw ", 2) {
        assert!(line.contains("worker=true [--no-warnings"), "{line}");
    }
    run.wait_for_lines("path /x:/y", 2);
    run.expect_stop();
}

#[test]
fn an_impossible_cluster_is_reported_and_runs_as_processes() {
    let bed = bed_with(
        r#"{ "name": "npm", "script": "npm", "args": "start", "exec_mode": "cluster" },
           { "name": "sh", "script": "run", "exec_mode": "cluster", "instances": 2 },
           { "name": "port", "script": "run", "instances": 2, "env": { "PORT": 3000 } }"#,
    );
    bed.file("package.json", r#"{ "scripts": { "start": "node app.js" } }"#);
    bed.file("app.js", SAYS);
    bed.script("run", "#!/bin/sh\necho up $exec_mode\nexec sleep 1000\n");
    let mut run = start(&bed);
    run.wait_for_err("app `npm` cannot be a cluster: `npm` runs the application in a child of its own");
    let line = run.wait_for_err("app `sh` cannot be a cluster: ");
    assert!(line.contains("/run is a script for another interpreter (#!/bin/sh)"), "{line}");
    assert!(
        line.ends_with("its instances run as plain processes, of which only one can listen on a port"),
        "{line}"
    );
    run.wait_for_err("app `port`: its instances are plain processes and all get PORT=3000");
    run.wait_for_lines("up fork_mode", 4);
    run.wait_for_line("up npm worker=false");
    run.stop();
}

#[test]
fn what_a_start_finds_cannot_change_the_mode() {
    let bed = bed_with(r#"{ "name": "app", "script": "current", "exec_mode": "cluster" }"#);
    bed.script("js", format!("{SHEBANG}{SAYS}process.on('message', () => {{}});\n"));
    bed.script("sh", "#!/bin/sh\nexec sleep 1000\n");
    symlink("js", bed.path("current")).unwrap();
    let run = start(&bed);
    run.wait_for_line("listens app");
    std::fs::remove_file(bed.path("current")).unwrap();
    symlink("sh", bed.path("current")).unwrap();
    support::send(run.worker(), 9);
    let line = run.wait_for_err("it cannot be a worker of a cluster: ");
    assert!(line.contains("current is a script for another interpreter (#!/bin/sh)"), "{line}");
}

#[test]
fn every_process_has_the_channel() {
    let bed = bed_with(
        r#"{ "name": "sh", "script": "run.sh", "wait_ready": true },
           { "name": "py", "script": "app.py", "wait_ready": true },
           { "name": "bare", "script": "app.js", "ipc": false },
           { "name": "line", "script": "echo start && node app.js", "wait_ready": true }"#,
    );
    bed.file("app.js", SAYS);
    // What many scripts do before they start something.
    bed.file("run.sh", "exec 3>&1\nnode app.js\n");
    bed.file(
        "app.py",
        "import os, time\nos.write(int(os.environ['NODE_CHANNEL_FD']), b'\"ready\"\\n')\ntime.sleep(1000)\n",
    );
    let mut run = start(&bed);
    for (name, id) in [("sh", 0), ("py", 1), ("line", 3)] {
        run.wait_for_err(&format!("{name} ({id}) is ready"));
    }
    run.wait_for_line("up bare worker=false [] send=undefined");
    run.expect_stop();
}

#[test]
fn junk_in_the_channel_affects_no_other_worker() {
    let bed = bed_with(
        r#"{ "name": "junk", "script": "junk.sh" }, { "name": "node", "script": "junk.sh", "args": "node", "wait_ready": true }"#,
    );
    bed.file("app.js", SAYS);
    bed.file(
        "junk.sh",
        "head -c 3000000 /dev/zero >&$NODE_CHANNEL_FD\nfor i in 1 2 3; do printf 'a log line\\n{\"cmd\":\"NODE_HANDLE\"\\n' >&$NODE_CHANNEL_FD; done\n\
         echo went on\n[ -z \"$1\" ] || exec node app.js\nexec sleep 1000\n",
    );
    let mut run = start(&bed);
    run.wait_for_lines("went on", 2);
    run.wait_for_err("node (1) is ready");
    run.wait_for_err("junk (0) writes lines to its IPC channel that are not Node messages");
    assert!(run.err().lines_with("channel is closed").is_empty(), "{}", run.story());
    run.expect_stop();
    assert_eq!(run.err().lines_with("not Node messages").len(), 2, "once each: {}", run.story());
}

#[test]
fn a_file_that_is_no_program_is_an_error_with_its_kind() {
    for (script, text, code, why) in [
        ("run", "#!/bin/sh\r\necho\r\n", 127, "ends with a carriage return (a Windows line ending)"),
        ("run.sh", "echo\r\necho\r\n", 126, "end with carriage returns (Windows line endings)"),
        ("empty/readme", "", 126, "is a directory without a program"),
        ("run", "#!/usr/bin/env no-such-language\n", 127, "names `no-such-language`, which is not in PATH"),
    ] {
        let target = if script == "empty/readme" { "./empty" } else { script };
        let bed = bed_with(&format!(r#"{{ "script": "{target}", "name": "app" }}"#));
        bed.script(script, text);
        let mut run = start(&bed);
        run.expect_code(code);
        assert!(run.err().lines_with(why).len() == 1, "{}", run.story());
        assert!(!run.err().lines_with("hint: ").is_empty(), "{}", run.story());
    }
}

#[test]
fn a_file_that_is_read_again_may_have_become_a_cluster() {
    let bed = bed_with(r#"{ "name": "app", "script": "current", "instances": 1 }"#);
    bed.script("js", format!("{SHEBANG}{SAYS}"));
    bed.script("sh", "#!/bin/sh\necho up $exec_mode\nexec sleep 1000\n");
    symlink("sh", bed.path("current")).unwrap();
    let mut run = start(&bed);
    run.wait_for_line("up fork_mode");
    std::fs::remove_file(bed.path("current")).unwrap();
    symlink("js", bed.path("current")).unwrap();
    run.signal(SIGHUP);
    run.wait_for_line("up app worker=true");
    wait_until("it is the one process", || run.children().len() == 1);
    run.expect_stop();
}

#[test]
fn a_directory_on_the_command_line_is_run_by_its_main_file() {
    let bed = Bed::new();
    bed.file("api/package.json", r#"{ "main": "lib/main" }"#);
    bed.file("api/lib/main.js", SAYS);
    for (target, options) in [("./api/", &[][..]), ("api", &["-i", "2"][..])] {
        let mut run = bed.start(&[&[target], options].concat());
        let is_worker = !options.is_empty();
        run.wait_for_line(&format!("up api worker={is_worker}"));
        run.expect_stop();
    }
}

/// npm that runs npm again, and other runners: the channel is for the application at the end of the chain.
#[test]
fn what_a_chain_of_package_runners_starts_has_the_channel() {
    for (script, args) in [
        ("npm", "run three"),
        ("npm", "run mixed"),
        ("npm", "run before"),
        ("node_modules/.bin/pnpm", "run pnpm"),
        ("node_modules/.bin/yarn", "run one"),
        ("node_modules/.bin/run-s", "one"),
    ] {
        let bed = bed_with_packages(&format!(
            r#"{{ "name": "api", "script": "{script}", "args": "{args}", "wait_ready": true, "listen_timeout": 60000,
                 "shutdown_with_message": true, "kill_timeout": 60000, "env": {{ "NODE_OPTIONS": "--no-deprecation" }} }}"#
        ));
        bed.file(
            "package.json",
            r#"{ "name": "x", "version": "1.0.0", "scripts": {
                "start": "node app.js", "one": "npm start", "two": "npm run one", "three": "npm exec -c 'npm run two'",
                "pnpm": "pnpm run one", "mixed": "cross-env A=1 run-p one",
                "before": "npm run two && node other.js" } }"#,
        );
        bed.file("other.js", "console.log('comes after');");
        bed.file(
            "app.js",
            "console.log('begins', typeof process.send, process.env.NODE_OPTIONS,
               Object.keys(process.env).filter((it) => it.includes('CHANNEL')), process.execArgv);
             process.on('SIGTERM', () => console.log('gets a signal')).on('SIGINT', () => console.log('gets a signal'));
             process.on('message', (message) => { console.log('gets', message); process.exit(0); });
             new (require('worker_threads').Worker)('console.log(\"thread\", typeof process.send)', { eval: true });
             require('child_process').fork('child.js', { stdio: 'inherit', serialization: 'advanced' })
               .on('message', (it) => { console.log('child', it); process.send('ready'); });",
        );
        bed.file("child.js", "process.send(new Map([[1, process.env.NODE_OPTIONS]])); process.disconnect();");
        let mut run = start(&bed);
        run.wait_for_line("begins function --no-deprecation [] []");
        run.wait_for_line("thread undefined");
        run.wait_for_line("child Map(1) { 1 => '--no-deprecation' }");
        run.wait_for_err("api (0) is ready after");
        run.expect_stop();
        run.wait_for_line("gets shutdown");
        assert!(run.out().lines_with("gets a signal").is_empty(), "{script} {args}: {}", run.story());
    }
}

/// A package runner that a shell or another program starts does not take the channel, either.
#[test]
fn what_a_package_runner_behind_a_script_starts_has_the_channel() {
    for (script, args, is_for_messages) in [
        ("sh", r#"["start.sh"]"#, true),
        ("./start.sh", "[]", true),
        ("./outer", "[]", true),
        ("npm start", "[]", true),
        ("bash", r#"["-c", "npm run two"]"#, true),
        ("./mixed.sh", "[]", true),
        ("env", r#"["A=1", "npm", "start"]"#, false),
    ] {
        let bed = bed_with_packages(&format!(
            r#"{{ "name": "api", "script": "{script}", "args": {args}, "wait_ready": true, "listen_timeout": 60000,
                 "shutdown_with_message": {is_for_messages}, "kill_timeout": 60000,
                 "env": {{ "NODE_OPTIONS": "--no-deprecation" }} }}"#
        ));
        bed.file(
            "package.json",
            r#"{ "name": "x", "version": "1.0.0", "scripts": {
                "start": "node app.js", "one": "npm start", "two": "npm run one", "before": "node other.js" } }"#,
        );
        bed.script("start.sh", "#!/bin/sh\nset -e\nnpm start\n");
        bed.script("outer", "#!/bin/bash\nexec 3>&1\n./inner.sh\n");
        bed.script("inner.sh", "#!/bin/sh\nexec node_modules/.bin/yarn run one\n");
        bed.script("mixed.sh", "#!/bin/sh\nnpm run before\nexec node app.js\n");
        bed.file("other.js", "console.log('comes before');");
        bed.file(
            "app.js",
            "console.log('begins', typeof process.send, process.env.NODE_OPTIONS,
               Object.keys(process.env).filter((it) => it.includes('CHANNEL')), process.execArgv);
             process.on('message', (message) => { console.log('gets', message); process.exit(0); });
             process.on('SIGTERM', () => process.exit(0));
             process.send('ready');",
        );
        let mut run = start(&bed);
        run.wait_for_line("begins function --no-deprecation [] []");
        run.wait_for_err("api (0) is ready after");
        run.expect_stop();
        assert_eq!(
            run.out().lines_with("gets shutdown").len(),
            usize::from(is_for_messages),
            "{}",
            run.story()
        );
    }
}

#[test]
fn what_npm_starts_has_the_channel() {
    let bed = bed_with(
        r#"{ "name": "api", "script": "npm", "args": "start", "wait_ready": true, "listen_timeout": 60000,
             "shutdown_with_message": true, "kill_timeout": 60000 }"#,
    );
    bed.file("package.json", r#"{ "scripts": { "start": "node app.js" } }"#);
    bed.file(
        "app.js",
        "console.log('begins', typeof process.send, Object.keys(process.env).filter((it) => it.includes('CHANNEL')));
         process.on('SIGTERM', () => console.log('gets a signal')).on('SIGINT', () => console.log('gets a signal'));
         process.on('message', (message) => { console.log('gets', message); process.exit(0); });
         process.send('ready');",
    );
    let mut run = start(&bed);
    run.wait_for_line("begins function []");
    run.wait_for_err("api (0) is ready after");
    run.expect_stop();
    run.wait_for_line("gets shutdown");
    assert!(run.out().lines_with("gets a signal").is_empty(), "{}", run.story());
}
