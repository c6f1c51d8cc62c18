//! Output, log files and the pid file.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind, OutOfRange,
            app::{OWN, PM2, copy},
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
        patch: copy!(logs.files.out),
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
        patch: copy!(logs.files.error),
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
        patch: copy!(logs.files.combined),
        ..PM2
    },
    Key {
        name: "merge_logs",
        aliases: &["combine_logs"],
        meaning: "all instances write to the same files",
        default: "false",
        example: "true",
        kind: Kind::Switch(|app, on| app.merge_logs = Some(on)),
        show: |app| has_log_files(app).then(|| app.logs.files.merge.to_string()),
        patch: copy!(logs.files.merge),
        ..PM2
    },
    Key {
        name: "log_max_size",
        meaning: "size at which a log file is rotated",
        default: "10M",
        example: "'50M'",
        kind: Kind::Size(MIN_LOG_SIZE, |app, size| app.files.max_size = size),
        show: |app| has_log_files(app).then(|| ByteSize(app.logs.files.max_size).exact()),
        patch: copy!(logs.files.max_size),
        ..OWN
    },
    Key {
        name: "log_keep",
        meaning: "rotated files to keep",
        default: "5",
        example: "10",
        kind: Kind::Count(0, MAX_COUNT, OutOfRange::IsWrong, |app, count| app.files.keep = count),
        show: |app| has_log_files(app).then(|| app.logs.files.keep.to_string()),
        patch: copy!(logs.files.keep),
        ..OWN
    },
    Key {
        name: "log_compress",
        meaning: "compress rotated files",
        default: "false",
        example: "true",
        kind: Kind::Switch(|app, on| app.files.compress = on),
        show: |app| has_log_files(app).then(|| app.logs.files.compress.to_string()),
        patch: copy!(logs.files.compress),
        ..OWN
    },
    Key {
        name: "log_type",
        meaning: "`json`: lines that are JSON objects are merged into the JSON record",
        default: "`raw`",
        example: "'json'",
        kind: Kind::Hint(&[("json", |app| app.json_logs = true), ("raw", |app| app.json_logs = false)]),
        show: |app| app.logs.json.then(|| "json".to_owned()),
        patch: copy!(logs.json),
        ..PM2
    },
    Key {
        name: "log_date_format",
        meaning: "time before each line of this app, in the format of day.js",
        default: "as at the root",
        example: "'YYYY-MM-DD HH:mm:ss'",
        kind: Kind::Label(|app, format| app.date_format = Some(format)),
        show: |app| app.logs.date_format.clone(),
        patch: copy!(logs.date_format),
        ..PM2
    },
    Key {
        name: "time",
        meaning: "`true` stands for the `log_date_format` `YYYY-MM-DDTHH:mm:ss`",
        default: "false",
        example: "true",
        kind: Kind::Switch(|app, on| app.time = on),
        patch: copy!(logs.date_format),
        ..PM2
    },
    Key {
        name: "disable_logs",
        meaning: "discard the app's output",
        default: "false",
        example: "true",
        kind: Kind::Switch(|app, on| app.disable_logs = on),
        show: |app| only_true(app.logs.disabled),
        patch: copy!(logs.disabled),
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
        patch: copy!(pid_file),
        ..PM2
    },
];
