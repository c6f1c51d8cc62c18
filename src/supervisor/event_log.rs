//! The last events, and the clients that follow them.
//!
//! An event is kept as the JSON that clients get. The log is bounded in events and in bytes; a client that reads
//! too slowly gets the number of events that it missed. Nothing here waits for a client.
//!
//! A follower reads by sequence number. Today all followers are clients of the control socket.

use std::{collections::VecDeque, mem};

use crate::{
    control::{Answer, ClientId, EncodedEvent, Server},
    machine::events::{Event, EventSubject, Notice},
};

/// Maximum number of events that are kept.
const MAX_EVENTS: usize = 1000;
/// Maximum bytes of the events that are kept.
const MAX_BYTES: usize = 1024 * 1024;
/// An answer to a follower ends with the event that exceeds this number of bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// The last events.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    /// The oldest first. Their numbers have no gap.
    kept: VecDeque<KeptEvent>,
    bytes: usize,
    /// The number of the last event.
    last: u64,
}

#[derive(Debug)]
struct KeptEvent {
    at: i64,
    app: Option<Box<str>>,
    id: Option<u32>,
    event: EncodedEvent,
}

impl KeptEvent {
    /// How many bytes it holds.
    fn cost(&self) -> usize {
        let app = self.app.as_ref().map_or(0, |app| app.len());
        size_of::<Self>() + app + self.event.as_json().len()
    }
}

/// Selects events. With both lists empty: all.
#[derive(Debug, Clone, Default)]
pub(super) struct EventFilter {
    /// Instances by `pm_id`.
    pub(super) ids: Vec<u32>,
    /// Applications by name, with all their instances.
    pub(super) apps: Vec<String>,
}

impl EventFilter {
    fn takes(&self, kept: &KeptEvent) -> bool {
        let is_app = |name: &str| self.apps.iter().any(|app| app == name);
        self.ids.is_empty() && self.apps.is_empty()
            || kept.id.is_some_and(|id| self.ids.contains(&id))
            || kept.app.as_deref().is_some_and(is_app)
    }
}

/// The part of the kept events that a client gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent {
    /// Only those from this time on, in milliseconds since 1970.
    pub(super) since: Option<i64>,
    /// At most this number of the latest events.
    pub(super) lines: usize,
}

impl EventLog {
    /// Numbers an event and keeps it.
    pub(super) fn keep(&mut self, notice: Notice, at: i64) -> EncodedEvent {
        self.last += 1;
        let event = Event { seq: self.last, at, notice };
        let encoded = EncodedEvent::new(&event);
        let EventSubject { app, id, .. } = event.notice.subject;
        let kept = KeptEvent { at, app: app.map(String::into_boxed_str), id, event: encoded.clone() };
        self.bytes += kept.cost();
        self.kept.push_back(kept);
        while self.kept.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.cost();
        }
        encoded
    }

    /// Whether an event of an application of this name is kept.
    pub(super) fn knows_app(&self, name: &str) -> bool {
        self.kept.iter().any(|kept| kept.app.as_deref() == Some(name))
    }

    /// The number of the first event that is kept.
    fn first(&self) -> u64 {
        self.last + 1 - self.kept.len() as u64
    }

    /// The number of the first event of these.
    fn begin(&self, filter: &EventFilter, recent: Recent) -> u64 {
        let mut begin = self.last + 1;
        let mut left = recent.lines;
        for (seq, kept) in (0..).map(|back| self.last - back).zip(self.kept.iter().rev()) {
            if left == 0 || recent.since.is_some_and(|since| kept.at < since) {
                break;
            }
            left -= usize::from(filter.takes(kept));
            begin = seq;
        }
        begin
    }

    /// The next events from this number on that a filter takes; `None` if there are no more events.
    fn batch(&self, from: u64, filter: &EventFilter) -> Option<Batch> {
        if from > self.last {
            return None;
        }
        let first = self.first();
        let mut batch =
            Batch { missed: first.saturating_sub(from), events: Vec::new(), next: from.max(first) };
        let skipped = usize::try_from(batch.next - first).unwrap_or(usize::MAX);
        let mut bytes = 0;
        for kept in self.kept.iter().skip(skipped) {
            if bytes > BATCH_BYTES {
                break;
            }
            batch.next += 1;
            if filter.takes(kept) {
                bytes += kept.event.as_json().len();
                batch.events.push(kept.event.clone());
            }
        }
        Some(batch)
    }
}

struct Batch {
    missed: u64,
    events: Vec<EncodedEvent>,
    next: u64,
}

/// The clients that follow events.
#[derive(Debug, Default)]
pub(super) struct EventFollowers(Vec<EventFollower>);

