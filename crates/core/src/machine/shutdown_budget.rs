//! The shutdown budget: the time that each application gets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{ids::InstanceId, time::Time};
use crate::spec::{Signal, dependencies::Graph};

/// Each application gets at least this time, however little is left.
pub(super) const MIN_STOP_TIME: Duration = Duration::from_millis(100);

/// The state of a shutdown.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    /// The signal that requested it.
    pub(super) signal: Option<Signal>,
    /// The end of `pre_stop_delay`.
    pub(super) closing_ends: Time,
    /// When the last SIGKILL is due.
    pub(super) deadline: Time,
    /// The instances that have not been stopped yet.
    pub(super) pending: BTreeSet<InstanceId>,
}

/// The most that each of these stages gets, so that all together take no more than is left. A stage that needs less
/// than an equal share leaves the rest to the others.
pub(super) fn fair_share(mut left: Duration, mut needs: Vec<Duration>) -> Duration {
    needs.sort_unstable();
    let mut others = u32::try_from(needs.len()).unwrap_or(u32::MAX);
    for need in needs {
        let equal = left / others;
        if need > equal {
            return equal;
        }
        left -= need;
        others -= 1;
    }
    Duration::MAX
}

/// The stop of an application and of all that it depends on, one after the other.
#[derive(Clone, Copy, Default)]
pub(super) struct StopPath<'a> {
    /// The longest time that this may take.
    pub(super) time: Duration,
    /// The next application on the longest path.
    pub(super) next: Option<&'a str>,
}

pub(super) fn longest_path<'a>(
    order: &Graph<'a>,
    own: &BTreeMap<&str, Duration>,
    name: &'a str,
    known: &mut BTreeMap<&'a str, StopPath<'a>>,
) -> Duration {
    if let Some(path) = known.get(name) {
        return path.time;
    }
    // In a dependency cycle an application counts as zero the second time, and no path leads there.
    known.insert(name, StopPath::default());
    let needs = order.get(name).into_iter().flatten();
    let paths = needs.map(|needed| (longest_path(order, own, needed, known), *needed));
    let (after, next) = paths.filter(|(time, _)| !time.is_zero()).max().unzip();
    let time = after.unwrap_or_default() + own.get(name).copied().unwrap_or_default();
    known.insert(name, StopPath { time, next });
    time
}
