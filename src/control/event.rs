//! An event for the control socket: encoded once, then kept, sent and printed.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::framing::decode;
use crate::machine::events::Event;

/// An event as JSON, in one line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncodedEvent(Box<RawValue>);

impl EncodedEvent {
    /// Encodes an event.
    ///
    /// # Panics
    /// Never: an event has no map whose keys are not strings.
    pub fn new(event: &Event) -> Self {
        Self(to_raw_value(event).expect("an event is made of strings, numbers and lists"))
    }

    /// The JSON.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Decodes the event.
    ///
    /// # Errors
    ///
    /// This version does not know the event.
    pub fn decode(&self) -> Result<Event, String> {
        decode(self.as_json().as_bytes())
    }
}

impl PartialEq for EncodedEvent {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}
