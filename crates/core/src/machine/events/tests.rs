//! Events: their kinds, their JSON and their messages.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    machine::{
        CommandKind, Ending, ExitReason, FailureKind, FollowUp, Generation, HealthFailure, ListenFailure,
        MemoryAction, MemoryExcess, ProbeKind, ReadinessFailure, ReadinessSource, ReloadAbortReason,
        SpawnFailure, StopKind, StopMethod,
    },
    spec::Signal,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn instance() -> EventSubject {
    EventSubject { id: Some(3), ..EventSubject::app("api") }
}

fn exited(ending: Ending, cause: Option<ExitReason>, next: FollowUp) -> EventData {
    let reason = crate::machine::reason(&ending, cause.as_ref()).into();
    EventData::Exited { reason, ending, cause, uptime: MS(1200), next }
}

fn aborted(failure: ReadinessFailure) -> EventData {
    let instance = EventSubject { generation: Generation::Successor, ..instance() };
    let reason = ReloadAbortReason::NotReady { instance, failure };
    EventData::ReloadAborted { reason, replaced: 1, total: 4, rolling: true }
}

/// Events of every kind, with each form of their data.
#[expect(clippy::too_many_lines, reason = "a list: samples of each kind")]
fn samples() -> Vec<EventData> {
    let signaled = Ending::Signaled { signal: Signal::KILL, core_dumped: true };
    let path = || "src/app.js".to_owned();
    let output = || "connection refused".to_owned();
    let failure = |kind| SpawnFailure { code: 127, message: "no such file".to_owned(), kind };
    let listen = ListenFailure { address: "port 80".to_owned(), error: "in use".to_owned(), is_in_use: true };
    vec![
        EventData::Online { pid: 7 },
        EventData::Launching { pid: 7 },
        EventData::Ready { source: ReadinessSource::Listening, awaited: false, after: MS(120) },
        EventData::Ready { source: ReadinessSource::Message, awaited: true, after: MS(120) },
        EventData::Waiting { dependency: "db (ready)".to_owned(), waited: None },
        EventData::Waiting { dependency: "db (ready)".to_owned(), waited: Some(MS(3000)) },
        EventData::Blocked { obstacle: "db (0) is errored".to_owned() },
        EventData::Healthy { probe: ProbeKind::Readiness, after: MS(500) },
        EventData::ProbeFailed { probe: ProbeKind::Liveness, failures: 1, retries: 3, output: output() },
        EventData::ReadinessLost { output: output() },
        EventData::Unhealthy { failure: HealthFailure::Probe { failures: 3, output: output() } },
        EventData::Unhealthy { failure: HealthFailure::HeartbeatMissing(MS(5000)) },
        EventData::Unhealthy { failure: HealthFailure::NoHeartbeat(MS(5000)) },
        EventData::Unhealthy { failure: HealthFailure::Fault },
        EventData::WithoutListener { address: "port 3000".to_owned() },
        EventData::NotReady {
            failure: ReadinessFailure::TimedOut { source: ReadinessSource::Message, waited: MS(3000) },
        },
        EventData::Draining { stop: StopKind::Replaced, timeout: MS(10_000) },
        EventData::Stopping { stop: StopKind::Stopped, request: StopMethod::Signal(Signal::INT) },
        EventData::Stopping {
            stop: StopKind::Memory(MemoryExcess::ContainerShort { size: 1, used: 2, limit: 3 }),
            request: StopMethod::Message(Signal::INT),
        },
        exited(Ending::Exited(3), None, FollowUp::Restart(MS(1500))),
        exited(signaled, Some(ExitReason::Command(CommandKind::Restart)), FollowUp::Leftovers),
        exited(
            Ending::OutOfMemory { exited: None, limit: Some(1 << 20) },
            Some(ExitReason::Memory(MemoryExcess::OverLimit { used: 2, limit: 1 })),
            FollowUp::Errored { unstable_runs: 16 },
        ),
        exited(Ending::OutOfMemory { exited: Some(137), limit: None }, None, FollowUp::Final),
        exited(
            Ending::SpawnFailed(failure(FailureKind::Permanent)),
            None,
            FollowUp::Errored { unstable_runs: 1 },
        ),
        exited(Ending::Exited(1), Some(ExitReason::CannotListen(listen.clone())), FollowUp::Final),
        exited(Ending::Exited(1), Some(ExitReason::UnhandledRejection), FollowUp::Stopped),
        exited(Ending::Exited(1), Some(ExitReason::Unhealthy(HealthFailure::Fault)), FollowUp::Stopped),
        exited(Ending::Exited(1), Some(ExitReason::FilesChanged(path())), FollowUp::Stopped),
        exited(Ending::Exited(1), Some(ExitReason::Schedule), FollowUp::Stopped),
        exited(Ending::Exited(1), Some(ExitReason::Configuration), FollowUp::Stopped),
        exited(Ending::Exited(1), Some(ExitReason::ReloadAborted), FollowUp::Stopped),
        EventData::Leftovers {},
        EventData::Killing { waited: MS(1600) },
        EventData::Unkillable {},
        EventData::SignalsLost { signals: vec![Signal::USR1, Signal::USR2] },
        EventData::RerunPending {},
        EventData::Skipped { state: TaskState::Completed },
        EventData::EndedContainer { code: 3 },
        EventData::ListenFailed { failure: listen.clone() },
        EventData::PortShared { address: "port 80".to_owned(), other: "web".to_owned() },
        EventData::SocketRefused {},
        EventData::ProtocolViolated { violation: "sent a message that Node does not have".to_owned() },
        EventData::ChannelClosed { reason: "does not read its IPC channel".to_owned() },
        EventData::ChannelMissing { signal: Signal::TERM },
        EventData::PidFileFailed { path: "/run/api.pid".to_owned(), error: "is a directory".to_owned() },
        EventData::ReloadStarted { total: 4, rolling: true },
        EventData::ReloadCompleted { total: 4, took: MS(900) },
        aborted(ReadinessFailure::Ended { ending: Ending::Exited(7), uptime: MS(30) }),
        aborted(ReadinessFailure::ProbeFailed { waited: MS(3000), output: output() }),
        aborted(ReadinessFailure::Unhealthy(HealthFailure::Fault)),
        aborted(ReadinessFailure::PredecessorAlive),
        aborted(ReadinessFailure::WaitsForDependencies),
        EventData::ReloadAborted {
            reason: ReloadAbortReason::MemoryShort,
            replaced: 0,
            total: 4,
            rolling: true,
        },
        EventData::ReloadQueued { job: "another reload".into() },
        EventData::ReloadUnderWay {},
        EventData::SocketOpened { address: "tcp://0.0.0.0:80".to_owned() },
        EventData::AcceptFailed { error: "too many open files".to_owned() },
        EventData::ScheduleDue { schedule: "0 3 * * *".to_owned() },
        EventData::FilesChanged { path: path(), rolling: true },
        EventData::ChangesThrottled { path: path(), times: 4, wait: MS(1500) },
        EventData::PathMissing { path: path(), error: "no such file".to_owned() },
        EventData::WatchPolling { reason: "/srv is on NFS".to_owned(), interval: MS(1000) },
        EventData::MemoryExceeded { used: 300 << 20, limit: 200 << 20, action: MemoryAction::Replace },
        EventData::MemoryExceeded {
            used: 300 << 20,
            limit: 200 << 20,
            action: MemoryAction::Postpone { times: 4, wait: MS(1500) },
        },
        EventData::OomGuardStop {
            size: 300 << 20,
            used: 490 << 20,
            limit: 512 << 20,
            instances: 400 << 20,
            times: 1,
            wait: MS(0),
        },
        EventData::MemoryElsewhere { used: 490 << 20, limit: 512 << 20, instances: 1 << 20 },
        EventData::CommandReceived { command: "restart api".to_owned() },
        EventData::AppChanged { change: ConfigChange::Changed, keys: vec!["args".into(), "env".into()] },
        EventData::AppKept { reason: "reading app.js timed out".to_owned() },
        EventData::ConfigApplied { changes: 2 },
        EventData::ConfigRejected { problems: vec!["app `api`: no such file".to_owned()] },
        EventData::ConfigWarning { message: "ecosystem.toml: `pmx` has no effect".to_owned() },
        EventData::RestartRequired {},
        EventData::ClockSet { by: -7_200_000 },
        EventData::ZoneFound { app: "api".to_owned() },
        EventData::StartDelayed { delay: MS(300) },
        EventData::WebListening { url: "http://127.0.0.1:9615/".to_owned() },
        EventData::Outage {
            part: RuntimePart::Signals,
            error: "no memory".to_owned(),
            retry: Some(MS(1000)),
        },
        EventData::Outage { part: RuntimePart::DrainScript, error: "read-only".to_owned(), retry: None },
        EventData::Recovered { part: RuntimePart::Signals },
        EventData::SignalReceived { signal: Signal::TERM, sender_pid: None, action: SignalUse::Stop },
        EventData::SignalReceived {
            signal: Signal::HUP,
            sender_pid: Some(12),
            action: SignalUse::ReadConfig("ecosystem.toml".to_owned()),
        },
        EventData::Closing { delay: MS(1000) },
        EventData::ShuttingDown { processes: 4 },
        EventData::KillingAll {},
        EventData::Exiting { code: 0 },
    ]
}

