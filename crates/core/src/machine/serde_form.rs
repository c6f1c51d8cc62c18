//! Values in JSON: durations with their unit, signals by name, times as RFC 3339.

use serde::{Deserialize, Deserializer, Serializer};

use crate::spec::Signal;

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
