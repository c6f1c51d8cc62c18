//! PM2's `ecosystem.config.*`: evaluated once by a real node, with a deadline.

use crate::support::{self, Bed, End, SIGTERM, tool, wait_until, workers};

/// Run with this file and wait until `app up`.
#[track_caller]
fn runs(file: &str, content: &str, more: &[(&str, &str)]) {
    for pid1 in [false, true] {
        let bed = Bed::new();
        bed.script("steady.sh", workers::STEADY);
        for (name, content) in more {
            bed.file(name, content);
        }
        bed.file(file, content);
        let mut run = bed.launch(&[file]).pid1_if(pid1).env("FROM_CALLER", "given").start();
        let line = run.wait_for_line("0|app");
        assert!(line.contains("app up"), "{line}");
        wait_until("the evaluation to be over", || run.children().len() == 1);
        run.expect_stop();
        assert_eq!(run.out().lines_with("app up").len(), 1, "{}", run.story());
    }
}

/// Run with this file and demand one error with these words, exit 78 and nothing started.
#[track_caller]
fn refused(file: &str, content: &str, words: &[&str]) {
    let bed = Bed::new();
    bed.script("steady.sh", "#!/bin/sh\n> started\nexec sleep 1000\n");
    bed.file(file, content);
    let mut run = bed.start_pid1(&[file]);
    let end = run.wait_end();
    assert_eq!(end, End::Code(78), "{}", run.story());
    for word in [&[file], words].concat() {
        assert!(!run.err().lines_with(word).is_empty(), "no {word:?}{}", run.story());
    }
    assert!(!bed.exists("started"), "{}", run.story());
    assert_eq!(run.others(), [0_i32; 0], "{}", run.story());
}

/// The control socket is opened after the evaluation: nothing would answer on it before.
#[test]
fn a_module_may_run_commands_of_procrun() {
    let binary = support::binary().display().to_string();
    let content = format!(
        r#"
        const {{ spawnSync }} = require("child_process");
        const list = spawnSync("{binary}", ["list"]);
        // Whether it finds a supervisor does not matter here, but it has to end.
        if (list.status === null) throw new Error(String(list.error));
        module.exports = {{ apps: [{{ name: "app", script: "./steady.sh", args: "app" }}] }};
        "#
    );
    runs("ecosystem.config.js", &content, &[]);
}

#[test]
fn common_js() {
    let content = r#"
        const path = require("path");
        const common = require("./common.js");
        module.exports = {
          apps: [
            {
              ...common,
              name: process.env.FROM_CALLER === "given" ? "app" : "wrong",
              script: path.join(__dirname, "steady.sh"),
              args: "app",
              instances: 1,
              max_memory_restart: "300M",
              error_file: undefined,
              env: { NODE_ENV: "development" },
              env_production: { NODE_ENV: "production" },
            },
          ],
          deploy: { production: { user: "node", host: "example.org", ref: "origin/main" } },
        };
    "#;
    let common = [("common.js", "exports.kill_timeout = 3000; exports.autorestart = true;")];
    runs("ecosystem.config.js", content, &common);
    runs("ecosystem.config.cjs", content, &common);
    runs("pm2.config.js", content, &common);
}

