//! Samples → OpenMetrics 1.0, or the text format 0.0.4 of Prometheus.
//!
//! Both have the same samples. Prometheus has another name for the type of some metrics, and no units.

use std::{borrow::Cow, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{
    node,
    own::Own,
    samples::{Family, Sample, Value, samples},
    table::{Kind, Metric},
};
use crate::control::{metrics::Metrics, snapshot::HTTP_BOUNDS};

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Format {
    Prometheus,
    OpenMetrics,
}

/// The formats in the order of preference, each with its media type for the negotiation and for the answer.
pub(in crate::web) const FORMATS: [(Format, &str, &str); 2] = [
    (Format::Prometheus, "text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
    (
        Format::OpenMetrics,
        "application/openmetrics-text;version=1.0.0",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    ),
];

/// The figures of one request.
#[derive(Debug)]
struct Figures {
    metrics: Arc<Metrics>,
    own: Own,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let of_node = node::families(&self.metrics.instances);
        for Family { metric, samples } in samples(&self.metrics, &self.own).into_iter().chain(of_node) {
            let unit = metric.unit.map(|unit| Unit::Other(unit.to_owned()));
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, unit.as_ref(), kind)?;
            for sample in samples {
                encode(metric, &sample, &mut family)?;
            }
        }
        Ok(())
    }
}

fn encode(metric: &Metric, sample: &Sample<'_>, family: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    let labels: Vec<(&str, &str)> =
        metric.labels.iter().copied().zip(sample.labels.iter().map(Cow::as_ref)).collect();
    let value = |encoder: &mut MetricEncoder<'_>| match (sample.value, metric.kind) {
        (Value::Number(number), Kind::Counter) => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(&number, None)
        }
        (Value::Number(number), Kind::Gauge | Kind::Info | Kind::Histogram) => encoder.encode_gauge(&number),
        (Value::Histogram { sum, counts }, _) => {
            let bounds = HTTP_BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
        }
    };
    if metric.kind == Kind::Info {
        family.encode_info(&labels)
    } else if labels.is_empty() {
        value(family)
    } else {
        value(&mut family.encode_family(&labels)?)
    }
}

