//! The page of docs/reference about metrics.

use super::table::{ALL, Kind};
use crate::generated_page::{cell, check};

const PAGE: &str = "\
# Metrics

<!-- Written by `BLESS=1 cargo test --lib reference` from the table in src/web/metrics. Do not edit. -->

`/metrics` of the [HTTP server](../how-to/monitor.md#metrics) has these metrics. Names, units and labels are stable. A
metric without a value is left out, for example a limit that the container does not have. Counters begin with 0 when
procrun starts; counters of an instance begin again with each process.

OpenMetrics calls a counter without `_total`, and an info without `_info`. A histogram has samples with `_bucket` (and the
label `le`), `_sum` and `_count`.

The metrics `procrun_node_...` are those of [Node processes](../how-to/monitor.md#node).

| metric | type | labels | meaning |
|---|---|---|---|
";

const LABELS: &str = "
## Labels

| label | values |
|---|---|
| `app` | the name of an app; more than 2,000 names are counted as `(others)` |
| `id` | the id in the list (`pm_id`), which a new process of the instance keeps |
| `namespace` | the namespace of the app |
| `mode` | `fork` or `cluster` |
| `version` | the version of procrun, or that in the `package.json` of the app |
| `status` | a [status](../explanation/lifecycle.md), also those with 0 instances |
| `reason` | an [exit reason](exit-reasons.md) |
| `code` | an exit code, or 128 and the number of a signal |
| `probe` | `health` or `readiness` |
| `result` | `completed` or `aborted` |
| `kind` | the kind of an [event](events.md); of a garbage collection `minor`, `major`, `incremental` or `weak_callbacks` |
| `percentile` | `50`, `95`, `99` or `100` (the maximum) |
| `class` | the class of an HTTP status: `1xx` to `5xx` |
| `le` | an upper bound in seconds, from 0.001 to 10, or `+Inf` |
";

fn page() -> String {
    let mut page = PAGE.to_owned();
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        let (name, labels, help) = (metric.sample_name(), labels.join(", "), cell(metric.help));
        page.extend(["| `", &name, "` | ", kind, " | ", &labels, " | ", &help, " |\n"]);
    }
    page + LABELS
}

#[test]
fn the_page_of_metrics_is_that_of_the_table() {
    check("metrics.md", &page());
}