fn event(data: EventData) -> Event {
    Event { seq: 1, at: 1_769_869_800_000, notice: Notice { subject: instance(), data } }
}

fn words(data: EventData) -> String {
    Notice { subject: instance(), data }.to_string()
}

#[test]
fn every_kind_survives_json() {
    let kinds: BTreeSet<&str> = samples().iter().map(EventData::kind).collect();
    assert_eq!(kinds, EventData::KINDS.iter().copied().collect(), "a sample of every kind");
    for data in samples() {
        let event = event(data);
        let text = serde_json::to_string(&event).unwrap();
        let back: Event = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(back, event, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["kind"], event.notice.data.kind());
        assert!(value["data"].is_object(), "{text}");
    }
}

#[test]
fn an_event_in_json_is_flat_and_names_its_units() {
    let data = exited(Ending::Exited(3), None, FollowUp::Restart(MS(1500)));
    assert_eq!(
        serde_json::to_value(event(data)).unwrap(),
        json!({
            "seq": 1, "at": "2026-01-31T14:30:00.000Z", "subject": {"app": "api", "id": 3},
            "kind": "instance.exited",
            "data": {"reason": "exit", "ending": "exit", "code": 3, "uptime_ms": 1200, "next": "restart",
                     "restart_in_ms": 1500},
        })
    );
    let value = serde_json::to_value(event(aborted(ReadinessFailure::PredecessorAlive))).unwrap();
    assert_eq!(
        value["data"],
        json!({
            "reason": {"not-ready": {"instance": {"app": "api", "id": 3, "generation": "new"}, "failure": "predecessor-alive"}},
            "replaced": 1, "total": 4, "rolling": true,
        })
    );
    let runtime = Notice::of_runtime(EventData::KillingAll {});
    assert_eq!(
        serde_json::to_value(runtime).unwrap(),
        json!({"subject": {}, "kind": "runtime.killing", "data": {}})
    );
}

