//! `/api/v1/events`: one connection to the supervisor for all clients that follow events.
//!
//! It exists while there is a client. A client that reads too slowly gets the number of events that it missed. A
//! client that follows targets has a connection of its own, because only the supervisor resolves them.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hyper::{HeaderMap, StatusCode, body::Bytes};
use serde::Deserialize;
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::AbortHandle,
    time::timeout,
};

use super::{
    answer::Answer,
    event_json::with_text,
    link::{Connector, Link},
    problem::Problem,
    queries::{Queries, refused},
    query::Query,
    sse::{self, COMMENT, KEEP_ALIVE, Messages},
};
use crate::control::{self, EncodedEvent, Request};

/// As many as the supervisor keeps.
const MAX_EVENTS: usize = 1000;
const MAX_BYTES: usize = 1024 * 1024;
const PARAMETERS: [&str; 3] = ["target", "kind", "lines"];

/// The feed, while a client follows it.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<Weak<Feed>>);

#[derive(Debug)]
struct Feed {
    kept: Mutex<Kept>,
    new: broadcast::Sender<Arc<Item>>,
    /// The events of the supervisor are complete, and new ones follow.
    is_live: watch::Sender<bool>,
    reader: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The oldest first.
    items: VecDeque<Arc<Item>>,
    bytes: usize,
}

#[derive(Debug)]
struct Item {
    seq: u64,
    kind: String,
    /// As it is sent.
    json: String,
}

/// The parts of an event by which it is selected.
#[derive(Deserialize)]
struct Head {
    seq: u64,
    kind: String,
}

impl Item {
    fn new(event: &EncodedEvent) -> Option<Self> {
        let Head { seq, kind } = serde_json::from_str(event.as_json()).ok()?;
        Some(Self { seq, kind, json: with_text(event) })
    }
}

/// Which events a client gets.
#[derive(Debug)]
struct Wanted {
    /// Selected by the supervisor; empty: all.
    targets: Vec<String>,
    /// Kinds, or their beginnings with a `*`; empty: all.
    kinds: Vec<String>,
    /// Those after this number.
    after: Option<u64>,
    /// The number of earlier events without `after`.
    lines: usize,
}

impl Wanted {
    fn read(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let query = Query::read(query, &PARAMETERS)?;
        let texts = |name| query.all(name).map(str::to_owned).collect::<Vec<_>>();
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        Ok(Self {
            targets: texts("target"),
            kinds: texts("kind"),
            after: last.and_then(|last| last.trim().parse().ok()),
            lines: query.number("lines", "a number of events")?.unwrap_or(0),
        })
    }

    fn takes(&self, item: &Item) -> bool {
        let is_kind = |kind: &String| match kind.strip_suffix('*') {
            Some(beginning) => item.kind.starts_with(beginning),
            None => item.kind == *kind,
        };
        self.kinds.is_empty() || self.kinds.iter().any(is_kind)
    }

    /// The events that a client gets at once, and the number that were lost before them. `first` and `last` are the
    /// numbers of all events that are kept, of which `kept` are selected.
    fn earlier<'a>(
        &self,
        (first, last): (u64, u64),
        kept: impl DoubleEndedIterator<Item = &'a Arc<Item>>,
    ) -> (u64, Vec<Arc<Item>>) {
        let items: Vec<&Arc<Item>> = kept.collect();
        let Some(after) = self.after else {
            let latest = items.into_iter().rev().filter(|item| self.takes(item)).take(self.lines);
            let mut latest: Vec<Arc<Item>> = latest.cloned().collect();
            latest.reverse();
            return (0, latest);
        };
        // A number that the supervisor has not reached is that of an earlier supervisor.
        let after = if after > last { 0 } else { after };
        let missed = first.saturating_sub(after + 1);
        let found = items.into_iter().filter(|item| item.seq > after && self.takes(item));
        (missed, found.cloned().collect())
    }
}

impl Events {
    /// Answers a client with the events that it wants.
    pub(super) async fn follow(
        &self,
        connector: &Connector,
        queries: &Queries,
        query: Option<&str>,
        headers: &HeaderMap,
        place: impl Send + 'static,
    ) -> Result<Answer, Problem> {
        let wanted = Wanted::read(query, headers)?;
        let feed = self.feed(connector);
        let mut is_live = feed.is_live.subscribe();
        if timeout(KEEP_ALIVE, is_live.wait_for(|is_live| *is_live)).await.is_err() {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the supervisor sends no events"));
        }
        if !wanted.targets.is_empty() {
            return follow_targets(&feed, wanted, queries, place).await;
        }
        let (new, messages) = {
            let kept = lock(&feed.kept);
            let messages = first_messages(wanted.earlier(kept.range(), kept.items.iter()));
            (feed.new.subscribe(), messages)
        };
        let (sender, answer) = sse::stream();
        tokio::spawn(async move {
            let _place = place;
            if sender.send(messages.into_bytes()).await.is_ok() {
                // The feed stays as long as its clients.
                tokio::select! {
                    () = pass_on(&wanted, new, &sender) => {}
                    _ = is_live.wait_for(|is_live| !*is_live) => {}
                }
            }
            drop(feed);
        });
        Ok(answer)
    }

