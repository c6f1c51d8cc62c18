//! Which lines a follower reads. Pure.

use super::{block::Entry, instance::LineSource, line_group::Subject, stream_kind::StreamKind};

/// Selects lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Instances by PM2's `pm_id`. If `names` is empty too: all.
    pub ids: Vec<u32>,
    /// Applications by name, including instances that are added later.
    pub names: Vec<String>,
    /// Whether stdout of workers is included.
    pub out: bool,
    /// Whether stderr of workers is included.
    pub err: bool,
    /// procrun's own lines, which count as stderr.
    pub own: OwnLines,
}

/// Selects procrun's own lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnLines {
    /// No own lines.
    #[default]
    None,
    /// Own lines about the instances and applications of the filter.
    Matching,
    /// All own lines, whatever the rest of the filter is.
    All,
}

impl Default for Filter {
    /// All output of workers.
    fn default() -> Self {
        Self { ids: Vec::new(), names: Vec::new(), out: true, err: true, own: OwnLines::None }
    }
}

impl Filter {
    pub(super) fn includes_source(&self, source: LineSource, name: &str) -> bool {
        match source {
            None => self.own != OwnLines::None,
            Some(id) => {
                self.ids.is_empty() && self.names.is_empty()
                    || self.ids.contains(&id)
                    || self.names.iter().any(|wanted| wanted == name)
            }
        }
    }

    pub(super) fn includes_entry(&self, source: LineSource, entry: &Entry) -> bool {
        self.includes_line(source, entry.kind, entry.subject)
    }

    /// Whether a line is included, given that its source is.
    pub(super) fn includes_line(&self, source: LineSource, kind: StreamKind, subject: Subject) -> bool {
        let is_wanted_stream = match kind {
            StreamKind::Out => self.out,
            StreamKind::Err => self.err,
        };
        is_wanted_stream && (source.is_some() || self.own == OwnLines::All || self.includes_subject(subject))
    }

    fn includes_subject(&self, subject: Subject) -> bool {
        self.ids.iter().any(|id| subject.is_instance(*id))
            || self.names.iter().any(|name| subject.is_app(name))
    }
}
