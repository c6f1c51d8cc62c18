//! The forecast of a change, as it is sent over the control socket and printed.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The effect of a change on one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// The name of the application.
    pub app: String,
    /// The kind of the effect.
    pub action: PlannedAction,
    /// The number of processes that stop and start again.
    pub replaced: u32,
    /// The number of processes that start.
    pub started: u32,
    /// The number of instances that stop and leave the list.
    pub removed: u32,
    /// The number of running tasks that run again after their end.
    pub rerun_later: u32,
    /// The keys that differ.
    pub why: Vec<KeyChange>,
}

/// The kind of an effect on an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedAction {
    /// The application is new, or some of its instances are.
    Start,
    /// The application is removed, or some of its instances are.
    Stop,
    /// Each process serves until its successor is ready.
    Reload,
    /// Its processes stop and start again.
    Restart,
    /// Its task runs again after its end.
    Rerun,
    /// The change applies to the running processes.
    Live,
    /// The change follows after the reload in progress.
    Wait,
}

/// A key that differs. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Its name, or `env.NAME` for a variable.
    pub key: String,
    /// The old value. `None`: the key was not set.
    pub old: Option<String>,
    /// The new value. `None`: the key is not set.
    pub new: Option<String>,
}

impl PlannedChange {
    /// The lines for a terminal.
    pub fn describe(&self) -> String {
        let processes = |count: u32| format!("{count} {}", if count == 1 { "process" } else { "processes" });
        let mut parts = Vec::new();
        match self.action {
            PlannedAction::Live => parts.push("applied live, no process restarts".to_owned()),
            PlannedAction::Wait => parts.push("waits for the reload in progress".to_owned()),
            PlannedAction::Reload => parts.push(format!("reload {}", processes(self.replaced))),
            PlannedAction::Restart => parts.push(format!("restart {}", processes(self.replaced))),
            PlannedAction::Start | PlannedAction::Stop | PlannedAction::Rerun => {}
        }
        if self.started > 0 || self.action == PlannedAction::Start {
            parts.push(format!("start {}", processes(self.started)));
        }
        if self.removed > 0 || self.action == PlannedAction::Stop {
            parts.push(format!("stop {}", processes(self.removed)));
        }
        if self.rerun_later > 0 {
            parts.push("run the task again when it has ended".to_owned());
        }
        let mut text = format!("{}: {}", self.app, parts.join(", "));
        for KeyChange { key, old, new } in &self.why {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(unset)".to_owned());
            write!(text, "\n  {key}: {} -> {}", value(old), value(new))
                .expect("writing to a String cannot fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_described_with_its_reasons() {
        let key = |key: &str, old: Option<&str>, new: Option<&str>| KeyChange {
            key: key.to_owned(),
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
        };
        let change = PlannedChange {
            app: "api".to_owned(),
            action: PlannedAction::Reload,
            replaced: 2,
            started: 1,
            removed: 0,
            rerun_later: 0,
            why: vec![key("instances", Some("2"), Some("3")), key("env.PORT", None, Some("80"))],
        };
        assert_eq!(
            change.describe(),
            "api: reload 2 processes, start 1 process\n  instances: 2 -> 3\n  env.PORT: (unset) -> 80"
        );
        let removal = PlannedChange {
            action: PlannedAction::Stop,
            replaced: 0,
            started: 0,
            removed: 1,
            why: Vec::new(),
            ..change
        };
        assert_eq!(removal.describe(), "api: stop 1 process");
    }
}
