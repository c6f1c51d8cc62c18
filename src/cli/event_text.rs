//! Events of the supervisor as commands print them.

use std::fmt::Write as _;

use super::failure::Failure;
use crate::{
    control::EncodedEvent,
    machine::events::{Event, Notice},
    shown::printable_lines,
};

/// The message of an event with its hint, as it may be shown.
pub(super) fn message(notice: &Notice) -> String {
    let mut text = notice.to_string();
    if let Some(hint) = notice.hint() {
        write!(text, "\n  hint: {hint}").expect("writing to a String cannot fail");
    }
    printable_lines(&text)
}

/// The event of an answer. Both sides have the same version, so each knows the other's kinds.
pub(super) fn decoded(event: &EncodedEvent) -> Result<Event, Failure> {
    event
        .decode()
        .map_err(|error| Failure::not_done(format!("the supervisor sent an unknown event: {error}")))
}
