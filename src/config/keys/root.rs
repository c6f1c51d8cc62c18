//! Keys at the root of a file: the settings of procrun itself, and those that build the list of apps.

use super::{
    super::draft::RuntimeDraft,
    Change, Key, KeyPatch, Kind, OutOfRange, Owner, Section, ZeroMeans,
    option::{
        OptionGroup,
        OptionValue::{AfterEquals, Required, Switch},
        Sets, hidden, option,
    },
    show::{readable, shown},
};
use crate::spec::{ByteSize, LogStyle, OomGuard, RunCgroup, Runtime, TerminationLog, Verbosity};

/// What `time = true` stands for, in PM2 too.
pub(in crate::config) const TIME_FORMAT: &str = "YYYY-MM-DDTHH:mm:ss";

/// procrun's own settings, which stand beside `apps`.
pub(in crate::config) static RUNTIME_KEYS: &[Section<RuntimeDraft, Runtime>] =
    &[Section { heading: "procrun", keys: KEYS }];

/// What a row leaves out.
const ROOT: Key<RuntimeDraft, Runtime> = Key {
    name: "",
    aliases: &[],
    meaning: "",
    default: "",
    example: "",
    kind: Kind::Ignored,
    show: |_| None,
    options: &[],
    part: None,
    owner: Owner::Procrun,
    change: Change::Restart,
    patch: KeyPatch::None,
};

