//! `/api/v1/history`: CPU and memory of the last hour, for charts.
//!
//! It exists while a client reads it, and for an hour after that. Without such a client nothing is sampled.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};

use super::{
    clock::{now, unix_milliseconds},
    link::Connector,
    queries::{Pace, Queries, Turns, Urgency},
};
use crate::control::{Answer, Request, snapshot::Overview};

const INTERVAL: Duration = Duration::from_secs(5);
/// An hour.
const POINTS: usize = 720;
const KEPT: Duration = Duration::from_hours(1);
/// Of more apps, and of more instances, there is no history: 720 points of 64 take 360 KiB.
const MAX_SERIES: usize = 64;
/// The interval is the pace.
const PACE: Pace = Pace { least: Duration::ZERO, times: 0 };

/// The history, and the task that samples it.
#[derive(Debug, Default)]
pub(super) struct History(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    points: Points,
    last_read: Option<Instant>,
    sampler: Option<AbortHandle>,
}

/// The last points, the oldest first. A series ends with the last time, and may begin later than the first one.
#[derive(Debug, Default, Serialize)]
struct Points {
    /// In milliseconds since 1970.
    times: VecDeque<u64>,
    apps: BTreeMap<String, Series>,
    instances: BTreeMap<u32, Series>,
}

/// Percent of one core, and bytes. A figure that is not known is NaN, which is `null` in JSON.
#[derive(Debug, Default, PartialEq)]
struct Series(VecDeque<(f32, f32)>);

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut series = serializer.serialize_struct("Series", 2)?;
        series.serialize_field("cpu", &self.0.iter().map(|point| point.0).collect::<Vec<_>>())?;
        series.serialize_field("memory", &self.0.iter().map(|point| point.1).collect::<Vec<_>>())?;
        series.end()
    }
}

impl History {
    /// The points as JSON. The first request starts the samples.
    pub(super) fn read(&self, connector: &Connector) -> String {
        let mut state = lock(&self.0);
        state.last_read = Some(now());
        if state.sampler.as_ref().is_none_or(AbortHandle::is_finished) {
            state.sampler = Some(tokio::spawn(sample(self.0.clone(), connector.clone())).abort_handle());
        }
        // No map has keys that are neither strings nor numbers.
        serde_json::to_string(&state.points).unwrap_or_default()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        if let Some(sampler) = lock(&self.0).sampler.take() {
            sampler.abort();
        }
    }
}

async fn sample(state: Arc<Mutex<State>>, connector: Connector) {
    let queries = Queries::new(connector, Turns::new(PACE), Urgency::Urgent);
    loop {
        if let Ok(Answer::Overview(overview)) = queries.ask(&Request::Monitor).await {
            lock(&state).points.add(unix_milliseconds(), &overview);
        }
        sleep(INTERVAL).await;
        let mut state = lock(&state);
        if state.last_read.is_none_or(|last| now() > last + KEPT) {
            state.points = Points::default();
            return;
        }
    }
}

impl Points {
    fn add(&mut self, at: u64, overview: &Overview) {
        push(&mut self.times, at);
        let mut apps: BTreeMap<&str, (f32, f32)> = BTreeMap::new();
        for brief in &overview.instances {
            let sum = apps.entry(&brief.name).or_insert((f32::NAN, f32::NAN));
            *sum = (plus(sum.0, brief.cpu), plus(sum.1, brief.memory.map(as_f64)));
        }
        if apps.len() <= MAX_SERIES {
            let names: BTreeSet<&str> = apps.keys().copied().collect();
            self.apps.retain(|name, _| names.contains(name.as_str()));
            for (name, sum) in apps {
                push(&mut self.apps.entry(name.to_owned()).or_default().0, sum);
            }
        } else {
            self.apps.clear();
        }
        if overview.instances.len() <= MAX_SERIES {
            let ids: BTreeSet<u32> = overview.instances.iter().map(|brief| brief.id).collect();
            self.instances.retain(|id, _| ids.contains(id));
            for brief in &overview.instances {
                let point = (plus(f32::NAN, brief.cpu), plus(f32::NAN, brief.memory.map(as_f64)));
                push(&mut self.instances.entry(brief.id).or_default().0, point);
            }
        } else {
            self.instances.clear();
        }
    }
}

/// Adds a point; the oldest one goes.
fn push<T>(to: &mut VecDeque<T>, point: T) {
    if to.len() == POINTS {
        to.pop_front();
    }
    to.push_back(point);
}

/// What is known of a sum.
fn plus(sum: f32, part: Option<f64>) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a chart has fewer steps")]
    match part.map(|part| part as f32) {
        Some(part) if sum.is_nan() => part,
        Some(part) => sum + part,
        None => sum,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a chart has fewer steps")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

fn lock(of: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing under the lock leaves it half changed.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn overview(instances: &[(u32, &str, Option<f64>, Option<u64>)]) -> Overview {
        let instance = |(id, name, cpu, memory): &(u32, &str, Option<f64>, Option<u64>)| {
            json!({
                "id": id, "name": name, "namespace": "default", "number": 0, "mode": "fork", "pid": null,
                "status": "online", "started_at": null, "uptime": null, "restarts": 0, "cpu": cpu, "memory": memory,
            })
        };
        serde_json::from_value(json!({
            "supervisor": {
                "pid": 1, "version": "1", "target": null, "started_at": 0, "instances": instances.len(),
                "cpu": null, "memory": null,
            },
            "instances": instances.iter().map(instance).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    fn sent(points: &Points) -> Value {
        serde_json::from_str(&serde_json::to_string(points).unwrap()).unwrap()
    }

    #[test]
    fn instances_are_added_up_and_a_series_ends_with_the_last_time() {
        let mut points = Points::default();
        points.add(1000, &overview(&[(0, "api", Some(1.5), Some(100)), (1, "api", None, Some(50))]));
        points.add(6000, &overview(&[(0, "api", Some(2.0), Some(100)), (2, "job", None, None)]));
        assert_eq!(
            sent(&points),
            json!({
                "times": [1000, 6000],
                "apps": {
                    "api": { "cpu": [1.5, 2.0], "memory": [150.0, 100.0] },
                    "job": { "cpu": [null], "memory": [null] },
                },
                "instances": {
                    "0": { "cpu": [1.5, 2.0], "memory": [100.0, 100.0] },
                    "2": { "cpu": [null], "memory": [null] },
                },
            })
        );
    }

    #[test]
    fn the_memory_of_the_history_is_bounded() {
        let mut points = Points::default();
        for at in 0..POINTS as u64 + 10 {
            points.add(at, &overview(&[(0, "api", Some(1.0), Some(1))]));
        }
        assert_eq!((points.times.len(), points.apps["api"].0.len()), (POINTS, POINTS));
        assert_eq!(points.times.front(), Some(&10));
        let id = |at: usize| u32::try_from(at).unwrap();
        let many: Vec<_> = (0..=MAX_SERIES).map(|at| (id(at), "api", Some(1.0), Some(1))).collect();
        points.add(10_000, &overview(&many));
        assert!(points.instances.is_empty() && points.apps.len() == 1);
        let names: Vec<String> = (0..=MAX_SERIES).map(|at| format!("app-{at}")).collect();
        let many: Vec<_> = names.iter().enumerate().map(|(at, name)| (id(at), &**name, None, None)).collect();
        points.add(20_000, &overview(&many));
        assert!(points.instances.is_empty() && points.apps.is_empty());
    }
}
