//! `/metrics`: the figures of the supervisor, its container, applications and instances.
//!
//! | file | contents |
//! |---|---|
//! | `table` | every metric: name, unit, type, labels, meaning |
//! | `samples` | figures → samples |
//! | `counters` | sums that may fall → counters |
//! | `node` | what Node workers measure of themselves → samples |
//! | `own` | what this thread reads itself: the process of procrun, the container, open files |
//! | `text` | samples → OpenMetrics or the text format of Prometheus |

mod counters;
mod node;
mod own;
#[cfg(test)]
mod reference;
mod samples;
mod table;
mod text;

pub(super) use self::{
    counters::CpuTimes,
    own::Own,
    text::{FORMATS, write},
};