static KEYS: &[Key<RuntimeDraft, Runtime>] = &[
    Key {
        name: "auto_exit",
        meaning: "exit when all apps have exited",
        default: "true",
        example: "false",
        kind: Kind::Boolean(|draft, on| draft.runtime.auto_exit = on),
        show: |runtime| shown(runtime.auto_exit),
        options: &[
            option("--no-auto-exit", Switch, OptionGroup::App, "Keep running when all apps have exited")
                .sets(Sets::False),
            hidden("--auto-exit", Switch),
        ],
        ..ROOT
    },
    Key {
        name: "start_delay",
        meaning: "time before the first start",
        default: "0",
        example: "'2s'",
        kind: Kind::Duration(|draft, delay| draft.runtime.start_delay = delay, ZeroMeans::Counts),
        show: |runtime| (!runtime.start_delay.is_zero()).then(|| readable(runtime.start_delay)),
        options: &[option("--delay", Required("SECONDS"), OptionGroup::App, "Wait before the first start")
            .sets(Sets::Seconds)],
        ..ROOT
    },
    Key {
        name: "shutdown_timeout",
        meaning: "time for [the whole stop](../explanation/shutdown-budget.md)",
        default: "8 s, or the longest `kill_timeout`",
        example: "'25s'",
        kind: Kind::Duration(
            |draft, time| draft.runtime.shutdown_timeout = Some(time).filter(|time| !time.is_zero()),
            ZeroMeans::Counts,
        ),
        show: |runtime| runtime.shutdown_timeout.map(readable),
        ..ROOT
    },
    Key {
        name: "pre_stop_delay",
        meaning: "time between a stop request and the stop, in which all apps serve and report not ready",
        default: "0",
        example: "'5s'",
        kind: Kind::Duration(|draft, delay| draft.runtime.pre_stop_delay = delay, ZeroMeans::Counts),
        show: |runtime| (!runtime.pre_stop_delay.is_zero()).then(|| readable(runtime.pre_stop_delay)),
        ..ROOT
    },
    Key {
        name: "oom_guard",
        meaning: "share of the container's memory at which [the largest worker ends](../how-to/memory-limits.md#guard-the-container), or false",
        default: "95%",
        example: "'90%'",
        kind: Kind::OomGuard(|draft, guard| draft.runtime.oom_guard = guard),
        show: |runtime| match runtime.oom_guard {
            guard if guard == OomGuard::default() => None,
            OomGuard::At(share) => shown(share),
            OomGuard::Off => shown(false),
        },
        ..ROOT
    },
    Key {
        name: "cgroup",
        meaning: r#"whether each run gets [a cgroup of its own](../explanation/process-trees.md): `"auto"`, true or false"#,
        default: "auto",
        example: "false",
        kind: Kind::BooleanOrAuto(|draft, on| {
            draft.runtime.cgroup = match on {
                None => RunCgroup::Auto,
                Some(true) => RunCgroup::Always,
                Some(false) => RunCgroup::Never,
            };
        }),
        show: |runtime| match runtime.cgroup {
            RunCgroup::Auto => None,
            RunCgroup::Always => shown(true),
            RunCgroup::Never => shown(false),
        },
        ..ROOT
    },
    Key {
        name: "termination_log",
        meaning: "file for the [termination message](exit-codes.md#termination-message), or false",
        default: "`/dev/termination-log` if it is there",
        example: "'/tmp/termination-log'",
        kind: Kind::LogFile(|draft, file| {
            draft.runtime.termination_log =
                file.map_or(TerminationLog::Off, |file| TerminationLog::File(file.into()));
        }),
        show: |runtime| match &runtime.termination_log {
            TerminationLog::IfThere => None,
            TerminationLog::File(file) => shown(file.display()),
            TerminationLog::Off => shown("false"),
        },
        ..ROOT
    },
    Key {
        name: "web",
        meaning: "address of the [HTTP server](../how-to/monitor.md): a port, `ADDR:PORT` or `unix:/path`",
        default: "false",
        example: "'127.0.0.1:9615'",
        kind: Kind::Web(|draft, address| draft.runtime.web = address.map(Box::new)),
        show: |runtime| runtime.web.as_ref().and_then(shown),
        options: &[option(
            "--web",
            AfterEquals("ADDR:PORT"),
            OptionGroup::App,
            "Dashboard, probes, metrics, API [port: 9615]",
        )],
        ..ROOT
    },
    Key {
        name: "log_format",
        meaning: "form of [log lines](log-formats.md): `prefix`, `raw`, `json` or `keyvalue`",
        default: "`prefix`",
        example: "'json'",
        kind: Kind::Choice(&[
            ("prefix", |draft| draft.runtime.log.style = LogStyle::Prefix),
            ("raw", |draft| draft.runtime.log.style = LogStyle::Raw),
            ("json", |draft| draft.runtime.log.style = LogStyle::Json),
            ("keyvalue", |draft| draft.runtime.log.style = LogStyle::KeyValue),
        ]),
        show: |runtime| {
            shown(match runtime.log.style {
                LogStyle::Prefix => "prefix",
                LogStyle::Raw => "raw",
                LogStyle::Json => "json",
                LogStyle::KeyValue => "keyvalue",
            })
        },
        options: &[
            option("--formatted", Switch, OptionGroup::Output, "Print id|name before each line [default]")
                .sets(Sets::Word("prefix")),
            option("--raw", Switch, OptionGroup::Output, "Print lines as the apps wrote them")
                .sets(Sets::Word("raw")),
            option("--json", Switch, OptionGroup::Output, "Print each line as a JSON record")
                .sets(Sets::Word("json")),
            option("--format", Switch, OptionGroup::Output, "Print each line as key=value pairs")
                .sets(Sets::Word("keyvalue")),
        ],
        ..ROOT
    },
    Key {
        name: "log_date_format",
        meaning: "time before each line, in the format of day.js",
        default: "none",
        example: "'YYYY-MM-DD HH:mm:ss'",
        kind: Kind::SingleLine(|draft, format| draft.runtime.log.date_format = Some(format)),
        show: |runtime| runtime.log.date_format.clone(),
        ..ROOT
    },
    Key {
        name: "time",
        meaning: "`true` stands for the `log_date_format` `YYYY-MM-DDTHH:mm:ss`",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|draft, on| draft.time = on),
        ..ROOT
    },
    Key {
        name: "log_history_lines",
        meaning: "recent lines of each instance in memory",
        default: "1000",
        example: "200",
        kind: Kind::Integer(0, 1_000_000, OutOfRange::IsWrong, |draft, count| {
            draft.runtime.log.history.lines = count;
        }),
        show: |runtime| shown(runtime.log.history.lines),
        ..ROOT
    },
    Key {
        name: "log_history_size",
        meaning: "memory for the recent lines of each instance",
        default: "1M",
        example: "'256K'",
        kind: Kind::Size(16 * 1024, |draft, size| draft.runtime.log.history.bytes = size),
        show: |runtime| shown(ByteSize(runtime.log.history.bytes).exact()),
        ..ROOT
    },
    Key {
        name: "log_level",
        meaning: "procrun's own lines: `off`, `error`, `warn`, `info`, `debug` or `trace`",
        default: "`info`",
        example: "'warn'",
        kind: Kind::Choice(&[
            ("off", |draft| draft.runtime.log.verbosity = Verbosity::Off),
            ("error", |draft| draft.runtime.log.verbosity = Verbosity::Error),
            ("warn", |draft| draft.runtime.log.verbosity = Verbosity::Warn),
            ("info", |draft| draft.runtime.log.verbosity = Verbosity::Info),
            ("debug", |draft| draft.runtime.log.verbosity = Verbosity::Debug),
            ("trace", |draft| draft.runtime.log.verbosity = Verbosity::Trace),
        ]),
        show: |runtime| {
            shown(match runtime.log.verbosity {
                Verbosity::Off => "off",
                Verbosity::Error => "error",
                Verbosity::Warn => "warn",
                Verbosity::Info => "info",
                Verbosity::Debug => "debug",
                Verbosity::Trace => "trace",
            })
        },
        options: &[
            option(
                "--log-level",
                Required("LEVEL"),
                OptionGroup::Output,
                "off, error, warn, info, debug or trace",
            ),
            hidden("--silent", Switch).short('s').sets(Sets::Word("off")),
        ],
        ..ROOT
    },
];

