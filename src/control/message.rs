//! The messages of the control socket: the requests of commands, and the answers of the supervisor.

use std::{collections::BTreeMap, ffi::OsStr, slice};

use serde::{Deserialize, Serialize};

use super::{
    event::EncodedEvent,
    log_line::{self, LogLine},
    metrics::Metrics,
    plan::PlannedChange,
    snapshot::{InstanceDetails, Overview},
    trees::ProcessTrees,
};
use crate::{
    config::Patch,
    machine::{Action, Count, RestartScope, StatusReport},
    spec::{AppSpec, order::CrossFileDependency},
};

/// A request of a client. Targets are names, ids, namespaces, absolute paths of scripts, patterns or `all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Check that the supervisor responds. Answered by [`Answer::Overview`] without instances.
    Ping,
    /// The summary of all instances. Answered by [`Answer::Overview`].
    List,
    /// [`Request::List`] with figures of the container and the machine. Answered by [`Answer::Overview`].
    Monitor,
    /// The figures for metrics. Answered by [`Answer::Metrics`].
    Metrics,
    /// Whether these instances are ready; without targets, everything. Answered by [`Answer::Status`].
    Status {
        /// The instances.
        targets: Vec<String>,
    },
    /// The details of these instances; without targets, of all. Answered by [`Answer::Details`].
    Describe {
        /// The instances.
        targets: Vec<String>,
    },
    /// The process trees of these instances; without targets, of all. Answered by [`Answer::Trees`].
    Tree {
        /// The instances.
        targets: Vec<String>,
    },
    /// Carry out an action on instances. Answered by steps and [`Answer::Done`].
    Act {
        /// The action.
        action: Action,
        /// The instances; at least one target.
        targets: Vec<String>,
    },
    /// Add applications, or replace those of the same name. Answered as [`Request::Act`]; a dry run by
    /// [`Answer::Plan`].
    Add(Box<AddRequest>),
    /// Read the supervisor's ecosystem file again and apply what has changed, as SIGHUP does. Answered by
    /// [`Answer::Plan`], then as [`Request::Act`]; by [`Answer::FileEnvironment`] if `file` is another file, which
    /// the client then reads and adds itself.
    Apply {
        /// The absolute path of the file; `None`: the file with which the supervisor was started.
        #[serde(default)]
        file: Option<String>,
        /// Only report what would change.
        dry_run: bool,
    },
    /// The environment with which an ecosystem file was read. Answered by [`Answer::FileEnvironment`].
    FileEnvironment {
        /// The absolute path of the file.
        file: String,
    },
    /// Change the applications of these instances and restart the instances. Answered as [`Request::Act`].
    Change {
        /// The instances.
        targets: Vec<String>,
        /// How they restart.
        scope: RestartScope,
        /// The environment that their applications inherit from now on; `None`: unchanged.
        environment: Option<BTreeMap<String, String>>,
        /// The settings that change.
        patch: Option<Patch>,
    },
    /// The data to restore the list. Answered by [`Answer::Saved`].
    Save,
    /// Set the number of instances of an application. Answered as [`Request::Act`].
    Scale {
        /// The name of the application, or the id of one of its instances.
        app: String,
        /// The number of instances.
        count: Count,
    },
    /// The environment that a start of this instance would use. Answered by [`Answer::Environment`].
    Environment {
        /// An id, or the name of an application: its first instance.
        target: String,
    },
    /// Recent log lines, then new ones. Answered by [`Answer::Lines`]; then [`Answer::Live`] and more lines, or
    /// [`Answer::Done`].
    Logs {
        /// The instances; without targets, all of them and the supervisor itself.
        targets: Vec<String>,
        /// The number of recent lines of each.
        lines: u32,
        /// Lines of stdout.
        out: bool,
        /// Lines of stderr.
        err: bool,
        /// Also the supervisor's lines about these instances, as stderr.
        #[serde(default)]
        own: bool,
        /// Follow new lines.
        stream: bool,
    },
    /// Recent events, then new ones. Answered by [`Answer::Events`]; then [`Answer::Live`] and more events, or
    /// [`Answer::Done`].
    Events {
        /// The instances; without targets, every event.
        targets: Vec<String>,
        /// Only events since this time, in milliseconds since 1970.
        since: Option<i64>,
        /// The number of recent events.
        lines: u32,
        /// Follow new events.
        stream: bool,
    },
    /// Empty the log files of these instances and drop their recent lines. Answered by [`Answer::Done`].
    Flush {
        /// The instances; without targets, all.
        targets: Vec<String>,
    },
    /// Write to the standard input of one process. Answered by [`Answer::Done`] with its id when the whole text is in
    /// the pipe. An empty text only checks that the process has a pipe.
    Input {
        /// An id, or the name of an application with one process.
        target: String,
        /// The text with its line end.
        text: String,
    },
    /// Stop all applications and the supervisor. Answered by the end of the connection.
    Kill,
}

