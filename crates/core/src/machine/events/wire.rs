//! The end of a run in JSON: flat, with the unit in the name of the field.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    machine::ending::{Ending, FailureKind, FollowUp, SpawnFailure},
    spec::{ExitCode, Signal},
};

/// How a run ended.
#[derive(Serialize, Deserialize)]
struct FlatEnding {
    ending: EndingWord,
    code: ExitCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    core_dumped: Option<bool>,
    /// The kernel has killed another process of the tree, and the main process has exited because of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    killed_child: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_limit_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<FailureKind>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EndingWord {
    Exit,
    Signal,
    Oom,
    SpawnFailed,
}

impl Serialize for Ending {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut flat = FlatEnding {
            ending: EndingWord::Exit,
            code: self.code(),
            signal: None,
            core_dumped: None,
            killed_child: None,
            memory_limit_bytes: None,
            message: None,
            failure: None,
        };
        match self {
            Self::Exited(_) => {}
            Self::Signaled { signal, core_dumped } => {
                flat.ending = EndingWord::Signal;
                flat.signal = Some(signal.to_string());
                flat.core_dumped = Some(*core_dumped);
            }
            Self::OutOfMemory { exited, limit } => {
                flat.ending = EndingWord::Oom;
                flat.killed_child = Some(exited.is_some());
                flat.memory_limit_bytes = *limit;
            }
            Self::SpawnFailed(failure) => {
                flat.ending = EndingWord::SpawnFailed;
                flat.message = Some(failure.message.clone());
                flat.failure = Some(failure.kind);
            }
        }
        flat.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Ending {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let flat = FlatEnding::deserialize(from)?;
        Ok(match flat.ending {
            EndingWord::Exit => Self::Exited(flat.code),
            EndingWord::Signal => {
                let signal = flat.signal.as_deref().and_then(Signal::parse);
                let signal = signal.ok_or_else(|| D::Error::missing_field("signal"))?;
                Self::Signaled { signal, core_dumped: flat.core_dumped.unwrap_or_default() }
            }
            EndingWord::Oom => Self::OutOfMemory {
                exited: flat.killed_child.unwrap_or_default().then_some(flat.code),
                limit: flat.memory_limit_bytes,
            },
            EndingWord::SpawnFailed => Self::SpawnFailed(SpawnFailure {
                code: flat.code,
                message: flat.message.unwrap_or_default(),
                kind: flat.failure.ok_or_else(|| D::Error::missing_field("failure"))?,
            }),
        })
    }
}

/// What follows the end of a process.
#[derive(Serialize, Deserialize)]
struct FlatFollowUp {
    next: FollowUpWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_in_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unstable_restarts: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FollowUpWord {
    Restart,
    Stopped,
    Final,
    Errored,
    Leftovers,
}

impl Serialize for FollowUp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (next, restart_in_ms, unstable_restarts) = match self {
            Self::Restart(wait) => {
                (FollowUpWord::Restart, Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)), None)
            }
            Self::Stopped => (FollowUpWord::Stopped, None, None),
            Self::Final => (FollowUpWord::Final, None, None),
            Self::Errored { unstable_runs } => (FollowUpWord::Errored, None, Some(*unstable_runs)),
            Self::Leftovers => (FollowUpWord::Leftovers, None, None),
        };
        FlatFollowUp { next, restart_in_ms, unstable_restarts }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for FollowUp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let FlatFollowUp { next, restart_in_ms, unstable_restarts } = FlatFollowUp::deserialize(from)?;
        Ok(match next {
            FollowUpWord::Restart => {
                Self::Restart(std::time::Duration::from_millis(restart_in_ms.unwrap_or_default()))
            }
            FollowUpWord::Stopped => Self::Stopped,
            FollowUpWord::Final => Self::Final,
            FollowUpWord::Errored => Self::Errored { unstable_runs: unstable_restarts.unwrap_or_default() },
            FollowUpWord::Leftovers => Self::Leftovers,
        })
    }
}
