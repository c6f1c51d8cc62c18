//! Resource limits, priority, OOM score, umask, and whether a worker may gain privileges.
//!
//! Plain data: `sys::limits` applies it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::ByteSize;

/// The attributes of a worker in which it differs from procrun.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Resource limits (`rlimits`); the others are procrun's own.
    pub resources: BTreeMap<Resource, Allowance>,
    /// Scheduling priority, -20 (highest) to 19 (`nice`, nice(2)).
    pub nice: Option<i32>,
    /// OOM score adjustment, -1000 to 1000 (killed first) (`oom_score_adj`, proc(5)).
    pub oom_score_adj: Option<i32>,
    /// The permissions that new files do not get, up to 0o777 (`umask`).
    pub umask: Option<u32>,
    /// No program that it executes gains privileges by setuid or file capabilities (`no_new_privileges`,
    /// prctl(2)).
    pub no_new_privileges: bool,
}

/// A limited resource of a process (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "getrlimit(2) describes each of them by its name")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

/// The unit of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// A count, from 0 to this maximum.
    UpTo(u32),
}

/// The soft and hard limit of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The limit that applies, at most `hard`; [`Allowance::UNLIMITED`] is no limit.
    pub soft: u64,
    /// The highest limit to which the process may raise `soft`.
    pub hard: u64,
}

impl Allowance {
    /// No limit: the kernel's `RLIM_INFINITY`.
    pub const UNLIMITED: u64 = u64::MAX;
}

impl Resource {
    /// All resources, sorted by name.
    pub const ALL: [Self; 16] = [
        Self::As,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::Fsize,
        Self::Locks,
        Self::Memlock,
        Self::Msgqueue,
        Self::Nice,
        Self::Nofile,
        Self::Nproc,
        Self::Rss,
        Self::Rtprio,
        Self::Rttime,
        Self::Sigpending,
        Self::Stack,
    ];

    /// The limit's name in an ecosystem file: systemd's and PAM's word, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Locks => "locks",
            Self::Memlock => "memlock",
            Self::Msgqueue => "msgqueue",
            Self::Nice => "nice",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Rss => "rss",
            Self::Rtprio => "rtprio",
            Self::Rttime => "rttime",
            Self::Sigpending => "sigpending",
            Self::Stack => "stack",
        }
    }

    /// The limit's unit.
    pub fn unit(self) -> Unit {
        match self {
            Self::As
            | Self::Core
            | Self::Data
            | Self::Fsize
            | Self::Memlock
            | Self::Msgqueue
            | Self::Rss
            | Self::Stack => Unit::Bytes,
            // 20 minus the lowest nice value that is allowed.
            Self::Nice => Unit::UpTo(40),
            Self::Rtprio => Unit::UpTo(99),
            Self::Cpu | Self::Locks | Self::Nofile | Self::Nproc | Self::Rttime | Self::Sigpending => {
                Unit::UpTo(u32::MAX)
            }
        }
    }

    /// An amount as text: `65536`, `8M`, `unlimited`.
    pub fn amount(self, amount: u64) -> String {
        match self.unit() {
            _ if amount == Allowance::UNLIMITED => "unlimited".to_owned(),
            Unit::Bytes => ByteSize(amount).exact(),
            Unit::UpTo(_) => amount.to_string(),
        }
    }
}

impl Limits {
    /// The limits that are set, as pairs of key and value.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let rlimits = (!self.resources.is_empty()).then(|| Resources(&self.resources).to_string());
        [
            ("rlimits", rlimits),
            ("nice", self.nice.map(|nice| nice.to_string())),
            ("oom_score_adj", self.oom_score_adj.map(|adjustment| adjustment.to_string())),
            ("umask", self.umask.map(|umask| format!("{umask:03o}"))),
            ("no_new_privileges", self.no_new_privileges.then(|| "true".to_owned())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }

    /// The value of one key of [`Limits::shown`].
    pub fn show(&self, key: &str) -> Option<String> {
        self.shown().into_iter().find_map(|(shown, value)| (shown == key).then_some(value))
    }
}

/// `core=0 nofile=1024:65536`: soft and hard limit with a colon between, as systemd writes them.
struct Resources<'a>(&'a BTreeMap<Resource, Allowance>);

impl fmt::Display for Resources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (resource, Allowance { soft, hard })) in self.0.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{}={}", resource.name(), resource.amount(*soft))?;
            if soft != hard {
                write!(f, ":{}", resource.amount(*hard))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_in_a_file() {
        let resources = BTreeMap::from([
            (Resource::Nproc, Allowance { soft: 1024, hard: 4096 }),
            (Resource::Core, Allowance { soft: 0, hard: 0 }),
            (Resource::Stack, Allowance { soft: 8 << 20, hard: Allowance::UNLIMITED }),
        ]);
        let limits = Limits { resources, nice: Some(-5), umask: Some(0o27), ..Limits::default() };
        assert_eq!(
            limits.shown(),
            [
                ("rlimits", "core=0 nproc=1024:4096 stack=8M:unlimited".to_owned()),
                ("nice", "-5".to_owned()),
                ("umask", "027".to_owned()),
            ]
        );
        assert_eq!(Limits::default().shown(), []);
    }

    #[test]
    fn names_are_those_that_are_saved() {
        for resource in Resource::ALL {
            let saved = serde_json::to_value(resource).unwrap();
            assert_eq!(saved, resource.name());
        }
        let limits = Limits {
            resources: BTreeMap::from([(
                Resource::As,
                Allowance { soft: 1 << 40, hard: Allowance::UNLIMITED },
            )]),
            ..Limits::default()
        };
        let saved = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&saved).unwrap(), limits);
    }
}