/// The working directory of the apps.
pub(in crate::config) const CWD: &str = "cwd";
/// Values for all apps.
pub(in crate::config) const DEFAULTS: &str = "defaults";
/// More files.
pub(in crate::config) const INCLUDE: &str = "include";
/// The apps.
pub(in crate::config) const APPS: &str = "apps";
/// Directories to serve.
pub(in crate::config) const STATIC: &str = "static";

/// The names of the keys at the root that build the list of apps.
pub(in crate::config) fn file_keys() -> impl Iterator<Item = &'static str> {
    FILE_KEYS.iter().map(|key| key.name)
}

/// A key at the root that builds the list of apps.
pub(super) struct FileKey {
    pub(super) name: &'static str,
    /// What it does, in Markdown.
    pub(super) meaning: &'static str,
    /// The page about it, in Markdown.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the reference page shows it"))]
    pub(super) page: &'static str,
}

/// The row of the keys of an app that are read by their prefix.
#[cfg(test)]
pub(super) const NAMED_ENVIRONMENT: [&str; 3] =
    ["`env_<name>`", "variables that count with `--env name`", "none"];

/// The keys at the root that build the list of apps.
pub(super) static FILE_KEYS: &[FileKey] = &[
    FileKey {
        name: CWD,
        meaning: "working directory of all apps",
        page: "[Split files](../how-to/split-files.md#working-directory)",
    },
    FileKey {
        name: DEFAULTS,
        meaning: "keys for all apps that do not set them",
        page: "[Split files](../how-to/split-files.md#defaults)",
    },
    FileKey {
        name: INCLUDE,
        meaning: "more ecosystem files",
        page: "[Split files](../how-to/split-files.md#include)",
    },
    FileKey { name: APPS, meaning: "the apps", page: "[Ecosystem files](ecosystem-files.md)" },
    FileKey {
        name: STATIC,
        meaning: "directories that procrun [serves](../how-to/serve-files.md)",
        page: "[Serve static files](../how-to/serve-files.md)",
    },
];