/// Variables as a message has them, without those that are not UTF-8.
pub fn sendable_environment<N: AsRef<OsStr>, V: AsRef<OsStr>>(
    variables: impl IntoIterator<Item = (N, V)>,
) -> BTreeMap<String, String> {
    let sendable = variables.into_iter().filter_map(|(name, value)| {
        Some((name.as_ref().to_str()?.to_owned(), value.as_ref().to_str()?.to_owned()))
    });
    sendable.collect()
}

/// Applications to add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// The applications. `environment` replaces their `env.caller`.
    pub apps: Vec<AppSpec>,
    /// The environment that new applications inherit.
    pub environment: BTreeMap<String, String>,
    /// Existing applications inherit `environment` from now on, too.
    #[serde(default)]
    pub update_environment: bool,
    /// The absolute path of their ecosystem file.
    #[serde(default)]
    pub file: Option<String>,
    /// Only report what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// The treatment of an application whose name is in use.
    #[serde(default)]
    pub name_conflict: NameConflict,
    /// Which instances of replaced applications restart.
    #[serde(default)]
    pub scope: RestartScope,
    /// The names of applications that are added as stopped.
    #[serde(default)]
    pub stopped: Vec<String>,
    /// The names of applications that are added without instances.
    #[serde(default)]
    pub scaled_to_zero: Vec<String>,
    /// Their dependencies on other applications, if those are in the list.
    #[serde(default)]
    pub outside: Vec<CrossFileDependency>,
}

/// The treatment of an application that is added under a name in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameConflict {
    /// Nothing is added; this is an error.
    #[default]
    Refuse,
    /// It gets another name, such as `name-1`.
    Rename,
    /// It replaces the existing application.
    Replace,
}

/// How the supervisor answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// One answer at once.
    Query,
    /// Steps, and a last answer when the operation is complete.
    Operation,
    /// Lines as they arrive and as fast as the client reads them.
    Stream,
}

impl Request {
    /// The targets of the request.
    pub fn targets_mut(&mut self) -> &mut [String] {
        match self {
            Self::Status { targets }
            | Self::Describe { targets }
            | Self::Tree { targets }
            | Self::Act { targets, .. }
            | Self::Change { targets, .. }
            | Self::Logs { targets, .. }
            | Self::Events { targets, .. }
            | Self::Flush { targets } => targets,
            Self::Environment { target } | Self::Input { target, .. } | Self::Scale { app: target, .. } => {
                slice::from_mut(target)
            }
            Self::Ping
            | Self::List
            | Self::Monitor
            | Self::Metrics
            | Self::Add { .. }
            | Self::Apply { .. }
            | Self::FileEnvironment { .. }
            | Self::Save
            | Self::Kill => &mut [],
        }
    }

    pub(super) fn kind(&self) -> RequestKind {
        match self {
            Self::Ping
            | Self::List
            | Self::Monitor
            | Self::Metrics
            | Self::Status { .. }
            | Self::Describe { .. }
            | Self::Tree { .. }
            | Self::Save
            | Self::FileEnvironment { .. }
            | Self::Environment { .. } => RequestKind::Query,
            Self::Act { .. }
            | Self::Add { .. }
            | Self::Apply { .. }
            | Self::Change { .. }
            | Self::Scale { .. }
            | Self::Flush { .. }
            | Self::Input { .. }
            | Self::Kill => RequestKind::Operation,
            Self::Logs { .. } | Self::Events { .. } => RequestKind::Stream,
        }
    }
}

