//! The text of a received command in the log.

use crate::machine::{Action, Count, Operation, RestartScope};

/// The command of an operation on these targets: `restart api`.
pub(super) fn command_text(operation: &Operation, words: &[String]) -> String {
    let words = words.join(" ");
    match operation {
        Operation::Act(Action::Start, _) | Operation::UpdateApps { scope: RestartScope::Changed, .. } => {
            format!("start {words}")
        }
        Operation::Act(Action::Stop, _) => format!("stop {words}"),
        Operation::Act(Action::Restart, _) => format!("restart {words}"),
        Operation::Act(Action::Reload, _) => format!("reload {words}"),
        Operation::Act(Action::Delete, _) => format!("delete {words}"),
        Operation::Act(Action::Reset, _) => format!("reset {words}"),
        Operation::Act(Action::Signal(signal), _) => format!("signal {signal} {words}"),
        Operation::Apply { .. } => "apply".to_owned(),
        Operation::UpdateApps { scope: RestartScope::Reload, .. } => format!("reload {words} (changed)"),
        Operation::UpdateApps { scope: RestartScope::Restart, .. } => format!("restart {words} (changed)"),
        Operation::Scale { app, count: Count::To(count) } => format!("scale {app} {count}"),
        Operation::Scale { app, count: Count::By(more) } => format!("scale {app} {more:+}"),
    }
}
