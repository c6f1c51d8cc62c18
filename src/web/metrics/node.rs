//! What Node workers measure of themselves → samples.

use std::borrow::Cow;

use super::{
    samples::{Family, Sample, Value, label, number},
    table::{self, Metric},
};
use crate::control::{
    metrics::InstanceFigures,
    snapshot::{Delay, HttpRequests, NodeSample},
};

/// The values of one more label, and their samples.
type Labelled<const COUNT: usize> = [(&'static str, f64); COUNT];

/// The metrics of Node in the order of the table. A metric without a sample is left out.
pub(super) fn families(instances: &[InstanceFigures]) -> Vec<Family<'_>> {
    let workers: Vec<Worker<'_>> = instances.iter().filter_map(Worker::of).collect();
    let each = |metric, value: fn(&NodeSample) -> Option<f64>| {
        let samples =
            workers.iter().filter_map(|worker| Some(worker.sample(value(worker.node)?.into(), None)));
        Family { metric, samples: samples.collect() }
    };
    let gc = |metric, values: fn(&NodeSample) -> Labelled<4>| {
        labelled(&workers, metric, |node| Some(values(node)))
    };
    let heap = |metric, value: fn(&NodeSample) -> u64| {
        let samples = workers.iter().map(|worker| worker.sample(number(value(worker.node)).into(), None));
        Family { metric, samples: samples.collect() }
    };
    let mut families = vec![
        heap(&table::NODE_HEAP_USED, |node| node.heap.used),
        heap(&table::NODE_HEAP_TOTAL, |node| node.heap.total),
        heap(&table::NODE_HEAP_LIMIT, |node| node.heap.limit),
        heap(&table::NODE_EXTERNAL, |node| node.heap.external),
        gc(&table::NODE_GC, |node| by_kind(node, |seconds, _| seconds)),
        gc(&table::NODE_GC_COUNT, |node| by_kind(node, |_, count| number(count))),
        each(&table::NODE_LOOP_ACTIVE, |node| Some(node.event_loop.active)),
        each(&table::NODE_LOOP_IDLE, |node| Some(node.event_loop.idle)),
        each(&table::NODE_LOOP_UTILIZATION, |node| Some(node.event_loop.utilization)),
        labelled(&workers, &table::NODE_LOOP_DELAY, |node| node.event_loop.delay.as_ref().map(percentiles)),
        each(&table::NODE_LOOP_DELAY_MEAN, |node| Some(node.event_loop.delay.as_ref()?.mean)),
        each(&table::NODE_HANDLES, |node| node.active_handles.map(number)),
        each(&table::NODE_REQUESTS, |node| node.active_requests.map(number)),
        each(&table::NODE_HTTP, |node| Some(number(node.http.as_ref()?.started))),
        each(&table::NODE_HTTP_ACTIVE, |node| Some(number(node.http.as_ref()?.active))),
        labelled(&workers, &table::NODE_HTTP_RESPONSES, |node| node.http.as_ref().map(classes)),
        durations(&workers),
    ];
    families.retain(|family| !family.samples.is_empty());
    families
}

/// A Node worker that has sent a sample.
struct Worker<'a> {
    labels: [Cow<'a, str>; 2],
    node: &'a NodeSample,
}

impl<'a> Worker<'a> {
    fn of(figures: &'a InstanceFigures) -> Option<Self> {
        let brief = &figures.brief;
        Some(Self { labels: [label(&brief.name), brief.id.to_string().into()], node: brief.node.as_deref()? })
    }

    fn sample(&self, value: Value<'a>, more: Option<&'static str>) -> Sample<'a> {
        let labels = self.labels.iter().cloned().chain(more.map(Cow::Borrowed)).collect();
        Sample { labels, value }
    }
}

/// A metric with several samples of each worker.
fn labelled<'a, const COUNT: usize>(
    workers: &[Worker<'a>],
    metric: &'static Metric,
    values: impl Fn(&NodeSample) -> Option<Labelled<COUNT>>,
) -> Family<'a> {
    let samples = workers.iter().flat_map(|worker| {
        values(worker.node).into_iter().flatten().map(|(more, value)| worker.sample(value.into(), Some(more)))
    });
    Family { metric, samples: samples.collect() }
}

fn durations<'a>(workers: &[Worker<'a>]) -> Family<'a> {
    let samples = workers.iter().filter_map(|worker| {
        let HttpRequests { seconds, counts, .. } = worker.node.http.as_ref()?;
        Some(worker.sample(Value::Histogram { sum: *seconds, counts }, None))
    });
    Family { metric: &table::NODE_HTTP_DURATION, samples: samples.collect() }
}

fn by_kind(node: &NodeSample, value: fn(f64, u64) -> f64) -> Labelled<4> {
    let gc = &node.gc;
    [
        ("minor", &gc.minor),
        ("major", &gc.major),
        ("incremental", &gc.incremental),
        ("weak_callbacks", &gc.weak_callbacks),
    ]
    .map(|(kind, collected)| (kind, value(collected.seconds, collected.count)))
}

fn percentiles(delay: &Delay) -> Labelled<4> {
    [("50", delay.p50), ("95", delay.p95), ("99", delay.p99), ("100", delay.max)]
}

fn classes(http: &HttpRequests) -> Labelled<5> {
    let [informational, success, redirect, client, server] = http.classes.map(number);
    [("1xx", informational), ("2xx", success), ("3xx", redirect), ("4xx", client), ("5xx", server)]
}
