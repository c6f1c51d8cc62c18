//! The output of workers: pipes → framed lines → prefix, raw, JSON or key=value → stdout, stderr and files.
//!
//! One thread, the log pump, does all of it. The supervisor uses it through a [`Logs`] handle that never blocks.
//! procrun's own lines go the same way, so a blocked stderr does not stop the supervisor. They reach stderr even
//! while stdout is blocked.
//!
//! | file | contents |
//! |---|---|
//! | `handle` | [`Logs`], by which other modules use the pump |
//! | `instance`, `file_spec`, `stream_kind` | the label, the files and the two streams of an instance |
//! | `mailbox`, `message` | the queue from the supervisor to the pump |
//! | `frame` | bytes → lines, or parts of long lines |
//! | `pump`, `input` | the thread: epoll, reading, the order of exits and lines |
//! | `wakeup_coalescer` | collects lines that arrive one by one |
//! | `partial_lines` | when an incomplete line is shown |
//! | `writer` | the one place that every finished line passes |
//! | `format`, `json`, `stamp`, `dayjs`, `put` | the form of a line |
//! | `console`, `output`, `write` | stdout and stderr, with back-pressure |
//! | `files`, `file`, `rotate` | log files |
//! | `offload` | the thread for log files, because a file system may not answer |
//! | `line_group`, `block`, `ring`, `history` | the recent lines |
//! | `follow`, `filter`, `batch` | the followers of the recent lines |
//! | `view` | the form of lines for a follower |
//! | `own_line`, `own_layer`, `own_log_writer` | procrun's own lines, and how they pass a blocked stdout |
//!
//! It never examines a process and makes no decision about one.

mod batch;
mod block;
mod console;
mod dayjs;
mod file;
mod file_spec;
mod files;
mod filter;
mod follow;
mod format;
pub mod frame;
mod handle;
mod history;
mod input;
mod instance;
mod json;
mod line_group;
mod mailbox;
mod message;
mod offload;
mod output;
mod own_layer;
mod own_line;
mod own_log_writer;
mod partial_lines;
mod pump;
mod put;
mod ring;
mod rotate;
mod stamp;
mod stream_kind;
mod view;
mod wakeup_coalescer;
mod write;
mod writer;

pub use self::{
    batch::{Batch, Line},
    file_spec::FileSpec,
    filter::{Filter, OwnLines},
    follow::Follower,
    handle::{Hold, Logs, write_past_the_pump},
    instance::{Label, Sinks},
    own_layer::layer,
    stamp::now as wall_clock,
    stream_kind::StreamKind,
    view::View,
};