#[derive(Debug)]
struct EventFollower {
    client: ClientId,
    filter: EventFilter,
    /// The number of the next event that it has not got.
    next: u64,
    /// The client gets new events, too.
    stream: bool,
    /// The client has got all recent events.
    is_live: bool,
}

impl EventFollowers {
    /// Lets a client follow.
    pub(super) fn add(
        &mut self,
        client: ClientId,
        filter: EventFilter,
        recent: Recent,
        stream: bool,
        log: &EventLog,
    ) {
        let next = log.begin(&filter, recent);
        self.0.push(EventFollower { client, filter, next, stream, is_live: false });
    }

    /// Forgets disconnected clients and sends the next events to clients that have read the last ones.
    pub(super) fn send(&mut self, log: &EventLog, server: &mut Server) {
        self.0.retain_mut(|one| {
            while server.is_drained(one.client) {
                let answer = if let Some(Batch { missed, events, next }) = log.batch(one.next, &one.filter) {
                    one.next = next;
                    if missed == 0 && events.is_empty() {
                        continue;
                    }
                    Answer::Events { missed, events }
                } else if mem::replace(&mut one.is_live, true) {
                    break;
                } else if one.stream {
                    Answer::Live
                } else {
                    server.answer(one.client, &Answer::Done { ids: Vec::new() });
                    return false;
                };
                server.answer(one.client, &answer);
            }
            server.has(one.client)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::events::EventData;

    fn notice(app: &str, output: &str) -> Notice {
        Notice::of_app(app, EventData::ReadinessLost { output: output.to_owned() })
    }

    fn all(log: &EventLog, filter: &EventFilter, recent: Recent) -> Vec<u64> {
        let mut next = log.begin(filter, recent);
        let mut seqs = Vec::new();
        while let Some(batch) = log.batch(next, filter) {
            assert_eq!(batch.missed, 0);
            seqs.extend(batch.events.iter().map(|event| event.decode().unwrap().seq));
            next = batch.next;
        }
        seqs
    }

    const EVERY: Recent = Recent { since: None, lines: usize::MAX };

    #[test]
    fn the_log_is_bounded_in_events_and_in_bytes() {
        let mut log = EventLog::default();
        for number in 0..MAX_EVENTS + 10 {
            log.keep(notice("api", ""), i64::try_from(number).unwrap());
        }
        assert_eq!((log.kept.len(), log.first(), log.last), (MAX_EVENTS, 11, 1010));
        let text = "x".repeat(MAX_BYTES / 10);
        for _ in 0..20 {
            log.keep(notice("api", &text), 0);
            assert!(log.bytes <= MAX_BYTES);
            assert_eq!(log.bytes, log.kept.iter().map(KeptEvent::cost).sum::<usize>());
        }
        assert!(log.kept.len() < 10);
        log.keep(notice("api", &"x".repeat(MAX_BYTES)), 0);
        assert!(log.kept.is_empty() && log.bytes == 0, "what is larger than all is not kept");
        assert!(log.batch(1, &EventFilter::default()).is_some_and(|batch| batch.missed == log.last));
    }

    #[test]
    fn a_follower_gets_the_last_of_what_it_asks_for_in_order() {
        let mut log = EventLog::default();
        for number in 0..10 {
            log.keep(notice(if number % 2 == 0 { "even" } else { "odd" }, "no"), number * 100);
        }
        let odd = EventFilter { apps: vec!["odd".to_owned()], ..EventFilter::default() };
        let of = |filter: &EventFilter, recent| all(&log, filter, recent);
        assert_eq!(of(&odd, EVERY), [2, 4, 6, 8, 10]);
        assert_eq!(of(&odd, Recent { lines: 2, ..EVERY }), [8, 10]);
        assert_eq!(of(&odd, Recent { since: Some(500), ..EVERY }), [6, 8, 10]);
        assert_eq!(of(&odd, Recent { since: Some(500), lines: 1 }), [10]);
        assert_eq!(of(&EventFilter::default(), Recent { lines: 0, ..EVERY }), [0; 0]);
        assert_eq!(of(&EventFilter::default(), EVERY).len(), 10);
        assert!(log.knows_app("odd") && !log.knows_app("gone"));
    }

    #[test]
    fn a_slow_follower_gets_the_number_of_missed_events() {
        let mut log = EventLog::default();
        for _ in 0..MAX_EVENTS + 25 {
            log.keep(notice("api", ""), 0);
        }
        let batch = log.batch(6, &EventFilter::default()).unwrap();
        assert_eq!((batch.missed, batch.events[0].decode().unwrap().seq), (20, 26));
        assert!(log.batch(log.last + 1, &EventFilter::default()).is_none());
    }
}
