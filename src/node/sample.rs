//! The figures that `metrics.cjs` measures in a Node worker.
//!
//! A worker may send anything: [`NodeSample::parse`] accepts only finite numbers that are not negative.

use serde::{Deserialize, Serialize};

/// The upper bounds of the buckets of the histogram of HTTP requests, in seconds. `metrics.cjs` has them in
/// milliseconds.
pub const HTTP_BOUNDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The greatest count: JavaScript has no greater exact one, and a sum of some does not overflow.
const MAX_COUNT: u64 = 1 << 53;

/// What a Node worker has measured of itself. Times are in seconds, sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSample {
    /// The heap of V8.
    pub heap: Heap,
    /// The event loop of the main thread.
    pub event_loop: EventLoop,
    /// Garbage collections since the measurement began.
    pub gc: Collections,
    /// Open handles, such as sockets, servers and timers of libuv.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_handles: Option<u64>,
    /// Requests of libuv in progress, such as file operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_requests: Option<u64>,
    /// HTTP requests to the servers of the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpRequests>,
}

/// The heap of V8.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heap {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that V8 has reserved.
    pub total: u64,
    /// The size at which the worker fails for lack of heap.
    pub limit: u64,
    /// Bytes of buffers outside the heap.
    pub external: u64,
}

/// The event loop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventLoop {
    /// Time in which it ran callbacks, since its start.
    pub active: f64,
    /// Time in which it waited, since its start.
    pub idle: f64,
    /// The part of the last seconds in which it ran callbacks, 0 to 1.
    pub utilization: f64,
    /// The delay of timers in the last seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// How late timers were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delay {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

/// Garbage collections by kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collections {
    /// Of the young generation.
    pub minor: Collected,
    /// Of the whole heap.
    pub major: Collected,
    /// Steps of incremental marking.
    pub incremental: Collected,
    /// Callbacks of weak references.
    pub weak_callbacks: Collected,
}

/// Garbage collections of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collected {
    /// Their number.
    pub count: u64,
    /// Their time.
    pub seconds: f64,
}

/// HTTP requests since the measurement began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpRequests {
    /// Requests that have arrived.
    pub started: u64,
    /// Requests in progress.
    pub active: u64,
    /// The time of all completed ones.
    pub seconds: f64,
    /// Completed ones by their time: one count for each of [`HTTP_BOUNDS`], and one for longer ones.
    pub counts: [u64; HTTP_BOUNDS.len() + 1],
    /// Completed ones by the first digit of their status, 1 to 5.
    pub classes: [u64; 5],
    /// Completed ones a second, in the last seconds.
    pub rate: f64,
    /// The mean time in the last seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// The 95th percentile of the time in the last seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
}

impl NodeSample {
    /// Parses a message of `metrics.cjs`. `None`: it is not one that the script sends.
    pub(super) fn parse(line: &[u8]) -> Option<Box<Self>> {
        #[derive(Deserialize)]
        struct Raw {
            sample: Box<NodeSample>,
        }
        let sample = serde_json::from_slice::<Raw>(line).ok()?.sample;
        let is_valid = sample.seconds().all(|value| value.is_finite() && value >= 0.0)
            && sample.http.iter().flat_map(|http| http.counts).all(|count| count <= MAX_COUNT);
        is_valid.then_some(sample)
    }

    /// All values that are not whole numbers.
    fn seconds(&self) -> impl Iterator<Item = f64> {
        let EventLoop { active, idle, utilization, delay } = &self.event_loop;
        let delay = delay.iter().flat_map(|delay| [delay.mean, delay.p50, delay.p95, delay.p99, delay.max]);
        let gc = &self.gc;
        let gc = [&gc.minor, &gc.major, &gc.incremental, &gc.weak_callbacks].map(|kind| kind.seconds);
        let http = self
            .http
            .iter()
            .flat_map(|http| [http.seconds, http.rate].into_iter().chain(http.mean).chain(http.p95));
        [*active, *idle, *utilization].into_iter().chain(delay).chain(gc).chain(http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_only_finite_numbers_that_are_not_negative() {
        let parse = |sample: &str| {
            NodeSample::parse(format!(r#"{{"cmd":"NODE_PROCRUN","sample":{sample}}}"#).as_bytes())
        };
        let sample =
            parse(r#"{"heap":{"used":5},"event_loop":{"active":0.25,"delay":{"p95":1e-3}}}"#).unwrap();
        assert_eq!((sample.heap.used, sample.event_loop.active), (5, 0.25));
        assert_eq!(sample.event_loop.delay, Some(Delay { p95: 0.001, ..Delay::default() }));
        for wrong in [
            r#"{"heap":{"used":-1}}"#,
            r#"{"heap":{"used":1e300}}"#,
            r#"{"heap":7}"#,
            r#"{"event_loop":{"active":-0.5}}"#,
            r#"{"event_loop":{"idle":1e999}}"#,
            r#"{"event_loop":{"delay":{"max":-1}}}"#,
            r#"{"gc":{"minor":{"seconds":-1}}}"#,
            r#"{"http":{"counts":[1,2]}}"#,
            r#"{"http":{"p95":"fast"}}"#,
            r#"{"http":{"counts":[0,0,0,0,0,0,0,0,0,0,0,0,0,9007199254740993]}}"#,
            "7",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(NodeSample::parse(b"{}"), None);
    }

    #[test]
    fn the_buckets_are_those_of_the_script() {
        let script = include_str!("metrics.cjs");
        let bounds: Vec<String> = HTTP_BOUNDS.iter().map(|bound| (bound * 1000.0).to_string()).collect();
        let bounds = format!("const BOUNDS = [{}];", bounds.join(", ").replace("10000", "10_000"));
        assert!(script.contains(&bounds), "{bounds}");
    }
}
