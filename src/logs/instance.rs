//! An instance whose output is read: its label and the destinations of its lines.

use super::file_spec::FileSpec;
use crate::spec::LogSpec;

/// The source of lines: an instance by its id, or procrun itself.
pub(super) type LineSource = Option<u32>;

/// The source of lines, which labels them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Unique among the instances that are added.
    pub key: u32,
    /// PM2's `pm_id`. Two instances may have the same while one replaces the other.
    pub id: u32,
    /// The application's name.
    pub name: String,
}

/// The destinations of an instance's lines besides stdout and stderr, and their form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sinks {
    /// The settings of the application. Its `files` are not used: the complete paths are in the fields below.
    pub spec: LogSpec,
    /// The file for stdout.
    pub out: Option<FileSpec>,
    /// The file for stderr.
    pub error: Option<FileSpec>,
    /// The file for both streams.
    pub combined: Option<FileSpec>,
}