    /// The feed; a new one if no client follows.
    fn feed(&self, connector: &Connector) -> Arc<Feed> {
        let mut current = lock(&self.0);
        if let Some(feed) = current.upgrade().filter(|feed| !feed.has_ended()) {
            return feed;
        }
        let (new, _) = broadcast::channel(MAX_EVENTS);
        let feed = Arc::new(Feed {
            kept: Mutex::default(),
            new,
            is_live: watch::Sender::new(false),
            reader: Mutex::default(),
        });
        let reader = tokio::spawn(read(connector.clone(), Arc::downgrade(&feed)));
        *lock(&feed.reader) = Some(reader.abort_handle());
        *current = Arc::downgrade(&feed);
        feed
    }
}

impl Kept {
    /// The numbers of the first and the last event.
    fn range(&self) -> (u64, u64) {
        let seq = |item: Option<&Arc<Item>>| item.map_or(0, |item| item.seq);
        (seq(self.items.front()), seq(self.items.back()))
    }
}

/// What a client gets at once.
fn first_messages((missed, earlier): (u64, Vec<Arc<Item>>)) -> Messages {
    let mut messages = Messages::default();
    if missed > 0 {
        add_missed(&mut messages, missed);
    }
    for item in earlier {
        messages.add(Some(item.seq), None, &item.json);
    }
    messages.add(None, Some("live"), "{}");
    messages
}

/// Answers a client with the events of its targets. An unknown target is a problem.
async fn follow_targets(
    feed: &Feed,
    wanted: Wanted,
    queries: &Queries,
    place: impl Send + 'static,
) -> Result<Answer, Problem> {
    let targets = wanted.targets.clone();
    let request = Request::Events { targets, since: None, lines: u32::MAX, stream: true };
    let first = async |link: &mut Link| -> io::Result<_> {
        let mut items = Vec::new();
        loop {
            match link.answer().await? {
                control::Answer::Events { events, .. } => {
                    items.extend(events.iter().filter_map(Item::new).map(Arc::new));
                }
                end => return Ok((items, end)),
            }
        }
    };
    let (link, (items, end)) = queries.open(&request, first).await?;
    if let control::Answer::Failed(error) = end {
        return Err(refused(error).of_target());
    }
    let range = lock(&feed.kept).range();
    let messages = first_messages(wanted.earlier(range, items.iter()));
    let (sender, answer) = sse::stream();
    tokio::spawn(async move {
        let _place = place;
        if sender.send(messages.into_bytes()).await.is_ok() {
            pass_on_targets(&wanted, link, &sender).await;
        }
    });
    Ok(answer)
}

/// Sends a client the new events of its targets until it or the supervisor is gone.
async fn pass_on_targets(wanted: &Wanted, mut link: Link, sender: &mpsc::Sender<Bytes>) {
    loop {
        let Some(answer) = sse::next(link.answer(), sender).await else { return };
        let Ok(control::Answer::Events { missed, events }) = answer else { return };
        let mut messages = Messages::default();
        if missed > 0 {
            add_missed(&mut messages, missed);
        }
        for item in events.iter().filter_map(Item::new).filter(|item| wanted.takes(item)) {
            messages.add(Some(item.seq), None, &item.json);
        }
        if !messages.is_empty() && sender.send(messages.into_bytes()).await.is_err() {
            return;
        }
    }
}

impl Feed {
    fn has_ended(&self) -> bool {
        lock(&self.reader).as_ref().is_some_and(AbortHandle::is_finished)
    }

    fn add(&self, event: &EncodedEvent) {
        let Some(item) = Item::new(event).map(Arc::new) else { return };
        let mut kept = lock(&self.kept);
        kept.bytes += item.json.len();
        kept.items.push_back(item.clone());
        while kept.items.len() > MAX_EVENTS || kept.bytes > MAX_BYTES {
            let Some(oldest) = kept.items.pop_front() else { break };
            kept.bytes -= oldest.json.len();
        }
        // Without a client there is no receiver.
        let _ = self.new.send(item);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(reader) = lock(&self.reader).take() {
            reader.abort();
        }
    }
}

