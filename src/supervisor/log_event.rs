//! The line of procrun's own log for an event.
//!
//! The message is complete by itself; the fields (`app`, `id`, `reason`, `event`) are for programs.

use std::fmt::{self, Display, Formatter};

use tracing::{debug, error, info, warn};

use crate::machine::events::{Level, Notice};

/// Writes an event to procrun's own log.
pub(super) fn log_event(notice: &Notice) {
    let (app, id) = (notice.subject.app.as_deref(), notice.subject.id);
    let (pid, reason, code, event) = (notice.pid(), notice.reason(), notice.code(), notice.data.kind());
    macro_rules! line {
        ($level:ident) => {
            $level!(app, id, pid, reason, code, event, "{notice}{}", Hint(notice))
        };
    }
    match notice.level() {
        Level::Debug => line!(debug),
        Level::Info => line!(info),
        Level::Warn => line!(warn),
        Level::Error => line!(error),
    }
}

/// The hint of an event, on a line of its own.
struct Hint<'a>(&'a Notice);

impl Display for Hint<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.hint().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}