#[test]
fn each_fact_has_one_wording() {
    let ended = |next| words(exited(Ending::Exited(3), None, next));
    assert_eq!(ended(FollowUp::Restart(MS(1500))), "api (3) exited: code 3, up 1.2 s, restarting in 1.5 s");
    assert_eq!(ended(FollowUp::Restart(MS(0))), "api (3) exited: code 3, up 1.2 s, restarting now");
    assert_eq!(ended(FollowUp::Final), "api (3) exited: code 3, up 1.2 s, not restarting it");
    assert_eq!(
        ended(FollowUp::Errored { unstable_runs: 16 }),
        "api (3) exited: code 3, up 1.2 s, errored: 16 unstable runs in a row"
    );
    assert_eq!(
        words(aborted(ReadinessFailure::Ended { ending: Ending::Exited(7), uptime: MS(30) })),
        "the reload of api (3) is aborted: the new api (3) exited: code 7, up 30 ms; 1 of 4 run the new version, the \
         others keep serving with the old one"
    );
    let failed = |part, retry| EventData::Outage { part, error: "no memory".to_owned(), retry };
    assert_eq!(
        words(failed(RuntimePart::Signals, Some(MS(1000)))),
        "cannot receive signals: no memory; trying again every 1.0 s"
    );
    assert_eq!(
        words(failed(RuntimePart::TerminationMessage, None)),
        "cannot write the termination message: no memory"
    );
    assert_eq!(
        words(EventData::ClockSet { by: -7_200_000 }),
        "the clock was set back by 2 h 0 min: schedules follow the new time"
    );
    let sent = StopMethod::Signal(Signal::TERM);
    assert_eq!(
        words(EventData::Stopping { stop: StopKind::Restarted, request: sent }),
        "api (3): restarting, sending SIGTERM"
    );
}