/// Reads the events of the supervisor until it ends or no client follows.
async fn read(connector: Connector, feed: Weak<Feed>) {
    let request = Request::Events { targets: Vec::new(), since: None, lines: u32::MAX, stream: true };
    if let Ok(mut link) = connector.ask(&request).await {
        while let Ok(answer) = link.answer().await {
            let Some(feed) = feed.upgrade() else { return };
            match answer {
                control::Answer::Events { events, .. } => {
                    for event in &events {
                        feed.add(event);
                    }
                }
                control::Answer::Live => {
                    feed.is_live.send_replace(true);
                }
                _ => break,
            }
        }
    }
    // Its clients connect again.
    if let Some(feed) = feed.upgrade() {
        feed.is_live.send_replace(false);
    }
}

/// Sends a client new events until it is gone.
async fn pass_on(wanted: &Wanted, mut new: broadcast::Receiver<Arc<Item>>, sender: &mpsc::Sender<Bytes>) {
    loop {
        let received = tokio::select! {
            received = timeout(KEEP_ALIVE, new.recv()) => received,
            () = sender.closed() => return,
        };
        let mut messages = Messages::default();
        match received {
            Err(_) => {
                if sender.send(COMMENT).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(Ok(item)) if wanted.takes(&item) => messages.add(Some(item.seq), None, &item.json),
            Ok(Ok(_)) => continue,
            Ok(Err(broadcast::error::RecvError::Lagged(missed))) => add_missed(&mut messages, missed),
            Ok(Err(broadcast::error::RecvError::Closed)) => return,
        }
        if sender.send(messages.into_bytes()).await.is_err() {
            return;
        }
    }
}

fn add_missed(messages: &mut Messages, missed: u64) {
    messages.add(None, Some("missed"), &format!("{{\"missed\":{missed}}}"));
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under the lock leaves it half changed.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(seq: u64, app: &str, kind: &str) -> Arc<Item> {
        let json = format!(
            r#"{{"seq":{seq},"at":"2026-01-31T14:30:00.000Z","subject":{{"app":"{app}","id":{seq}}},"kind":"{kind}","data":{{}}}}"#
        );
        Arc::new(Item::new(&serde_json::from_str(&json).unwrap()).unwrap())
    }

    fn wanted(query: &str, last: Option<&'static str>) -> Wanted {
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", hyper::header::HeaderValue::from_static(last));
        }
        Wanted::read(Some(query), &headers).unwrap()
    }

    fn seqs(of: &Wanted, items: &[Arc<Item>]) -> (u64, Vec<u64>) {
        let range = items.first().zip(items.last()).map_or((0, 0), |(first, last)| (first.seq, last.seq));
        let (missed, found) = of.earlier(range, items.iter());
        (missed, found.iter().map(|item| item.seq).collect())
    }

    #[test]
    fn a_client_resumes_after_its_last_event() {
        let items: Vec<_> = (5..=9).map(|seq| item(seq, "api", "instance.online")).collect();
        assert_eq!(seqs(&wanted("", Some("7")), &items), (0, vec![8, 9]));
        assert_eq!(seqs(&wanted("", Some("9")), &items), (0, vec![]));
        assert_eq!(seqs(&wanted("", Some("2")), &items), (2, vec![5, 6, 7, 8, 9]));
        // Of an earlier supervisor, which had more events.
        assert_eq!(seqs(&wanted("", Some("5000")), &items), (4, vec![5, 6, 7, 8, 9]));
        assert_eq!(seqs(&wanted("", None), &items), (0, vec![]));
        assert_eq!(seqs(&wanted("lines=2", None), &items), (0, vec![8, 9]));
    }

    #[test]
    fn events_are_selected_by_kind() {
        let items = [
            item(1, "api", "instance.online"),
            item(2, "web", "reload.started"),
            item(3, "api", "reload.aborted"),
        ];
        for (query, expected) in [
            ("lines=9", &[1, 2, 3][..]),
            ("lines=9&kind=reload.*", &[2, 3]),
            ("lines=9&kind=instance.online&kind=reload.started", &[1, 2]),
            ("lines=1&kind=reload.*", &[3]),
        ] {
            assert_eq!(seqs(&wanted(query, None), &items).1, expected, "{query}");
        }
        // The supervisor has selected the third of the events that it keeps.
        let (missed, found) = wanted("", Some("1")).earlier((1, 3), items[2..].iter());
        assert_eq!((missed, found.len()), (0, 1), "events of other targets are not missed");
    }
}
