//! `procrun ecosystem`: creates an ecosystem file with the common keys.
//!
//! One table of keys is written in each format. A new key needs a row here.

use std::{fmt::Write as _, path::Path};

use crate::{
    cli::{
        command::{Argument, Command, Occurs, OptionSpec, Run},
        create::create,
        failure::Failure,
        output::print,
        parsed_args::ParsedArgs,
    },
    config::EX_USAGE,
    spec::ExitCode,
    sys::{directory, regular_file},
};

pub(super) static ECOSYSTEM: Command = Command {
    words: &["ecosystem", "init"],
    arguments: &[Argument::new("simple", Occurs::Optionally)],
    options: &[OptionSpec::with_value("format", "toml|json|yaml|js", "Format of the file (toml)")],
    summary: "Create an ecosystem file",
    description: "Create an ecosystem file with the common keys and a comment for each, or with\n\
                  `simple` a minimal one. An existing file is not changed.",
    examples: &[
        ("procrun ecosystem", "ecosystem.toml with comments"),
        ("procrun ecosystem simple --format yaml", "the shortest one, as YAML"),
    ],
    run: Run::Function(ecosystem),
    ..Command::DEFAULT
};

/// A key and its purpose.
struct Row {
    /// In lines that fit a terminal, each a sentence that begins with a capital.
    purpose: &'static str,
    key: &'static str,
    value: Value,
    /// The key is set; the other keys are commented out.
    on: bool,
}

