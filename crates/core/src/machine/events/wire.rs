//! How the parts of an event look in JSON: flat, with the unit in the name of the field.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    machine::{Ending, FailureKind, Next, SpawnFailure},
    spec::{ExitCode, Signal},
};

/// A duration in milliseconds.
pub(in crate::machine) mod millis {
    use super::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(in crate::machine) fn serialize<S: Serializer>(
        duration: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The same, if there is one.
pub(super) mod optional_millis {
    use super::{Deserialize, Deserializer, Serializer, millis};
    use std::time::Duration;

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(in crate::machine) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => millis::serialize(duration, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(from).map(|millis| millis.map(Duration::from_millis))
    }
}

/// A time as RFC 3339 in UTC, with milliseconds: `2026-01-31T14:30:00.000Z`.
pub(super) mod timestamp {
    use jiff::Timestamp;

    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;
    use std::borrow::Cow;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(in crate::machine) fn serialize<S: Serializer>(at: &i64, to: S) -> Result<S::Ok, S::Error> {
        // A clock that is that far off has no time.
        let at = Timestamp::from_millisecond(*at).unwrap_or_default();
        to.collect_str(&format_args!("{at:.3}"))
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text = Cow::<'_, str>::deserialize(from)?;
        text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(D::Error::custom)
    }
}

/// A signal by its name.
pub(in crate::machine) mod signal_name {
    use super::{Deserialize, Deserializer, Serializer, Signal};
    use serde::de::Error as _;
    use std::borrow::Cow;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(in crate::machine) fn serialize<S: Serializer>(signal: &Signal, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(signal)
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Signal, D::Error> {
        let name = Cow::<'_, str>::deserialize(from)?;
        Signal::parse(&name).ok_or_else(|| D::Error::custom("there is no such signal"))
    }
}

/// Signals by their names.
pub(super) mod signal_names {
    use super::{Deserialize, Deserializer, Serializer, Signal};
    use serde::de::Error as _;

    pub(in crate::machine) fn serialize<S: Serializer>(signals: &[Signal], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(signals.iter().map(ToString::to_string))
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Signal>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let signals: Option<Vec<Signal>> = names.iter().map(|name| Signal::parse(name)).collect();
        signals.ok_or_else(|| D::Error::custom("there is no such signal"))
    }
}

/// How a run ended.
#[derive(Serialize, Deserialize)]
struct FlatEnding {
    ending: EndingWord,
    code: ExitCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    core_dumped: Option<bool>,
    /// The kernel has killed another process of the tree, and the main process has exited for that.
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
struct FlatNext {
    next: NextWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_in_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unstable_restarts: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NextWord {
    Restart,
    Stopped,
    Final,
    Errored,
    Leftovers,
}

impl Serialize for Next {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (next, restart_in_ms, unstable_restarts) = match self {
            Self::Restart(wait) => {
                (NextWord::Restart, Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)), None)
            }
            Self::Stay => (NextWord::Stopped, None, None),
            Self::Final => (NextWord::Final, None, None),
            Self::Errored { unstable } => (NextWord::Errored, None, Some(*unstable)),
            Self::Sweep => (NextWord::Leftovers, None, None),
        };
        FlatNext { next, restart_in_ms, unstable_restarts }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Next {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let FlatNext { next, restart_in_ms, unstable_restarts } = FlatNext::deserialize(from)?;
        Ok(match next {
            NextWord::Restart => {
                Self::Restart(std::time::Duration::from_millis(restart_in_ms.unwrap_or_default()))
            }
            NextWord::Stopped => Self::Stay,
            NextWord::Final => Self::Final,
            NextWord::Errored => Self::Errored { unstable: unstable_restarts.unwrap_or_default() },
            NextWord::Leftovers => Self::Sweep,
        })
    }
}
