//! Output, log files and the pid file.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind, OutOfRange,
            app::row::{OWN, PM2, field},
            option::{
                OptionGroup,
                OptionValue::{Required, Switch},
                option,
            },
            part::KeyPatch,
            show::{has_log_files, log_name, only_true},
        },
    },
    spec::{
        AppSpec, ByteSize,
        validate::{MAX_COUNT, MIN_LOG_SIZE},
    },
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "out_file",
        aliases: &["out_log", "output", "out"],
        meaning: "[log file](../how-to/logs.md#log-files) of stdout",
        default: "none",
        example: "'logs/out.log'",
        kind: Kind::LogFile(|app, file| app.out_file = file),
        show: |app| app.logs.files.out.as_deref().map(|path| log_name(app, path)),
        options: &[option("--output", Required("FILE"), OptionGroup::Files, "Also write stdout to a file")
            .short('o')],
        part: field!(logs.files.out),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "error_file",
        aliases: &["err_log", "err_file", "err", "error"],
        meaning: "log file of stderr",
        default: "none",
        example: "'logs/error.log'",
        kind: Kind::LogFile(|app, file| app.error_file = file),
        show: |app| app.logs.files.error.as_deref().map(|path| log_name(app, path)),
        options: &[
            option("--error", Required("FILE"), OptionGroup::Files, "Also write stderr to a file").short('e')
        ],
        part: field!(logs.files.error),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "log_file",
        aliases: &["log"],
        meaning: "log file of both",
        default: "none",
        example: "'logs/all.log'",
        kind: Kind::LogFile(|app, file| app.log_file = file),
        show: |app| app.logs.files.combined.as_deref().map(|path| log_name(app, path)),
        options: &[
            option("--log", Required("FILE"), OptionGroup::Files, "Also write both to one file").short('l')
        ],
        part: field!(logs.files.combined),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "merge_logs",
        aliases: &["combine_logs"],
        meaning: "all instances write to the same files",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.merge_logs = Some(on)),
        show: |app| has_log_files(app).then(|| app.logs.files.merge.to_string()),
        options: &[option(
            "--merge-logs",
            Switch,
            OptionGroup::Files,
            "Use the same files for all instances",
        )],
        part: field!(logs.files.merge),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "log_max_size",
        meaning: "size at which a log file is rotated",
        default: "10M",
        example: "'50M'",
        kind: Kind::Size(MIN_LOG_SIZE, |app, size| app.files.max_size = size),
        show: |app| has_log_files(app).then(|| ByteSize(app.logs.files.max_size).exact()),
        options: &[option(
            "--log-max-size",
            Required("SIZE"),
            OptionGroup::Files,
            "Rotate files at this size [default: 10M]",
        )],
        part: field!(logs.files.max_size),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "log_keep",
        meaning: "rotated files to keep",
        default: "5",
        example: "10",
        kind: Kind::Integer(0, MAX_COUNT, OutOfRange::IsWrong, |app, count| app.files.keep = count),
        show: |app| has_log_files(app).then(|| app.logs.files.keep.to_string()),
        options: &[option(
            "--log-keep",
            Required("N"),
            OptionGroup::Files,
            "Number of rotated files to keep [default: 5]",
        )],
        part: field!(logs.files.keep),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "log_compress",
        meaning: "compress rotated files",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.files.compress = on),
        show: |app| has_log_files(app).then(|| app.logs.files.compress.to_string()),
        options: &[option("--log-compress", Switch, OptionGroup::Files, "Compress rotated files")],
        part: field!(logs.files.compress),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "log_type",
        meaning: "`json`: lines that are JSON objects are merged into the JSON record",
        default: "`raw`",
        example: "'json'",
        kind: Kind::LenientChoice(&[
            ("json", |app| app.json_logs = true),
            ("raw", |app| app.json_logs = false),
        ]),
        show: |app| app.logs.json.then(|| "json".to_owned()),
        options: &[option(
            "--log-type",
            Required("TYPE"),
            OptionGroup::Output,
            "json: insert JSON lines into --json records",
        )],
        part: field!(logs.json),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "log_date_format",
        meaning: "time before each line of this app, in the format of day.js",
        default: "as at the root",
        example: "'YYYY-MM-DD HH:mm:ss'",
        kind: Kind::SingleLine(|app, format| app.date_format = Some(format)),
        show: |app| app.logs.date_format.clone(),
        options: &[option(
            "--log-date-format",
            Required("FORMAT"),
            OptionGroup::Output,
            "Time format, as YYYY-MM-DD HH:mm:ss",
        )],
        part: field!(logs.date_format),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "time",
        meaning: "`true` stands for the `log_date_format` `YYYY-MM-DDTHH:mm:ss`",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.time = on),
        options: &[option("--time", Switch, OptionGroup::Output, "Prefix each line with the time")],
        patch: KeyPatch::With(|from, to| {
            to.logs.date_format.clone_from(&from.logs.date_format);
            Ok(())
        }),
        ..PM2
    },
    Key {
        name: "disable_logs",
        meaning: "discard the app's output",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.disable_logs = on),
        show: |app| only_true(app.logs.disabled),
        options: &[option("--disable-logs", Switch, OptionGroup::Output, "Discard the app's output")],
        part: field!(logs.disabled),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "pid_file",
        aliases: &["pid"],
        meaning: "file for the process id; may contain [placeholders](environment.md#placeholders). In PM2's files, and with `-p`, `x.pid` becomes `x-{id}.pid`, as in PM2",
        default: "none",
        example: "'api.pid'",
        kind: Kind::PidFile(|app, file| app.pid_file = Some(file)),
        show: |app| app.pid_file_of_instance("<instance>", "<id>").map(|path| path.display().to_string()),
        options: &[option("--pid", Required("FILE"), OptionGroup::Files, "Write the process id to a file")
            .short('p')],
        part: field!(pid_file),
        patch: KeyPatch::Copy,
        ..PM2
    },
];