enum Value {
    /// In the syntax of JSON, which is the same in all formats.
    Plain(&'static str),
    /// A table of one key and its value, in the syntax of JSON.
    Table(&'static str, &'static str),
}

use Value::{Plain, Table};

const fn on(purpose: &'static str, key: &'static str, value: Value) -> Row {
    Row { purpose, key, value, on: true }
}

const fn off(purpose: &'static str, key: &'static str, value: Value) -> Row {
    Row { purpose, key, value, on: false }
}

/// Keys of procrun itself.
static ROOT: &[Row] = &[
    off(
        "Format of log lines: prefix (0|app | text), raw, json or keyvalue",
        "log_format",
        Plain(r#""json""#),
    ),
    off("Time before each line", "log_date_format", Plain(r#""YYYY-MM-DD HH:mm:ss""#)),
];

/// Keys of an app.
static APP: &[Row] = &[
    on("Name of the app", "name", Plain(r#""app""#)),
    on("A file, a program in PATH, or a shell command", "script", Plain(r#""app.js""#)),
    off("Arguments", "args", Plain(r#"["--port", "3000"]"#)),
    off("Program that runs the script (default: by extension or #! line)", "interpreter", Plain(r#""node""#)),
    off("Working directory", "cwd", Plain(r#""/srv/app""#)),
    off(
        "Number of processes; \"max\" is one per CPU. Node apps run as a cluster",
        "instances",
        Plain(r#""max""#),
    ),
    off(
        "Sockets that procrun opens for the app and keeps across restarts",
        "listen",
        Plain(r#""tcp://*:8080""#),
    ),
    on("Environment variables, added to those of procrun", "env", Table("NODE_ENV", r#""production""#)),
    off("Changes of env with --env staging", "env_staging", Table("NODE_ENV", r#""staging""#)),
    off("Variables from a file, for secrets", "env_file", Plain(r#"".env""#)),
    off("User of the processes", "user", Plain(r#""nobody""#)),
    off("Restart when its process tree uses more memory", "max_memory_restart", Plain(r#""300M""#)),
    off("Restart on a schedule (minute, hour, day, month, weekday)", "cron_restart", Plain(r#""0 4 * * *""#)),
    off("Restart when these files change, for development", "watch", Plain(r#"["src"]"#)),
    off("Exit codes after which the app does not restart", "stop_exit_codes", Plain("[0]")),
    off("Unstable restarts before the app is marked errored", "max_restarts", Plain("16")),
    off("Runs shorter than this are unstable", "min_uptime", Plain(r#""1s""#)),
    off(
        "When errored: \"exit\" stops procrun with its exit code, \"continue\" does not",
        "on_errored",
        Plain(r#""exit""#),
    ),
    off("Stop all apps when this app has ended, for the main app of a Job", "ends_container", Plain("true")),
    off("The app is online after process.send('ready')", "wait_ready", Plain("true")),
    off(
        "Health probe every 10 s; restart when it fails",
        "health",
        Table("http", r#""http://127.0.0.1:3000/healthz""#),
    ),
    off("Restart when the event loop of a Node app hangs for this time", "heartbeat", Plain(r#""10s""#)),
    off("Apps that must be ready before this app starts, such as [\"db\"]", "depends_on", Plain("[]")),
    off("Resource limits: open files and others", "rlimits", Table("nofile", "4096")),
    off(
        "Stop signal (default: SIGINT for Node, SIGTERM for other programs)",
        "kill_signal",
        Plain(r#""SIGTERM""#),
    ),
    off(
        "Time between stop signal and SIGKILL; docker stop allows 10 s in total",
        "kill_timeout",
        Plain(r#""8s""#),
    ),
    off(
        "Log file for stdout, in addition to procrun's output; it is rotated",
        "out_file",
        Plain(r#""logs/app-out.log""#),
    ),
    off("Log file for stderr", "error_file", Plain(r#""logs/app-error.log""#)),
];

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Toml,
    Json,
    Yaml,
    Js,
}

fn ecosystem(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let simple = match args.words.first().map(String::as_str) {
        None => false,
        Some("simple") => true,
        Some(other) => {
            let hint = "procrun ecosystem simple, or procrun ecosystem --format json";
            return Err(
                Failure::new(EX_USAGE, format!("unknown argument `{other}`: must be `simple`")).hint(hint)
            );
        }
    };
    let (format, file) = match args.value("format") {
        None | Some("toml") => (Format::Toml, "ecosystem.toml"),
        Some("json") => (Format::Json, "ecosystem.json"),
        Some("yaml" | "yml") => (Format::Yaml, "ecosystem.yaml"),
        Some("js") if js_is_a_module() => (Format::Js, "ecosystem.config.cjs"),
        Some("js") => (Format::Js, "ecosystem.config.js"),
        Some(other) => {
            let message = format!("`--format` must be toml, json, yaml or js, not `{other}`");
            return Err(Failure::new(EX_USAGE, message));
        }
    };
    create(
        Path::new(file),
        &text(format, file, simple),
        0o666,
        "`--format toml|json|yaml|js` writes another format",
    )?;
    print(&format!(
        "wrote {file}\n\
         set `script` to your program, check the file with `procrun check {file}`,\n\
         and run it with `procrun {file}`\n"
    ));
    Ok(0)
}

/// Whether the nearest package.json makes each `.js` an ES module, in which `module.exports` does not work.
fn js_is_a_module() -> bool {
    /// A larger package.json is not read.
    const MAX_PACKAGE: u64 = 1024 * 1024;
    let Ok(cwd) = directory::working() else { return false };
    let read = |directory: &Path| regular_file::read_start(&directory.join("package.json"), MAX_PACKAGE).ok();
    let nearest = cwd.ancestors().find_map(read);
    let package = nearest.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    package.is_some_and(|package| package.get("type").is_some_and(|kind| kind == "module"))
}

/// The whole file.
fn text(format: Format, file: &str, simple: bool) -> String {
    let mut text = String::new();
    if !simple {
        let more = match format {
            Format::Toml => "another [[apps]]",
            Format::Json | Format::Yaml | Format::Js => "another element of `apps`",
        };
        for line in [
            format!("Run with `procrun {file}`, check with `procrun check {file}`."),
            format!("Lines that are commented out are examples. Another app is {more}."),
        ] {
            writeln!(text, "{} {line}", format.comment()).expect("writing to a String cannot fail");
        }
        text.push('\n');
    }
    let (open, app, close) = match format {
        Format::Toml => ("", "[[apps]]\n", ""),
        Format::Json => ("{\n", "  \"apps\": [\n    {\n", "    },\n  ],\n}\n"),
        Format::Yaml => ("", "apps:\n  -\n", ""),
        Format::Js => ("module.exports = {\n", "  apps: [\n    {\n", "    },\n  ],\n};\n"),
    };
    text.push_str(open);
    rows(&mut text, format, format.indent().0, ROOT, simple);
    if !simple {
        text.push('\n');
    }
    text.push_str(app);
    rows(&mut text, format, format.indent().1, APP, simple);
    text.push_str(close);
    text
}

fn rows(text: &mut String, format: Format, indent: &str, rows: &[Row], simple: bool) {
    let mut first = true;
    for row in rows.iter().filter(|row| row.on || !simple) {
        let setting = format.setting(row);
        if simple {
            writeln!(text, "{indent}{setting}").expect("writing to a String cannot fail");
            continue;
        }
        let comment = format.comment();
        if !std::mem::take(&mut first) {
            text.push('\n');
        }
        let off = if row.on { String::new() } else { format!("{comment} ") };
        writeln!(text, "{indent}{comment} {}\n{indent}{off}{setting}", row.purpose)
            .expect("writing to a String cannot fail");
    }
}

impl Format {
    fn comment(self) -> &'static str {
        match self {
            Self::Toml | Self::Yaml => "#",
            Self::Json | Self::Js => "//",
        }
    }

    /// Before procrun's own keys, and before an app's.
    fn indent(self) -> (&'static str, &'static str) {
        match self {
            Self::Toml => ("", ""),
            Self::Yaml => ("", "    "),
            Self::Json | Self::Js => ("  ", "      "),
        }
    }

    fn setting(self, row: &Row) -> String {
        let key = match self {
            Self::Toml => format!("{} =", row.key),
            Self::Yaml | Self::Js => format!("{}:", row.key),
            Self::Json => format!("\"{}\":", row.key),
        };
        let value = match (&row.value, self) {
            (Plain(value), _) => (*value).to_owned(),
            (Table(name, value), Self::Toml) => format!("{{ {name} = {value} }}"),
            (Table(name, value), Self::Json) => format!("{{ \"{name}\": {value} }}"),
            (Table(name, value), Self::Yaml | Self::Js) => format!("{{ {name}: {value} }}"),
        };
        let end = match self {
            Self::Toml | Self::Yaml => "",
            Self::Json | Self::Js => ",",
        };
        format!("{key} {value}{end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starter_file_fits_a_terminal_and_a_simple_one_is_short() {
        for format in [Format::Toml, Format::Json, Format::Yaml, Format::Js] {
            for line in text(format, "ecosystem.config.js", false).lines() {
                assert!(line.chars().count() <= 100, "{line}");
                assert_eq!(line, line.trim_end());
            }
            let simple = text(format, "x", true);
            assert!(!simple.contains(format.comment()), "{simple}");
            assert!(simple.lines().count() <= 10, "{simple}");
        }
        assert_eq!(
            text(Format::Toml, "x", true),
            "[[apps]]\nname = \"app\"\nscript = \"app.js\"\nenv = { NODE_ENV = \"production\" }\n"
        );
    }
}
