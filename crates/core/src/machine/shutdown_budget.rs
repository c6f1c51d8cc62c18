//! The shutdown budget: how much of the time each application gets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{ids::InstanceId, time::Time};
use crate::spec::{Signal, order::Graph};

/// However little of the time is left, so long is anybody given.
pub(super) const MIN_STOP_TIME: Duration = Duration::from_millis(100);

/// A stop of everything that is under way.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    /// The signal that asked for it.
    pub(super) signal: Option<Signal>,
    /// When everything has served on for long enough.
    pub(super) closing_ends: Time,
    /// When the last SIGKILL is due.
    pub(super) deadline: Time,
    /// Who has not been asked to end yet.
    pub(super) pending: BTreeSet<InstanceId>,
}

/// How much each of these gets at most, so that all together have no more than is left: who wants less
/// than an equal part leaves the rest to the others.
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

/// From asking an application to end until all that it needs are gone, one after the other.
#[derive(Clone, Copy, Default)]
pub(super) struct StopPath<'a> {
    /// The longest time that this may take.
    pub(super) time: Duration,
    /// The one that comes next on the way that takes longest.
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
    // In a circle it counts for nothing the second time, and nobody's way leads there.
    known.insert(name, StopPath::default());
    let needs = order.get(name).into_iter().flatten();
    let paths = needs.map(|needed| (longest_path(order, own, needed, known), *needed));
    let (after, next) = paths.filter(|(time, _)| !time.is_zero()).max().unzip();
    let time = after.unwrap_or_default() + own.get(name).copied().unwrap_or_default();
    known.insert(name, StopPath { time, next });
    time
}
