//! `procrun ecosystem`: a file to begin with, that says what people ask for.
//!
//! One table of keys, written in each format. What a new key needs is a row here.

use std::{fmt::Write as _, path::Path};

use super::{commands::Typed, create::create, failure::Failure, say};
use crate::{
    config::EX_USAGE,
    spec::ExitCode,
    sys::{directory, regular_file},
};

/// A key, and what it is for.
struct Row {
    /// In lines that fit a terminal, each a sentence that begins with a capital.
    about: &'static str,
    key: &'static str,
    value: Value,
    /// It is said; the others are there to be switched on.
    on: bool,
}

enum Value {
    /// As JSON writes it, which is how all formats do.
    Plain(&'static str),
    /// A table of one key and its value, which is as JSON writes it.
    Table(&'static str, &'static str),
}

use Value::{Plain, Table};

const fn on(about: &'static str, key: &'static str, value: Value) -> Row {
    Row { about, key, value, on: true }
}

const fn off(about: &'static str, key: &'static str, value: Value) -> Row {
    Row { about, key, value, on: false }
}

/// Of procrun itself.
static ROOT: &[Row] = &[
    off("How lines look: prefix (0|app | text), raw, json or keyvalue", "log_format", Plain(r#""json""#)),
    off("A time before each line", "log_date_format", Plain(r#""YYYY-MM-DD HH:mm:ss""#)),
];

/// Of an app.
static APP: &[Row] = &[
    on("What it is called", "name", Plain(r#""app""#)),
    on(
        "A file, a program in PATH, or a shell line; its extension says what runs it",
        "script",
        Plain(r#""app.js""#),
    ),
    off("Its arguments", "args", Plain(r#"["--port", "3000"]"#)),
    off("What runs the script, where its extension does not say it", "interpreter", Plain(r#""node""#)),
    off("Where it runs", "cwd", Plain(r#""/srv/app""#)),
    off(
        "How many processes; \"max\" is one per CPU. A Node app shares its port as a cluster",
        "instances",
        Plain(r#""max""#),
    ),
    off(
        "Sockets that are opened for it and outlive it, for other servers",
        "listen",
        Plain(r#""tcp://*:8080""#),
    ),
    on("Its environment, beside what procrun was given", "env", Table("NODE_ENV", r#""production""#)),
    off("What --env staging changes in that", "env_staging", Table("NODE_ENV", r#""staging""#)),
    off("Variables from a file, for secrets", "env_file", Plain(r#"".env""#)),
    off("User of its processes", "user", Plain(r#""nobody""#)),
    off("Restart when its process tree uses more memory", "max_memory_restart", Plain(r#""300M""#)),
    off("And at these times (minute, hour, day, month, weekday)", "cron_restart", Plain(r#""0 4 * * *""#)),
    off("And when these change, while you write it", "watch", Plain(r#"["src"]"#)),
    off("Exit codes that are final; else it is started again", "stop_exit_codes", Plain("[0]")),
    off("Unstable restarts before the app is marked errored", "max_restarts", Plain("16")),
    off("How long a good run is at least", "min_uptime", Plain(r#""1s""#)),
    off(
        "Then end the container with its exit code; else the other apps go on",
        "on_errored",
        Plain(r#""exit""#),
    ),
    off(
        "End the container when this app has ended, for the main app of a Job",
        "ends_container",
        Plain("true"),
    ),
    off("It is only online once it says process.send('ready')", "wait_ready", Plain("true")),
    off(
        "Health probe every 10 s; restart when it fails",
        "health",
        Table("http", r#""http://127.0.0.1:3000/healthz""#),
    ),
    off("The same when the event loop of a Node app hangs for so long", "heartbeat", Plain(r#""10s""#)),
    off("The apps that have to be there before it starts, such as [\"db\"]", "depends_on", Plain("[]")),
    off("How many files it may have open, and other limits", "rlimits", Table("nofile", "4096")),
    off("What asks it to end; else the signal that procrun got", "kill_signal", Plain(r#""SIGTERM""#)),
    off("How long it may take; stay below the 10 s of docker stop", "kill_timeout", Plain(r#""8s""#)),
    off(
        "Lines go to stdout; this is a file beside that, and it is rotated",
        "out_file",
        Plain(r#""logs/app-out.log""#),
    ),
    off("The same for its errors", "error_file", Plain(r#""logs/app-error.log""#)),
];

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Toml,
    Json,
    Yaml,
    Js,
}

pub(super) fn ecosystem(typed: &Typed) -> Result<ExitCode, Failure> {
    let simple = match typed.words.first().map(String::as_str) {
        None => false,
        Some("simple") => true,
        Some(other) => {
            let hint = "procrun ecosystem simple, or procrun ecosystem --format json";
            return Err(Failure::new(EX_USAGE, format!("there is `simple` only, not `{other}`")).hint(hint));
        }
    };
    let (format, file) = match typed.value("format") {
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
        "`--format toml|json|yaml|js` writes another one",
    )?;
    say(&format!(
        "wrote {file}\n\
         put your program into it as `script`, see what it means with `procrun check {file}`,\n\
         and run it with `procrun {file}`\n"
    ));
    Ok(0)
}

/// Whether the nearest package.json makes an ES module of each `.js`: `module.exports` is none.
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
            format!("What `procrun {file}` runs; `procrun check {file}` shows what it means."),
            format!("A line that is commented out is an example. Another app is {more}."),
        ] {
            writeln!(text, "{} {line}", format.comment()).expect("a String takes everything");
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
            writeln!(text, "{indent}{setting}").expect("a String takes everything");
            continue;
        }
        let comment = format.comment();
        if !std::mem::take(&mut first) {
            text.push('\n');
        }
        let off = if row.on { String::new() } else { format!("{comment} ") };
        writeln!(text, "{indent}{comment} {}\n{indent}{off}{setting}", row.about)
            .expect("a String takes everything");
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
    fn a_starter_fits_a_terminal_and_says_little_if_little_is_wanted() {
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
