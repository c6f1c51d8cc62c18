//! Figures → samples, in the order of the table.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use super::{
    own::Own,
    table::{self, Metric},
};
use crate::{
    control::{
        metrics::{InstanceFigures, Metrics},
        snapshot::Status,
    },
    machine::{AppTally, Tallies},
};

/// The longest value of a label. Names have at most 255 bytes; a version in a package.json may have any length.
const MAX_LABEL: usize = 255;

/// The values of the labels of a metric, and the value of a sample.
#[derive(Debug, PartialEq)]
pub(in crate::web) struct Sample<'a> {
    pub(super) labels: Vec<Cow<'a, str>>,
    pub(super) value: Value<'a>,
}

/// The value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::web) enum Value<'a> {
    Number(f64),
    /// The sum of all observations, and their counts by bucket.
    Histogram {
        sum: f64,
        counts: &'a [u64],
    },
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// A metric with its samples.
#[derive(Debug)]
pub(in crate::web) struct Family<'a> {
    pub(super) metric: &'static Metric,
    pub(super) samples: Vec<Sample<'a>>,
}

/// All samples. A metric without a sample is left out.
pub(in crate::web) fn samples<'a>(figures: &'a Metrics, own: &Own) -> Vec<Family<'a>> {
    let mut families = of_supervisor(figures, own);
    families.extend(of_container(own));
    families.extend(of_apps(figures));
    families.extend(of_instances(&figures.instances, own));
    families.retain(|family| !family.samples.is_empty());
    families
}

fn one<'a>(metric: &'static Metric, value: Option<f64>) -> Family<'a> {
    let sample = value.map(|value| Sample { labels: Vec::new(), value: value.into() });
    Family { metric, samples: sample.into_iter().collect() }
}

fn of_supervisor<'a>(figures: &'a Metrics, own: &Own) -> Vec<Family<'a>> {
    let Metrics { supervisor, status, tallies, .. } = figures;
    let version = Sample { labels: vec![label(&supervisor.version)], value: 1.0.into() };
    let events = tallies
        .events
        .iter()
        .map(|(kind, count)| Sample { labels: vec![label(kind)], value: number(*count).into() });
    vec![
        Family { metric: &table::BUILD, samples: vec![version] },
        one(&table::START_TIME, Some(seconds(supervisor.started_at))),
        one(&table::OWN_CPU, own.cpu.map(|time| time.as_secs_f64())),
        one(&table::OWN_MEMORY, supervisor.memory.map(number)),
        one(&table::OWN_FILES, own.open_files.map(number)),
        one(&table::READY, Some(switch(status.is_ready()))),
        one(&table::STARTED, Some(switch(status.has_started()))),
        one(&table::STOPPING, Some(switch(status.is_stopping))),
        one(&table::FAILING, Some(number(status.failing.len() as u64))),
        Family { metric: &table::EVENTS, samples: events.collect() },
        one(&table::LOG_LINES, figures.log_lines.map(number)),
        one(&table::LOG_BYTES, Some(number(figures.log_bytes))),
    ]
}

fn of_container<'a>(own: &Own) -> Vec<Family<'a>> {
    let it = &own.container;
    let time = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    vec![
        one(&table::CONTAINER_CPU, time(it.cpu_time)),
        one(&table::CONTAINER_QUOTA, it.cpu_quota.map(f64::from)),
        one(&table::CONTAINER_THROTTLED, time(it.throttled)),
        one(&table::CONTAINER_MEMORY, it.memory.map(number)),
        one(&table::CONTAINER_CHARGED, it.charged.map(number)),
        one(&table::CONTAINER_LIMIT, it.memory_limit.map(number)),
        one(&table::CONTAINER_OOM, it.oom_kills.map(number)),
        one(&table::CONTAINER_TASKS, it.tasks.map(number)),
        one(&table::CONTAINER_TASKS_LIMIT, it.tasks_limit.map(number)),
    ]
}

fn of_apps(figures: &Metrics) -> Vec<Family<'_>> {
    let reports = || figures.status.ready.iter();
    let of_report = |metric, value: fn(&crate::machine::AppReport) -> f64| Family {
        metric,
        samples: reports()
            .map(|app| Sample { labels: vec![label(&app.app)], value: value(app).into() })
            .collect(),
    };
    let mut families = vec![
        Family { metric: &table::APP_INSTANCES, samples: statuses(&figures.instances) },
        of_report(&table::APP_READY, |app| switch(app.passes)),
        of_report(&table::APP_READY_INSTANCES, |app| app.ready.into()),
        of_report(&table::APP_REQUIRED_INSTANCES, |app| app.required.into()),
    ];
    families.extend(of_tallies(&figures.tallies));
    families
}

/// The number of instances of each application in each status, also where it is 0.
fn statuses(instances: &[InstanceFigures]) -> Vec<Sample<'_>> {
    const STATUSES: [Status; 7] = [
        Status::Launching,
        Status::Online,
        Status::Stopping,
        Status::Stopped,
        Status::WaitingForDependencies,
        Status::BackingOff,
        Status::Errored,
    ];
    let mut apps: BTreeMap<(&str, &str), [u32; STATUSES.len()]> = BTreeMap::new();
    for InstanceFigures { brief, .. } in instances {
        let counts = apps.entry((&brief.name, &brief.namespace)).or_default();
        for (count, status) in counts.iter_mut().zip(STATUSES) {
            *count += u32::from(brief.status == status);
        }
    }
    let samples = apps.into_iter().flat_map(|((app, namespace), counts)| {
        STATUSES.into_iter().zip(counts).map(move |(status, count)| Sample {
            labels: vec![label(app), label(namespace), status.word().into()],
            value: f64::from(count).into(),
        })
    });
    samples.collect()
}

