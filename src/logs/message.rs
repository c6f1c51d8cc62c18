//! The messages of the supervisor to the log pump.

use std::os::fd::OwnedFd;

use tokio::sync::oneshot;

use super::{
    instance::{Label, Sinks},
    own_line::OwnLine,
};

#[derive(Debug)]
pub(super) enum Message {
    /// An instance is about to be added.
    Expect(Box<Label>),
    Add(Box<Addition>),
    RunEnded(u32),
    /// Requests the last stderr lines of the latest ended runs of these instances.
    LastLines(Vec<u32>, oneshot::Sender<Vec<String>>),
    Remove(u32),
    Own(OwnLine),
    /// This number of own lines was dropped.
    Dropped(u64),
    /// The output of this number of ended processes was dropped.
    Unread(u64),
    Finish(oneshot::Sender<()>),
    /// Empties the log files of these instances and drops their recent lines; the answer lists failures.
    Flush(Vec<u32>, oneshot::Sender<Vec<String>>),
    /// As `Finish`, and closes the files.
    Shut(oneshot::Sender<()>),
    /// All handles were dropped: no further message can arrive.
    Close,
}

/// An instance to read.
#[derive(Debug)]
pub(super) struct Addition {
    pub(super) label: Label,
    pub(super) sinks: Sinks,
    pub(super) out: OwnedFd,
    pub(super) err: OwnedFd,
}
