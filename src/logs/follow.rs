//! Reads the recent lines, and new ones.
//!
//! A follower has no queue of its own: it remembers how far it has read in the recent lines, which are bounded.
//! A slow follower learns how many lines it has missed. A follower delays neither a worker nor the pump, and reads
//! at most [`RATE`] batches and [`BYTES`] a second.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::frame::Edge;
use super::{
    format::Kind,
    history::{History, Source},
    ring::{About, Entry},
};

/// Maximum number of batches a second for all followers together.
const RATE: u32 = 200;
/// Maximum number of bytes a second for all followers, all of it for a single one. This bounds the cost of
/// following, however fast a worker writes.
const BYTES: u32 = 6 * 1024 * 1024;
/// The minimum interval between two batches of a follower.
const PAUSE: Duration = Duration::from_millis(20);

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
    About,
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
    pub(super) fn takes(&self, source: Source, name: &str) -> bool {
        match source {
            None => self.own != OwnLines::None,
            Some(id) => {
                self.ids.is_empty() && self.names.is_empty()
                    || self.ids.contains(&id)
                    || self.names.iter().any(|wanted| wanted == name)
            }
        }
    }

    pub(super) fn takes_entry(&self, source: Source, entry: &Entry) -> bool {
        self.takes_line(source, entry.kind, entry.about)
    }

    /// Whether a line is included, given that its source is.
    pub(super) fn takes_line(&self, source: Source, kind: Kind, about: About) -> bool {
        let is_wanted_stream = match kind {
            Kind::Out => self.out,
            Kind::Err => self.err,
        };
        is_wanted_stream && (source.is_some() || self.own == OwnLines::All || self.is_about(about))
    }

    fn is_about(&self, about: About) -> bool {
        self.ids.iter().any(|id| about.is_instance(*id)) || self.names.iter().any(|name| about.is_app(name))
    }
}

/// A line, or a piece of a line that is longer than 256 KiB or whose writer paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// PM2's `pm_id` of the instance; `None`: procrun itself.
    pub id: Option<u32>,
    /// The name of the application.
    pub name: &'a str,
    /// The stream it was written to.
    pub kind: Kind,
    /// When it was read, in milliseconds since 1970.
    pub at: i64,
    /// The bytes as they were written, without `\n`; not necessarily UTF-8.
    pub bytes: &'a [u8],
    /// What precedes it in its line.
    pub begin: Edge,
    /// What follows it in its line.
    pub end: Edge,
}

/// Lines in the order in which they were read.
#[derive(Debug, Default)]
pub struct Batch {
    /// The number of lines before these that were dropped before the follower read them.
    pub missed: u64,
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    id: Source,
    name: Arc<str>,
    kind: Kind,
    at: i64,
    begin: Edge,
    end: Edge,
    /// End of its bytes, after the `\n` of its last line.
    stop: usize,
}

impl Batch {
    pub(super) fn new(missed: u64) -> Self {
        Self { missed, bytes: Vec::new(), parts: Vec::new() }
    }

    pub(super) fn push(&mut self, id: Source, name: &Arc<str>, entry: &Entry, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let Entry { kind, at, begin, end, .. } = *entry;
        let stop = self.bytes.len();
        self.parts.push(Part { id, name: name.clone(), kind, at, begin, end, stop });
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.missed == 0
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut from = 0;
        self.parts.iter().flat_map(move |part| {
            let bytes = &self.bytes[from..part.stop];
            from = part.stop;
            let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
            let Part { id, kind, at, begin, end, .. } = *part;
            lines.map(move |bytes| Line { id, name: &part.name, kind, at, bytes, begin, end })
        })
    }
}

/// Reads the lines of a [`Filter`]: the existing ones, then new ones, each once. Missed lines are counted.
#[derive(Debug)]
pub struct Follower {
    history: Arc<History>,
    id: u64,
    wake: Arc<Notify>,
    /// The number of the first line that did not exist when the follower began.
    live: u64,
    /// Time and size of the last batch.
    last: Option<(Instant, usize)>,
}

impl Follower {
    pub(super) fn new(history: Arc<History>, filter: Filter, lines: usize) -> Self {
        let (id, wake, live) = history.attach(filter, lines);
        Self { history, id, wake, live, last: None }
    }

    /// The next batch of the existing lines. Never waits; `None`: there are no more.
    pub fn recent(&mut self) -> Option<Batch> {
        self.history.take(self.id, self.live, false)
    }

    /// The next batch of lines; waits until there are any. Cancel-safe.
    pub async fn next(&mut self) -> Batch {
        loop {
            if let Some((last, size)) = self.last {
                sleep_until(last + pause(self.history.viewers(), size)).await;
            }
            if let Some(batch) = self.history.take(self.id, u64::MAX, true) {
                self.last = Some((Instant::now(), batch.size()));
                return batch;
            }
            self.wake.notified().await;
        }
    }
}

/// The pause of one of `followers` after a batch of `size` bytes.
fn pause(followers: usize, size: usize) -> Duration {
    let followers = u32::try_from(followers).unwrap_or(u32::MAX);
    let all = |each: Duration| each.saturating_mul(followers);
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    PAUSE.max(all(Duration::from_secs(1) / RATE)).max(all(Duration::from_secs(size.into()) / BYTES))
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.history.detach(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_followers_together_have_a_bound() {
        for followers in [1_u32, 2, 20, 64, 1000] {
            for size in [1_u32, 1000, 128 * 1024, 400 * 1024] {
                let pause = pause(followers.try_into().unwrap(), size.try_into().unwrap());
                let batches = f64::from(followers) / pause.as_secs_f64();
                assert!(batches <= f64::from(RATE) * 1.001, "{followers} followers, {size} bytes: {batches}");
                assert!(
                    batches * f64::from(size) <= 1.1 * f64::from(BYTES),
                    "{followers} followers, {size} bytes"
                );
            }
        }
        assert_eq!(pause(1, 1000), PAUSE, "who reads little hears soon");
    }
}