#[test]
fn no_message_has_an_empty_part_and_a_failure_is_at_least_a_warning() {
    for data in samples() {
        let notice = Notice { subject: instance(), data };
        let text = notice.to_string();
        assert!(!text.contains("  ") && !text.ends_with([' ', '\n', '.']), "{text}");
        assert!(notice.hint().is_none_or(|hint| !hint.is_empty() && !hint.ends_with('.')), "{text}");
        if text.contains("aborted: ") || text.contains("errored: ") {
            assert!(notice.level() >= Level::Warn, "{text}");
        }
    }
}

/// The reference lists every kind and no other, each with the fields of its data.
#[test]
fn the_reference_lists_every_kind_and_its_fields() {
    let page = include_str!("../../../../../docs/reference/events.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let kind_of = |row: &str| row.split('`').nth(1).unwrap_or_default().to_owned();
    let listed: Vec<String> = rows.iter().map(|row| kind_of(row)).filter(|kind| kind.contains('.')).collect();
    assert_eq!(listed, EventData::KINDS, "in the same order");
    for data in samples() {
        let value = serde_json::to_value(&data).unwrap();
        let row = rows.iter().find(|row| kind_of(row) == data.kind()).expect("its row");
        for field in value["data"].as_object().expect("an object").keys() {
            assert!(row.contains(&format!("`{field}`")), "{}: `{field}` is not in its row", data.kind());
        }
    }
}

/// The words in the data of events have a page of their own.
#[test]
fn the_reference_lists_the_values_of_events() {
    let page = include_str!("../../../../../docs/reference/event-values.md");
    for data in samples() {
        let value = serde_json::to_value(&data).unwrap();
        for field in ["failure", "cause", "action", "part", "stop"] {
            is_listed(page, &value["data"][field]);
        }
        // The page of exit reasons has those.
        if data.kind() != "instance.exited" {
            is_listed(page, &value["data"]["reason"]);
        }
    }
}

/// One spelling of a reason: in the log and the exit record (`reason`), as the name of its data (`cause`), and as the
/// name of the stop that leads to it.
#[test]
fn a_reason_has_one_spelling() {
    for data in samples() {
        let value = serde_json::to_value(&data).unwrap();
        let name = |field: &str| match &value["data"][field] {
            Value::String(word) => Some(word.clone()),
            Value::Object(fields) => fields.keys().next().cloned(),
            _ => None,
        };
        let (notice, cause) = (Notice::of_runtime(data.clone()), name("cause"));
        let EventData::Exited { reason, .. } = &data else { continue };
        assert_eq!(notice.reason(), Some(&**reason));
        match (cause.as_deref(), &**reason) {
            (None, _)
            | (Some("health"), "heartbeat")
            | (Some("cannot-listen"), "address-in-use")
            | (Some("memory"), "oom") => {}
            (Some(cause), reason) => assert_eq!(cause, reason, "{value}"),
        }
    }
    for (stop, word, reason) in [
        (StopKind::Restarted, "restart", Some("command")),
        (StopKind::Changed, "config", Some("config")),
        (StopKind::FilesChanged, "watch", None),
        (StopKind::Schedule, "cron", Some("cron")),
        (StopKind::Unhealthy, "health", None),
    ] {
        let stopping = EventData::Stopping { stop, request: StopMethod::Signal(Signal::INT) };
        assert_eq!(serde_json::to_value(&stopping).unwrap()["data"]["stop"], word);
        assert_eq!(Notice::of_runtime(stopping).reason(), reason);
    }
}

/// Whether a page has each word of a value, also of the values in it.
#[track_caller]
fn is_listed(page: &str, value: &Value) {
    let has = |word: &str| assert!(page.contains(&format!("`{word}`")), "the page has no `{word}`");
    match value {
        Value::String(word) if !word.contains(' ') => has(word),
        Value::Object(fields) => {
            for (word, inner) in fields {
                has(word);
                match word.as_str() {
                    "not-ready" => is_listed(page, &inner["failure"]),
                    "memory" | "health" | "command" => is_listed(page, inner),
                    _ => {}
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
}
