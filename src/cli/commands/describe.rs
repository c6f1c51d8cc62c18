//! `procrun describe`: all details of instances. The supervisor sends the spec of the application; its settings are
//! printed by the key table, as `check` prints them.

use std::fmt::Write as _;

use crate::{
    cli::{
        command::{Command, Group, JSON, Run, TARGETS},
        failure::Failure,
        node_version,
        output::{print, print_json, stdout_style},
        parsed_args::ParsedArgs,
        process_table::{colour, size, uptime},
        process_tree,
        table::OutputStyle,
        wrap::folded,
    },
    config::non_default_settings,
    control::{Pm2Metric, snapshot::InstanceDetails},
    shown::printable,
    spec::ExitCode,
};

pub(super) static DESCRIBE: Command = Command {
    words: &["describe", "show", "info", "desc"],
    group: Group::Inspect,
    arguments: TARGETS,
    options: &[JSON],
    summary: "Show all details of processes",
    description: "Show all details of processes: status, versions, usage, process tree, figures of\n\
                  Node (event loop, heap, HTTP requests), settings that are not the default, and\n\
                  the last five exits with their reasons.\n\
                  `procrun check` shows all settings of an ecosystem file.",
    examples: &[("procrun describe api", "all instances of the app api")],
    run: Run::Function(describe),
    ..Command::DEFAULT
};

fn describe(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let mut supervisor = args.supervisor()?;
    let mut details = supervisor.details(args.words.clone())?;
    let user = supervisor.user();
    for detail in &mut details {
        detail.brief.user = detail.brief.user.take().or_else(|| user.clone());
    }
    details.iter_mut().flat_map(|detail| &mut detail.tree).for_each(process_tree::read_command_line);
    if args.has("json") {
        let details: Vec<_> = details.iter().map(InstanceDetails::as_json).collect();
        return Ok(print_json(&details));
    }
    let style = stdout_style();
    let texts: Vec<String> = details.iter().map(|detail| shown(detail, style)).collect();
    Ok(print(&texts.join("\n")))
}

fn shown(of: &InstanceDetails, style: OutputStyle) -> String {
    let brief = &of.brief;
    let mut page = Page { text: String::new(), style };
    page.heading(&format!("{} ({})", brief.name, brief.id));
    page.coloured("status", &brief.state(), colour(brief));
    page.runtime(of);
    if !of.tree.is_empty() {
        page.heading("process tree");
        for (pid, text) in process_tree::described(&of.tree) {
            page.line(&pid, text);
        }
    }
    if let Some(node) = &brief.node {
        page.heading("node metrics");
        for Pm2Metric { name, value, unit, .. } in node.pm2_metrics() {
            page.line(name, format!("{value} {unit}").trim_end());
        }
    }
    page.heading("settings");
    let files = [
        ("out_file", &of.out_file),
        ("error_file", &of.error_file),
        ("log_file", &of.log_file),
        ("pid_file", &of.pid_file),
    ];
    for (key, value) in non_default_settings(&of.app) {
        // The file of this instance, instead of a name with placeholders.
        let file = files.iter().find(|(name, _)| *name == key).and_then(|(_, file)| file.as_ref());
        page.line(key, file.unwrap_or(&value));
    }
    if !of.exits.is_empty() {
        page.heading("last exits, newest first");
        for exit in of.exits.iter().rev() {
            page.line(&time(exit.at), format!("{}, up {}", exit.text, uptime(exit.uptime)));
        }
    }
    page.text
}

/// The local time, from milliseconds since 1970.
fn time(millis: u64) -> String {
    let at = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    at.map_or_else(String::new, |at| {
        at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    })
}

/// Columns before a value, unless the name is longer.
const BEFORE_VALUE: usize = 22;

struct Page {
    text: String,
    style: OutputStyle,
}

impl Page {
    /// What is known of the instance beyond its configuration.
    fn runtime(&mut self, of: &InstanceDetails) {
        let brief = &of.brief;
        self.list("waiting for", &of.waiting_for);
        self.maybe(
            "task",
            of.completed.map(|completed| if completed { "completed" } else { "not completed" }),
        );
        self.maybe("status text", of.status_text.as_ref());
        self.maybe("ready", brief.ready);
        self.list("readiness signals", &of.ready_signals);
        self.maybe("healthy", brief.healthy);
        self.maybe("problem", brief.problem.as_ref());
        self.maybe("pid", brief.pid);
        self.maybe("uptime", brief.uptime.map(uptime));
        self.maybe("cpu", brief.cpu.map(|cpu| format!("{cpu:.1}%")));
        self.maybe("memory", brief.memory.map(size));
        self.maybe("memory (PSS)", of.pss.map(size));
        self.maybe("processes", of.processes);
        self.maybe("threads", of.threads);
        self.maybe("open files", of.open_files);
        self.maybe("cgroup", of.cgroup.as_ref());
        self.line("restarts", brief.restarts);
        self.line("unstable restarts", of.unstable_restarts);
        self.line("created at", time(of.created_at));
        self.maybe("next run", of.next_cron.map(time));
        self.line("instance", format!("{} of {}", brief.number + 1, of.instances));
        self.line("mode", &brief.mode);
        if of.exec_path != of.app.exec.script {
            self.line("script path", &of.exec_path);
        }
        self.maybe("interpreter", of.interpreter.as_ref());
        self.maybe("version", brief.version.as_ref());
        self.maybe("node version", node_version::of(of));
        self.maybe("NODE_ENV", of.node_env.as_ref());
        self.maybe("user", brief.user.as_ref());
        self.line("stop signal", &of.stop_signal);
        self.line("watching", if brief.watching { "enabled" } else { "disabled" });
    }

    fn heading(&mut self, text: &str) {
        let text = printable(text).into_owned();
        let text = if self.style.colours { format!("\x1b[1;36m{text}\x1b[0m") } else { text };
        writeln!(self.text, "{text}").expect("writing to a String cannot fail");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let value = value.to_string();
        let value = folded(&printable(&value), self.style.width, BEFORE_VALUE);
        writeln!(self.text, "  {name:19} {value}").expect("writing to a String cannot fail");
    }

    fn coloured(&mut self, name: &str, value: &str, colour: &str) {
        if self.style.colours {
            writeln!(self.text, "  {name:19} \x1b[{colour}m{value}\x1b[0m")
                .expect("writing to a String cannot fail");
        } else {
            self.line(name, value);
        }
    }

    fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }

    fn list(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.line(name, values.join(", "));
        }
    }
}
