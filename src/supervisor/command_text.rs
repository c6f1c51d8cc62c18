//! The words of a command that was received.

use crate::machine::{Count, Manner, Operation};

/// The command of an operation on these targets: `restart api`.
pub(super) fn command_text(operation: &Operation, words: &[String]) -> String {
    let words = words.join(" ");
    match operation {
        Operation::Start(_) => format!("start {words}"),
        Operation::Stop(_) => format!("stop {words}"),
        Operation::Restart(_) => format!("restart {words}"),
        Operation::Reload(_) => format!("reload {words}"),
        Operation::Delete(_) => format!("delete {words}"),
        Operation::Apply { .. } => "apply the ecosystem file".to_owned(),
        Operation::Reset(_) => format!("reset {words}"),
        Operation::Signal(_, signal) => format!("send {signal} to {words}"),
        Operation::Become { manner: Manner::Changed, .. } => format!("add or change {words}"),
        Operation::Become { manner: Manner::Reload, .. } => format!("change and reload {words}"),
        Operation::Become { manner: Manner::Restart, .. } => format!("change and restart {words}"),
        Operation::Scale { app, count: Count::To(count) } => format!("scale {app} to {count}"),
        Operation::Scale { app, count: Count::By(more) } => format!("scale {app} by {more:+}"),
    }
}