#[test]
fn es_modules() {
    let content = r#"
        import path from "node:path";
        import { fileURLToPath } from "node:url";
        const here = path.dirname(fileURLToPath(import.meta.url));
        export default { apps: [{ name: "app", script: path.join(here, "steady.sh"), args: ["app"] }] };
    "#;
    runs("ecosystem.config.mjs", content, &[]);
    runs("ecosystem.config.js", content, &[("package.json", r#"{"type": "module"}"#)]);
}

#[test]
fn a_cjs_file_in_an_es_module_package() {
    let content = r#"module.exports = { apps: { name: "app", script: "./steady.sh", args: "app" } };"#;
    runs("ecosystem.config.cjs", content, &[("package.json", r#"{"type": "module"}"#)]);
}

#[test]
fn a_list_and_a_single_object() {
    runs(
        "ecosystem.config.js",
        r#"module.exports = [{ name: "app", script: "./steady.sh", args: "app" }];"#,
        &[],
    );
    runs(
        "ecosystem.config.js",
        r#"module.exports = { name: "app", script: "./steady.sh", args: "app" };"#,
        &[],
    );
}

#[test]
fn what_a_config_prints_is_not_its_result() {
    runs(
        "ecosystem.config.js",
        r#"
        console.log("[dotenv] injecting env (0) from .env");
        console.log('{"apps": [{"name": "wrong", "script": "false"}]}');
        console.error("a warning");
        process.stdout.write("no newline");
        module.exports = { apps: [{ name: "app", script: "./steady.sh", args: "app" }] };
        "#,
        &[],
    );
}

#[test]
fn what_a_config_puts_into_process_env_reaches_the_apps() {
    let bed = Bed::new();
    bed.script("show.sh", "#!/bin/sh\necho \"$1 $ADDED $FROM_CALLER $IN_ENV $name\"\nexec sleep 1000\n");
    bed.file(
        "ecosystem.config.js",
        r#"
        process.env.ADDED = "added";
        process.env.FROM_CALLER = "changed";
        process.env.IN_ENV = "below";
        process.env.name = "another";
        module.exports = { apps: [{ name: "app", script: "./show.sh", args: "has", env: { IN_ENV: "above" } }] };
        "#,
    );
    let mut run = bed.launch(&["ecosystem.config.js"]).env("FROM_CALLER", "given").start();
    let line = run.wait_for_line("0|app");
    assert!(line.contains("has added changed above app"), "{line}");
    run.expect_stop();
}

#[test]
fn a_timer_that_is_left_running_does_not_hold_up() {
    runs(
        "ecosystem.config.js",
        r#"
        setInterval(() => {}, 1000);
        module.exports = { apps: [{ name: "app", script: "./steady.sh", args: "app" }] };
        "#,
        &[],
    );
}

#[test]
fn typescript_runs_where_node_can() {
    let content = r#"
        interface App { name: string; script: string; args: string[] }
        const apps: App[] = [{ name: "app", script: "./steady.sh", args: ["app"] }];
        export default { apps };
    "#;
    // Newer ones strip the types, older ones refuse the file; bun takes it always.
    let bed = Bed::new();
    bed.file("ecosystem.config.ts", content);
    let node_can = tool("node", &["ecosystem.config.ts"], bed.root()).status.success();
    let since = "const [a, b] = process.versions.node.split('.'); process.exit(a > 22 || (a == 22 && b >= 18) ? 0 : 1)";
    let node_should = tool("node", &["-e", since], bed.root()).status.success();
    assert!(node_can || !node_should, "Node strips types since 22.18");
    let bun_is_there = tool("sh", &["-c", "command -v bun"], bed.root()).status.success();
    if node_can || bun_is_there {
        runs("ecosystem.config.ts", content, &[]);
    } else {
        refused("ecosystem.config.ts", content, &[]);
    }
}

#[test]
fn a_config_that_throws() {
    refused("ecosystem.config.js", "\n\nthrow new Error('the moon is full');\n", &["the moon is full"]);
    refused("ecosystem.config.mjs", "throw new TypeError('the moon is full');\n", &["the moon is full"]);
    refused("ecosystem.config.js", "module.exports = { apps: [\n", &["SyntaxError"]);
    refused("ecosystem.config.js", "require('no-such-module-anywhere');\n", &["no-such-module-anywhere"]);
}

#[test]
fn a_config_that_loops_for_ever() {
    refused("ecosystem.config.js", "while (true) {}\n", &[]);
}

#[test]
fn a_config_that_never_settles() {
    refused(
        "ecosystem.config.mjs",
        "await new Promise(() => setInterval(() => {}, 1000));\nexport default { apps: [] };\n",
        &[],
    );
}

#[test]
fn a_config_that_gives_no_configuration() {
    for content in [
        "console.log('garbage {{{'); process.exit(0);\n",
        "console.log('garbage {{{'); process.exit(3);\n",
        "process.kill(process.pid, 'SIGKILL');\n",
        "module.exports = 42;\n",
        "module.exports = null;\n",
        "module.exports = 'apps';\n",
        "module.exports = { apps: [] };\n",
        "module.exports = () => ({ apps: [{ script: './steady.sh' }] }).nothing;\n",
        "const apps = []; apps.push(apps); module.exports = { apps };\n",
        "module.exports = { apps: [{ name: 'app', script: './steady.sh', instances: 10n }] };\n",
        "",
    ] {
        refused("ecosystem.config.js", content, &[]);
    }
}

#[test]
fn a_config_with_much_output() {
    refused(
        "ecosystem.config.js",
        "for (let i = 0; i < 200; i++) { console.log('x'.repeat(100000)); console.error('y'.repeat(100000)); }\nthrow new Error('after all that');\n",
        &[],
    );
}

#[test]
fn a_wrong_key_is_a_warning_and_a_wrong_value_an_error() {
    refused(
        "ecosystem.config.js",
        "module.exports = { apps: [{ name: 'app', script: './steady.sh', kill_timeout: 'soon' }] };\n",
        &["kill_timeout"],
    );
    runs(
        "ecosystem.config.js",
        "module.exports = { apps: [{ name: 'app', script: './steady.sh', args: 'app', kil_timeout: 5 }] };\n",
        &[],
    );
}

#[test]
fn a_missing_node_is_reported() {
    let bed = Bed::new();
    bed.file("ecosystem.config.js", "module.exports = { apps: [{ script: './steady.sh' }] };\n");
    bed.file("empty/here", "");
    let path = bed.path("empty");
    let launch = bed.launch(&["ecosystem.config.js"]).env("PATH", &path.to_string_lossy());
    let mut run = launch.start();
    let end = run.wait_end();
    assert!(matches!(end, End::Code(78 | 127)), "{end:?}{}", run.story());
    run.wait_for_err("node");
}

#[test]
fn a_stop_during_the_evaluation_ends_it() {
    for pid1 in [false, true] {
        let bed = Bed::new();
        bed.file("ecosystem.config.js", "require('fs').writeFileSync('evaluating', '');\nwhile (true) {}\n");
        let mut run = bed.launch(&["ecosystem.config.js"]).pid1_if(pid1).start();
        wait_until("the evaluation to begin", || bed.exists("evaluating"));
        run.pid();
        run.signal(SIGTERM);
        let end = run.wait_end();
        assert_eq!(end, End::Code(0), "asked to stop{}", run.story());
        assert!(!run.err().lines_with("SIGTERM").is_empty(), "it says which signal came{}", run.story());
        wait_until("the evaluation to be gone", || run.others().is_empty());
    }
}

#[test]
fn a_hang_up_evaluates_the_file_again() {
    let bed = Bed::new();
    bed.script("steady.sh", workers::STEADY);
    let file = |apps: &[&str]| {
        let app = |name: &&str| format!("{{ name: '{name}', script: './steady.sh', args: '{name}' }}");
        let list: Vec<String> = apps.iter().map(app).collect();
        bed.file("ecosystem.config.js", format!("module.exports = {{ apps: [{}] }};\n", list.join(", ")));
    };
    file(&["one"]);
    let mut run = bed.start_pid1(&["ecosystem.config.js"]);
    run.wait_for_line("one up");

    bed.file("ecosystem.config.js", "throw new Error('not now');\n");
    run.signal(support::SIGHUP);
    run.wait_for_err("not now");

    // Workers are supervised while it is evaluated.
    bed.file("ecosystem.config.js", "require('fs').writeFileSync('evaluating', '');\nwhile (true) {}\n");
    run.signal(support::SIGHUP);
    wait_until("the evaluation to begin", || bed.exists("evaluating"));
    let worker = run.wait_for_line("one up");
    assert!(!worker.is_empty());
    let sleepers: Vec<i32> = run.children().iter().map(|child| child.pid).collect();
    let steady = *sleepers.iter().min().expect("the worker is the older child");
    support::send(steady, support::SIGKILL);
    run.wait_for_lines("one up", 2);
    run.expect_stop();
    assert_eq!(run.out().lines_with("one bye TERM").len(), 1, "{}", run.story());
}