/// The metrics as text.
pub(in crate::web) fn write(metrics: Arc<Metrics>, own: Own, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures { metrics, own }));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match format {
        Format::OpenMetrics => text::encode(&mut text, &registry),
        Format::Prometheus => prometheus_text::encode(&mut text, &registry),
    };
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::table::{ALL, Kind},
        *,
    };
    use crate::{
        control::{
            metrics::InstanceFigures,
            snapshot::{
                Delay, EventLoop, HttpRequests, InstanceSummary, NodeSample, Status, SupervisorSummary,
            },
        },
        machine::{AppReport, AppTally, StatusReport, Tallies},
        monitor::CgroupUsage,
    };

    fn node_sample() -> NodeSample {
        let delay = Delay { p95: 0.25, ..Delay::default() };
        let http = HttpRequests {
            started: 12,
            seconds: 1.5,
            counts: [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4],
            classes: [0, 3, 0, 0, 4],
            ..HttpRequests::default()
        };
        NodeSample {
            event_loop: EventLoop { delay: Some(delay), ..EventLoop::default() },
            active_handles: Some(3),
            active_requests: Some(0),
            http: Some(http),
            ..NodeSample::default()
        }
    }

    /// Figures with a sample of each metric.
    fn figures() -> (Arc<Metrics>, Own) {
        let brief = InstanceSummary {
            id: 3,
            name: "a\"p\\i\n".to_owned(),
            namespace: "default".to_owned(),
            number: 0,
            mode: "cluster".to_owned(),
            pid: Some(77),
            status: Status::Online,
            ready: Some(true),
            healthy: Some(false),
            problem: None,
            started_at: Some(1_700_000_000_500),
            uptime: Some(5),
            restarts: 2,
            cpu: Some(1.5),
            memory: Some(1 << 20),
            version: Some("1.2.3".to_owned()),
            user: None,
            watching: false,
            last_exit: None,
            node: Some(Box::new(node_sample())),
        };
        let report = AppReport {
            app: brief.name.clone(),
            passes: true,
            ready: 1,
            required: 1,
            instances: 1,
            problems: Vec::new(),
        };
        let tally = AppTally {
            starts: 3,
            exits: BTreeMap::from([("exit".to_owned(), 2)]),
            exit_codes: BTreeMap::from([(1, 2)]),
            restarts: BTreeMap::from([("exit".to_owned(), 2)]),
            restart_delay: 150,
            kills: 1,
            probe_failures: [4, 5],
            reloads_completed: 1,
            reloads_aborted: 2,
            reload_time: 2500,
        };
        let metrics = Metrics {
            supervisor: SupervisorSummary {
                pid: 1,
                version: "0.1.0".to_owned(),
                target: None,
                started_at: 1_700_000_000_000,
                stopping: false,
                failing: Vec::new(),
                instances: 1,
                cpu: Some(0.5),
                memory: Some(4 << 20),
            },
            status: StatusReport {
                is_stopping: false,
                failing: Vec::new(),
                online: 1,
                must_run: false,
                ready: vec![report.clone()],
                startup: vec![report],
            },
            tallies: Tallies {
                events: BTreeMap::from([("instance.online".to_owned(), 3)]),
                apps: BTreeMap::from([(brief.name.clone(), tally)]),
            },
            instances: vec![InstanceFigures {
                brief,
                unstable: 1,
                cpu_time: Some(1230),
                processes: Some(2),
                threads: Some(12),
            }],
            log_lines: Some(10),
            log_bytes: 1000,
        };
        let second = Some(std::time::Duration::from_millis(1500));
        let container = CgroupUsage {
            memory: Some(1),
            charged: Some(2),
            memory_limit: Some(3),
            oom_kills: Some(0),
            cpu: None,
            cpu_time: second,
            cpu_quota: Some(1.5),
            throttled: second,
            tasks: Some(4),
            tasks_limit: Some(5),
        };
        let own = Own { cpu: second, open_files: Some(20), container, files_of_instances: vec![Some(9)] };
        (Arc::new(metrics), own)
    }

    /// The figures of an instance with this process and CPU time.
    pub(in crate::web::metrics) fn instance(pid: Option<i32>, cpu_time: Option<u64>) -> InstanceFigures {
        let mut it = figures().0.instances[0].clone();
        it.brief.pid = pid;
        InstanceFigures { cpu_time, ..it }
    }

    pub(in crate::web::metrics) fn text(format: Format) -> String {
        let (metrics, own) = figures();
        write(metrics, own, format)
    }

    #[test]
    fn each_metric_of_the_table_is_written_in_both_formats() {
        let openmetrics = text(Format::OpenMetrics);
        let prometheus = text(Format::Prometheus);
        assert!(openmetrics.ends_with("# EOF\n") && !prometheus.contains("EOF"));
        assert!(!prometheus.contains("# UNIT"));
        for metric in ALL {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Info => "info",
            };
            let line = format!("# TYPE {} {kind}\n", metric.family());
            assert!(openmetrics.contains(&line), "{line}{openmetrics}");
            let kind = kind.replace("info", "gauge");
            let line = format!("# TYPE {} {kind}\n", metric.sample_name());
            assert!(prometheus.contains(&line), "{line}{prometheus}");
            let sample = format!("\n{}", metric.sample_name());
            assert!(openmetrics.contains(&sample) && prometheus.contains(&sample), "{sample}");
        }
    }

    #[test]
    fn samples_have_their_labels_escaped() {
        let text = text(Format::Prometheus);
        for line in [
            "procrun_instance_cpu_seconds_total{app=\"a\\\"p\\\\i\\n\",id=\"3\"} 1.23",
            "procrun_instance_start_time_seconds{app=\"a\\\"p\\\\i\\n\",id=\"3\"} 1700000000.5",
            "procrun_info{version=\"0.1.0\"} 1",
            "procrun_ready 1",
            "procrun_app_exit_codes_total{app=\"a\\\"p\\\\i\\n\",code=\"1\"} 2",
            "procrun_app_instances{app=\"a\\\"p\\\\i\\n\",namespace=\"default\",status=\"waiting restart\"} 0",
            "procrun_container_cpu_quota_cores 1.5",
            "procrun_node_eventloop_delay_seconds{app=\"a\\\"p\\\\i\\n\",id=\"3\",percentile=\"95\"} 0.25",
            "procrun_node_http_responses_total{app=\"a\\\"p\\\\i\\n\",id=\"3\",class=\"5xx\"} 4",
            "procrun_node_http_request_duration_seconds_sum{app=\"a\\\"p\\\\i\\n\",id=\"3\"} 1.5",
            "procrun_node_http_request_duration_seconds_bucket{app=\"a\\\"p\\\\i\\n\",id=\"3\",le=\"0.0025\"} 3",
            "procrun_node_http_request_duration_seconds_bucket{app=\"a\\\"p\\\\i\\n\",id=\"3\",le=\"+Inf\"} 7",
        ] {
            assert!(text.lines().any(|written| written.trim_end_matches(".0") == line), "{line}\n{text}");
        }
    }
}
