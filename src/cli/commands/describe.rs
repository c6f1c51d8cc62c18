//! `procrun describe`: everything about some processes.

use std::fmt::Write as _;

use crate::{
    cli::{
        command::{Command, Group, JSON, Run, TARGETS},
        failure::Failure,
        node_version,
        output::{look, say, say_json},
        parsed_args::ParsedArgs,
        process_table::{colour, size, uptime},
        process_tree,
        table::Look,
        wrap::folded,
    },
    control::snapshot::Detail,
    shown::printable,
    spec::ExitCode,
};

pub(super) static DESCRIBE: Command = Command {
    words: &["describe", "show", "info", "desc"],
    group: Group::Inspect,
    arguments: TARGETS,
    options: &[JSON],
    summary: "Show all details of processes",
    description: "Show all details of processes: status, process tree, versions, settings, the\n\
                  next scheduled restart, and the last five exits with their reasons.",
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
        return Ok(say_json(&details));
    }
    let look = look();
    let texts: Vec<String> = details.iter().map(|detail| shown(detail, look)).collect();
    Ok(say(&texts.join("\n")))
}

fn shown(of: &Detail, look: Look) -> String {
    let brief = &of.brief;
    let mut page = Page { text: String::new(), look };
    page.heading(&format!("{} ({})", brief.name, brief.id));
    page.coloured("status", &brief.state(), colour(brief));
    page.several("waits for", &of.waits_for);
    if let Some(completed) = of.completed {
        page.line("task (oneshot)", if completed { "completed" } else { "not completed" });
    }
    page.maybe("says", of.says.as_ref());
    page.maybe("healthy", brief.healthy);
    page.maybe("ready", brief.ready);
    page.maybe("problem", of.complaint.as_ref());
    page.maybe("pid", brief.pid);
    page.maybe("uptime", brief.uptime.map(uptime));
    page.maybe("cpu", brief.cpu.map(|cpu| format!("{cpu:.1}%")));
    page.maybe("memory", brief.memory.map(size));
    page.maybe("memory (PSS)", of.pss.map(size));
    page.maybe("processes", of.processes);
    page.maybe("threads", of.threads);
    page.maybe("open files", of.open_files);
    page.maybe("cgroup", of.cgroup.as_ref());
    page.line("restarts", brief.restarts);
    page.line("unstable restarts", of.unstable_restarts);
    page.several("signs of readiness", &of.signs);
    page.line("created at", time(of.created_at));
    page.line("namespace", &brief.namespace);
    page.line("mode", &brief.mode);
    page.line("instance", format!("{} of {}", brief.number + 1, of.siblings));

    page.several("depends on", &of.depends_on);

    if !of.tree.is_empty() {
        page.heading("process tree");
        for (pid, text) in process_tree::described(&of.tree) {
            page.line(&pid, text);
        }
    }

    page.heading("what runs");
    page.line("script", &of.script);
    if of.exec_path != of.script {
        page.line("script path", &of.exec_path);
    }
    page.maybe("version", brief.version.as_ref());
    page.maybe("node version", node_version::of(of));
    page.maybe("NODE_ENV", of.node_env.as_ref());
    page.list("args", &of.args);
    page.line("cwd", &of.cwd);
    page.maybe("interpreter", of.interpreter.as_ref());
    page.list("interpreter args", &of.interpreter_args);
    page.maybe("user", brief.user.as_ref());
    for (key, value) in &of.limits {
        page.line(&key.replace('_', " "), value);
    }

    for (key, value) in &of.checks {
        page.line(key, value);
    }

    page.heading("when it ends");
    page.line("autorestart", of.autorestart);
    page.line("min uptime", format!("{} ms", of.min_uptime));
    page.line("max restarts", of.max_restarts);
    page.maybe("restart delay", of.restart_delay.map(|delay| format!("{delay} ms")));
    page.maybe("max memory", of.max_memory_restart.as_ref());
    page.line("stop signal", &of.stop_signal);
    page.line("kill timeout", format!("{} ms", of.kill_timeout));
    page.maybe("restarts by time", of.cron.as_ref());
    page.maybe("time zone", of.cron_timezone.as_ref());
    page.maybe("next run", of.next_cron.map(time));
    page.line("watching", if brief.watching { "enabled" } else { "disabled" });
    page.list("watched", &of.watch);
    let codes: Vec<String> = of.stop_exit_codes.iter().map(u8::to_string).collect();
    page.list("final exit codes", &codes);

    if of.out_file.is_some() || of.error_file.is_some() || of.log_file.is_some() || of.pid_file.is_some() {
        page.heading("files");
        page.maybe("stdout", of.out_file.as_ref());
        page.maybe("stderr", of.error_file.as_ref());
        page.maybe("both", of.log_file.as_ref());
        page.maybe("pid", of.pid_file.as_ref());
    }
    if !of.endings.is_empty() {
        page.heading("last ends, the latest first");
        for ending in of.endings.iter().rev() {
            page.line(&time(ending.at), format!("{}, up {}", ending.text, uptime(ending.uptime)));
        }
    }
    page.text
}

/// The local time of a moment.
fn time(millis: u64) -> String {
    let at = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    at.map_or_else(String::new, |at| {
        at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    })
}

/// Columns before a value.
const BEFORE_VALUE: usize = 22;

struct Page {
    text: String,
    look: Look,
}

impl Page {
    fn heading(&mut self, text: &str) {
        let text = printable(text).into_owned();
        let text = if self.look.colours { format!("\x1b[1;36m{text}\x1b[0m") } else { text };
        writeln!(self.text, "{text}").expect("a String takes everything");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let value = value.to_string();
        let value = folded(&printable(&value), self.look.width, BEFORE_VALUE);
        writeln!(self.text, "  {name:19} {value}").expect("a String takes everything");
    }

    fn coloured(&mut self, name: &str, value: &str, colour: &str) {
        if self.look.colours {
            writeln!(self.text, "  {name:19} \x1b[{colour}m{value}\x1b[0m")
                .expect("a String takes everything");
        } else {
            self.line(name, value);
        }
    }

    fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }

    /// Values that may have spaces in them.
    fn several(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.line(name, values.join(", "));
        }
    }

    /// Words of a command line and the like.
    fn list(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.line(name, values.join(" "));
        }
    }
}
