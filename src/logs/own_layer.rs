//! procrun's own tracing events as own lines of the log.
//!
//! An event is split into its parts where it occurs and put into the mailbox; the pump formats it. This never
//! blocks and never writes.

use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Layer};

use super::{
    handle::Logs,
    own_line::{OwnLine, level_filter},
};
use crate::spec::Verbosity;

/// Turns procrun's own tracing events, up to the level `max`, into its own lines.
pub fn layer<S: Subscriber>(logs: Logs, max: Verbosity) -> impl Layer<S> {
    OwnLayer { logs, max: level_filter(max) }
}

#[derive(Debug)]
struct OwnLayer {
    logs: Logs,
    max: LevelFilter,
}

impl<S: Subscriber> Layer<S> for OwnLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.max
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.max)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = OwnLine::new(*event.metadata().level(), String::new());
        event.record(&mut line);
        self.logs.push_own(line);
    }
}
