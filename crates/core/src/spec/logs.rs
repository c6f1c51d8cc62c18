//! What becomes of the lines that workers and procrun itself write.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How lines look on procrun's stdout and stderr.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeLog {
    /// The form of a line.
    pub style: LogStyle,
    /// A time before each line, as a day.js pattern (PM2's `log_date_format`). `None`: no time.
    pub date_format: Option<String>,
    /// The verbosity of procrun's own log.
    pub verbosity: Verbosity,
    /// The limits of the recent lines.
    pub history: LogHistory,
}

/// How many recent lines of each instance are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHistory {
    /// The minimum number of lines, if they have no more than `bytes` (`log_history_lines`).
    pub lines: u32,
    /// The maximum memory for an instance; all together may use 16 times as much (`log_history_size`).
    pub bytes: u64,
}

impl Default for LogHistory {
    fn default() -> Self {
        Self { lines: 1000, bytes: 1024 * 1024 }
    }
}

/// The form of a line on stdout and stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogStyle {
    /// `0|main | text`.
    #[default]
    Prefix,
    /// The line as the worker wrote it (`--raw`).
    Raw,
    /// PM2's JSON record a line (`--json`).
    Json,
    /// `timestamp=… app=main id=0 type=out message=…` (`--format`).
    KeyValue,
}

/// The verbosity of procrun's own log (`--log-level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// And what is odd.
    Warn,
    /// And every start, end, restart and signal.
    #[default]
    Info,
    /// And each decision.
    Debug,
    /// And each event.
    Trace,
}

/// The path of a log file that is not to be written.
pub const NO_FILE: &str = "/dev/null";

/// What becomes of one application's output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogSpec {
    /// A line that is itself a JSON object is merged into the JSON record (`log_type = "json"`),
    /// and files get JSON records.
    pub json: bool,
    /// A time before each line of this application, as a day.js pattern (`log_date_format`, or
    /// `time = true`).
    pub date_format: Option<String>,
    /// Throw the output away instead of keeping it anywhere (`disable_logs`).
    pub disabled: bool,
    /// The files the output goes to besides.
    pub files: LogFiles,
}

/// The files of one application's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFiles {
    /// stdout (`out_file`).
    pub out: Option<PathBuf>,
    /// stderr (`error_file`).
    pub error: Option<PathBuf>,
    /// Both (`log_file`).
    pub combined: Option<PathBuf>,
    /// All instances share the files (`merge_logs`); otherwise, with more than one instance,
    /// `-<id>` is put before the extension.
    pub merge: bool,
    /// A file that would grow beyond this size is rotated (`log_max_size`).
    pub max_size: u64,
    /// The number of rotated files that are kept (`log_keep`).
    pub keep: u32,
    /// Rotated files are compressed with gzip (`log_compress`).
    pub compress: bool,
    /// Files below this directory, procrun's home in the background, are for its user alone.
    #[serde(default)]
    pub private_below: Option<PathBuf>,
}

impl Default for LogFiles {
    fn default() -> Self {
        Self {
            out: None,
            error: None,
            combined: None,
            merge: false,
            max_size: 10 * 1024 * 1024,
            keep: 5,
            compress: false,
            private_below: None,
        }
    }
}
