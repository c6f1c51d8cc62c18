//! How the output of workers and procrun's own lines are logged.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The format of lines on procrun's stdout and stderr.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeLog {
    /// The format of a line.
    pub style: LogStyle,
    /// A time before each line, as a day.js pattern (PM2's `log_date_format`). `None`: no time.
    pub date_format: Option<String>,
    /// The verbosity of procrun's own log.
    pub verbosity: Verbosity,
    /// The limits of the recent lines in memory.
    pub history: LogHistory,
}

/// The limits of the recent lines of each instance in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHistory {
    /// The number of lines, if they have at most `bytes` (`log_history_lines`).
    pub lines: u32,
    /// The memory for an instance in bytes; all instances together use at most 16 times as much
    /// (`log_history_size`).
    pub bytes: u64,
}

impl Default for LogHistory {
    fn default() -> Self {
        Self { lines: 1000, bytes: 1024 * 1024 }
    }
}

/// The format of a line on stdout and stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogStyle {
    /// `0|main | text`.
    #[default]
    Prefix,
    /// The line as the worker wrote it (`--raw`).
    Raw,
    /// A JSON record of PM2 (`--json`).
    Json,
    /// `timestamp=… app=main id=0 type=out message=…` (`--format`).
    KeyValue,
}

/// The verbosity of procrun's own log (`--log-level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Nothing.
    Off,
    /// Failures.
    Error,
    /// And warnings.
    Warn,
    /// And every start, exit, restart and signal.
    #[default]
    Info,
    /// And every decision.
    Debug,
    /// And every input of the machine.
    Trace,
}

/// The path that means no log file.
pub const NO_FILE: &str = "/dev/null";

/// The logging of one application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogSpec {
    /// Whether a line that is a JSON object is merged into the JSON record, and files get JSON records
    /// (`log_type = "json"`).
    pub json: bool,
    /// A time before each line of this application, as a day.js pattern (`log_date_format`, or
    /// `time = true`).
    pub date_format: Option<String>,
    /// Whether the output is discarded (`disable_logs`).
    pub disabled: bool,
    /// The log files.
    pub files: LogFiles,
}

/// The log files of one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFiles {
    /// The file of stdout (`out_file`).
    pub out: Option<PathBuf>,
    /// The file of stderr (`error_file`).
    pub error: Option<PathBuf>,
    /// The file of both (`log_file`).
    pub combined: Option<PathBuf>,
    /// Whether all instances share the files (`merge_logs`). Otherwise, with more than one instance, the names have
    /// `-<id>` before the extension.
    pub merge: bool,
    /// The size in bytes at which a file is rotated (`log_max_size`); 0: it is not rotated.
    pub max_size: u64,
    /// The number of rotated files to keep (`log_keep`).
    pub keep: u32,
    /// Whether rotated files are compressed with gzip (`log_compress`).
    pub compress: bool,
    /// Files below this directory, procrun's home in the background, can be read only by its user.
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
