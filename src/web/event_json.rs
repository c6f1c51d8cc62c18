//! An event as the API sends it: as the supervisor encodes it, with its level and its message.

use serde_json::{Map, Value};

use crate::{control::EncodedEvent, machine::events::Level, shown::printable_lines};

/// The event with `level`, `text` and `hint`, the sentence that the log has.
pub(super) fn with_text(event: &EncodedEvent) -> String {
    let (Ok(decoded), Ok(mut fields)) =
        (event.decode(), serde_json::from_str::<Map<String, Value>>(event.as_json()))
    else {
        return event.as_json().to_owned();
    };
    let notice = &decoded.notice;
    let level = match notice.level() {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    fields.insert("level".to_owned(), level.into());
    fields.insert("text".to_owned(), printable_lines(&notice.to_string()).into());
    if let Some(hint) = notice.hint() {
        fields.insert("hint".to_owned(), printable_lines(&hint).into());
    }
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::events::{Event, EventData, EventSubject, Notice};

    #[test]
    fn an_event_has_its_level_message_and_hint() {
        let subject = EventSubject { id: Some(3), ..EventSubject::app("api\x1b[2J") };
        let data = EventData::Blocked { obstacle: "db (0) is errored".to_owned() };
        let event = Event { seq: 1, at: 1_769_869_800_000, notice: Notice { subject, data } };
        let sent: Value = serde_json::from_str(&with_text(&EncodedEvent::new(&event))).unwrap();
        assert_eq!(sent["seq"], 1);
        assert_eq!(sent["text"], "api\\u{1b}[2J (3) is not started: db (0) is errored");
        assert_eq!(sent["hint"], "fix the dependency; the app then starts");
        assert_eq!(sent["level"], "error");
    }
}
