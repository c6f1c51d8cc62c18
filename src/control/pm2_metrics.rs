//! What a Node worker measures of itself, under the names that PM2 shows.

use serde_json::{Map, Value, json};

use super::snapshot::NodeSample;

/// A figure as PM2 shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pm2Metric {
    /// PM2's name.
    pub name: &'static str,
    /// PM2's word for its kind; empty: PM2 does not have this figure.
    kind: &'static str,
    /// The value without its unit.
    pub value: String,
    /// Its unit, or nothing.
    pub unit: &'static str,
}

impl NodeSample {
    /// The figures in the order of `describe`. Those of event loop and HTTP are of the last seconds.
    pub fn pm2_metrics(&self) -> Vec<Pm2Metric> {
        let new = |name, kind, value: String, unit| Some(Pm2Metric { name, kind, value, unit });
        let count = |name, kind, count: Option<u64>| new(name, kind, count?.to_string(), "");
        let millis = |name, kind, seconds: Option<f64>| new(name, kind, decimals(seconds? * 1000.0), "ms");
        let (heap, delay) = (&self.heap, self.event_loop.delay.as_ref());
        let http = self.http.as_ref();
        let is_used = http.filter(|http| http.started > 0);
        let usage = heap.used.saturating_mul(100).checked_div(heap.total);
        [
            new("Used Heap Size", "internal/v8/heap/used", mebibytes(heap.used), "MiB"),
            new("Heap Usage", "internal/v8/heap/usage", usage.unwrap_or(0).to_string(), "%"),
            new("Heap Size", "internal/v8/heap/total", mebibytes(heap.total), "MiB"),
            new("Heap Limit", "", mebibytes(heap.limit), "MiB"),
            new("Event Loop Utilization", "", decimals(self.event_loop.utilization * 100.0), "%"),
            millis("Event Loop Latency", "internal/libuv/latency/p50", delay.map(|delay| delay.p50)),
            millis("Event Loop Latency p95", "internal/libuv/latency/p95", delay.map(|delay| delay.p95)),
            count("Active handles", "internal/libuv/handles", self.active_handles),
            count("Active requests", "internal/libuv/requests", self.active_requests),
            is_used.and_then(|http| {
                new("HTTP", "internal/http/builtin/reqs", decimals(http.rate * 60.0), "req/min")
            }),
            is_used.and_then(|http| count("HTTP requests in flight", "", Some(http.active))),
            millis("HTTP Mean Latency", "internal/http/builtin/latency/p50", http.and_then(|http| http.mean)),
            millis("HTTP P95 Latency", "internal/http/builtin/latency/p95", http.and_then(|http| http.p95)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// PM2's `axm_monitor`.
    pub(super) fn axm_monitor(&self) -> Map<String, Value> {
        let of_pm2 = self.pm2_metrics().into_iter().filter(|metric| !metric.kind.is_empty());
        of_pm2
            .map(|Pm2Metric { name, kind, value, unit }| {
                let unit = (!unit.is_empty()).then_some(unit);
                (name.to_owned(), json!({ "value": value, "type": kind, "unit": unit, "historic": true }))
            })
            .collect()
    }
}

fn mebibytes(bytes: u64) -> String {
    let hundredths = u128::from(bytes) * 100 / (1 << 20);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn decimals(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::{
        super::snapshot::{Delay, EventLoop, HttpRequests},
        *,
    };

    #[test]
    fn figures_have_the_names_and_units_of_pm2() {
        let http = HttpRequests {
            started: 5,
            rate: 1.5,
            mean: Some(0.002),
            p95: Some(0.01),
            ..HttpRequests::default()
        };
        let delay = Delay { p50: 0.0004, p95: 0.0125, ..Delay::default() };
        let mut sample = NodeSample {
            event_loop: EventLoop { delay: Some(delay), utilization: 0.25, ..EventLoop::default() },
            active_handles: Some(4),
            http: Some(http),
            ..NodeSample::default()
        };
        sample.heap.used = 5_033_165;
        sample.heap.total = 10_200_000;
        let monitor = sample.axm_monitor();
        for (name, value, unit) in [
            ("Used Heap Size", "4.80", Value::from("MiB")),
            ("Heap Usage", "49", "%".into()),
            ("Event Loop Latency", "0.40", "ms".into()),
            ("Event Loop Latency p95", "12.50", "ms".into()),
            ("Active handles", "4", Value::Null),
            ("HTTP", "90.00", "req/min".into()),
            ("HTTP Mean Latency", "2.00", "ms".into()),
            ("HTTP P95 Latency", "10.00", "ms".into()),
        ] {
            assert_eq!((&monitor[name]["value"], &monitor[name]["unit"]), (&value.into(), &unit), "{name}");
        }
        assert!(!monitor.contains_key("Heap Limit"), "PM2 does not have it");
        // Whatever a worker sends.
        sample.heap.used = u64::MAX;
        sample.heap.total = 0;
        assert_eq!(sample.axm_monitor()["Heap Usage"]["value"], "0");
    }
}