/// An answer of the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// An event of the operation; more answers follow.
    Step(EncodedEvent),
    /// The effect of a change on each application.
    Plan {
        /// The applications that change.
        changes: Vec<PlannedChange>,
        /// The change is not carried out.
        dry_run: bool,
    },
    /// The operation is complete.
    Done {
        /// The ids of the affected instances.
        ids: Vec<u32>,
    },
    /// The request was refused or has failed.
    Failed(RequestError),
    /// The supervisor and the summaries of its instances.
    Overview(Overview),
    /// The figures for metrics.
    Metrics(Box<Metrics>),
    /// Whether everything is ready and has started.
    Status(StatusReport),
    /// The details of some instances.
    Details(Vec<InstanceDetails>),
    /// Process trees.
    Trees(ProcessTrees),
    /// The variables of one instance, by name.
    Environment(Vec<(String, String)>),
    /// The environment with which an ecosystem file was read; `None`: it was not read.
    FileEnvironment(Option<BTreeMap<String, String>>),
    /// The data of the saved list.
    Saved(Vec<SavedApp>),
    /// The recent lines are complete; new ones follow.
    Live,
    /// Events; more may follow.
    Events {
        /// The number of events that were lost before these.
        missed: u64,
        /// The oldest first.
        events: Vec<EncodedEvent>,
    },
    /// Log lines; more may follow.
    Lines {
        /// The number of lines that were lost before these.
        missed: u64,
        /// The oldest first.
        #[serde(with = "log_line::batches")]
        lines: Vec<LogLine>,
    },
}

/// Why a request was refused or has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestError {
    /// The error: what failed and why.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl RequestError {
    /// An error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// An application in the saved list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedApp {
    /// Its spec. `instances` is the number at the time of the save.
    pub app: AppSpec,
    /// The environment that the application inherits.
    pub environment: BTreeMap<String, String>,
    /// All of its instances were stopped.
    pub stopped: bool,
    /// The application was scaled to zero.
    #[serde(default, rename = "empty")]
    pub scaled_to_zero: bool,
}

impl Answer {
    /// A failure without a hint.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(RequestError::new(message))
    }

    /// Whether this is the last answer to a request.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Step(_)
            | Self::Events { .. }
            | Self::Lines { .. }
            | Self::Live
            | Self::Plan { dry_run: false, .. } => false,
            Self::Plan { dry_run: true, .. }
            | Self::Done { .. }
            | Self::Failed(_)
            | Self::Overview(_)
            | Self::Metrics(_)
            | Self::Status(_)
            | Self::Details(_)
            | Self::Trees(_)
            | Self::Environment(_)
            | Self::FileEnvironment(_)
            | Self::Saved(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::framing::{PROTOCOL, decode, encode},
        *,
    };
    use crate::spec::Signal;

    #[test]
    fn requests_are_decoded_as_they_were_encoded() {
        let requests = [
            Request::Ping,
            Request::Act { action: Action::Signal(Signal::USR1), targets: vec!["all".into(), "ü\n".into()] },
            Request::Scale { app: "api".into(), count: Count::By(2) },
            Request::Add(Box::default()),
        ];
        for request in requests {
            let line = encode(&request);
            assert!(!line[..line.len() - 1].contains(&b'\n'));
            assert_eq!(decode::<Request>(&line[..line.len() - 1]), Ok(request));
        }
    }

    /// The messages of this version. Changing them requires a higher [`PROTOCOL`].
    #[test]
    fn the_messages_of_this_version_are_understood() {
        assert_eq!(PROTOCOL, 2);
        let answer = br#"{"step":{"seq":1,"at":"2026-01-31T14:30:00.000Z","subject":{"app":"api","id":0},"kind":"instance.online","data":{"pid":7}}}"#;
        let Ok(Answer::Step(event)) = decode(answer) else { panic!("not a step") };
        assert_eq!(event.decode().unwrap().notice.to_string(), "api (0) is online, pid 7");
        let refusal = br#"{"failed":{"message":"no","hint":null}}"#;
        assert_eq!(decode(refusal), Ok(Answer::failed("no")));
        for (line, request) in [
            (r#""ping""#, Request::Ping),
            (r#"{"describe":{"targets":["api"]}}"#, Request::Describe { targets: vec!["api".into()] }),
            (
                r#"{"act":{"action":"stop","targets":["0"]}}"#,
                Request::Act { action: Action::Stop, targets: vec!["0".into()] },
            ),
            (
                r#"{"act":{"action":{"signal":10},"targets":["0"]}}"#,
                Request::Act { action: Action::Signal(Signal::USR1), targets: vec!["0".into()] },
            ),
            (
                r#"{"scale":{"app":"api","count":"+1"}}"#,
                Request::Scale { app: "api".into(), count: Count::By(1) },
            ),
        ] {
            assert_eq!(decode(line.as_bytes()), Ok(request), "{line}");
        }
        for line in [r#"{"dance":{}}"#, "GET / HTTP/1.1", r#"{"scale":{"app":"api","count":"many"}}"#] {
            assert!(decode::<Request>(line.as_bytes()).is_err(), "{line}");
        }
    }
}