fn of_tallies(tallies: &Tallies) -> Vec<Family<'_>> {
    let each = |metric, value: fn(&AppTally) -> f64| Family {
        metric,
        samples: tallies
            .apps
            .iter()
            .map(|(app, tally)| Sample { labels: vec![label(app)], value: value(tally).into() })
            .collect(),
    };
    let by_reason = |metric, counts: fn(&AppTally) -> &BTreeMap<String, u64>| Family {
        metric,
        samples: tallies
            .apps
            .iter()
            .flat_map(|(app, tally)| {
                counts(tally).iter().map(move |(reason, count)| Sample {
                    labels: vec![label(app), label(reason)],
                    value: number(*count).into(),
                })
            })
            .collect(),
    };
    let pair = |metric, words: [&'static str; 2], values: fn(&AppTally) -> [u64; 2]| Family {
        metric,
        samples: tallies
            .apps
            .iter()
            .flat_map(|(app, tally)| {
                words.into_iter().zip(values(tally)).map(move |(word, count)| Sample {
                    labels: vec![label(app), word.into()],
                    value: number(count).into(),
                })
            })
            .collect(),
    };
    let codes = tallies.apps.iter().flat_map(|(app, tally)| {
        tally.exit_codes.iter().map(move |(code, count)| Sample {
            labels: vec![label(app), code.to_string().into()],
            value: number(*count).into(),
        })
    });
    vec![
        each(&table::APP_STARTS, |tally| number(tally.starts)),
        by_reason(&table::APP_EXITS, |tally| &tally.exits),
        Family { metric: &table::APP_EXIT_CODES, samples: codes.collect() },
        by_reason(&table::APP_RESTARTS, |tally| &tally.restarts),
        each(&table::APP_RESTART_DELAY, |tally| seconds(tally.restart_delay)),
        each(&table::APP_KILLS, |tally| number(tally.kills)),
        pair(&table::APP_PROBE_FAILURES, ["health", "readiness"], |tally| tally.probe_failures),
        pair(&table::APP_RELOADS, ["completed", "aborted"], |tally| {
            [tally.reloads_completed, tally.reloads_aborted]
        }),
        each(&table::APP_RELOAD_TIME, |tally| seconds(tally.reload_time)),
    ]
}

fn of_instances<'a>(instances: &'a [InstanceFigures], own: &Own) -> Vec<Family<'a>> {
    let names: Vec<[Cow<'a, str>; 2]> =
        instances.iter().map(|it| [label(&it.brief.name), it.brief.id.to_string().into()]).collect();
    let each = |metric, value: fn(&InstanceFigures) -> Option<f64>| {
        let samples = instances
            .iter()
            .zip(&names)
            .filter_map(|(it, names)| Some(Sample { labels: names.to_vec(), value: value(it)?.into() }));
        Family { metric, samples: samples.collect() }
    };
    let infos = instances.iter().zip(&names).map(|(it, [app, id])| {
        let version = label(it.brief.version.as_deref().unwrap_or_default());
        let labels =
            vec![app.clone(), id.clone(), label(&it.brief.namespace), label(&it.brief.mode), version];
        Sample { labels, value: 1.0.into() }
    });
    let files = names.iter().zip(&own.files_of_instances).filter_map(|(names, files)| {
        Some(Sample { labels: names.to_vec(), value: number((*files)?).into() })
    });
    vec![
        Family { metric: &table::INSTANCE_INFO, samples: infos.collect() },
        each(&table::INSTANCE_UP, |it| Some(switch(it.brief.status == Status::Online))),
        each(&table::INSTANCE_READY, |it| it.brief.ready.map(switch)),
        each(&table::INSTANCE_HEALTHY, |it| it.brief.healthy.map(switch)),
        each(&table::INSTANCE_START, |it| it.brief.started_at.map(seconds)),
        each(&table::INSTANCE_RESTARTS, |it| Some(number(it.brief.restarts))),
        each(&table::INSTANCE_UNSTABLE, |it| Some(number(it.unstable))),
        each(&table::INSTANCE_CPU, |it| it.cpu_time.map(seconds)),
        each(&table::INSTANCE_MEMORY, |it| it.brief.memory.map(number)),
        each(&table::INSTANCE_PROCESSES, |it| it.processes.map(f64::from)),
        each(&table::INSTANCE_THREADS, |it| it.threads.map(f64::from)),
        Family { metric: &table::INSTANCE_FILES, samples: files.collect() },
    ]
}

pub(super) fn label(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(&text[..text.floor_char_boundary(MAX_LABEL)])
}

fn switch(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Milliseconds as seconds.
fn seconds(milliseconds: u64) -> f64 {
    number(milliseconds) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a sample has 53 bits")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
