//! The types of values: what `apply` decodes, and where the result goes in a draft.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    config::{env_file::EnvFile, order::WrittenDependency, origin::EnvVar, value::EndsContainer, watching},
    spec::{
        Allowance, InheritEnv, Instances, Listen, MemoryLimit, OomGuard, Pattern, PrincipalRef, Probe,
        Quorum, Resource, Signal, WebAddress,
    },
};

/// The type of a value, and the function that puts it into a draft.
pub(in crate::config) enum Kind<D: 'static> {
    /// A string on one line that is not empty.
    SingleLine(fn(&mut D, String)),
    /// A string that is not empty.
    String(fn(&mut D, String)),
    /// The name of an environment variable.
    Variable(fn(&mut D, String)),
    /// Arguments.
    Arguments(fn(&mut D, Vec<String>)),
    /// True or false.
    Boolean(fn(&mut D, bool)),
    /// A duration.
    Duration(fn(&mut D, Duration), ZeroMeans),
    /// A duration that PM2 does not check before it uses it.
    Delay(fn(&mut D, Duration)),
    /// A duration, or off: `"off"`, false or 0.
    DurationOrOff(fn(&mut D, Option<Duration>)),
    /// A size in bytes with its minimum.
    Size(u64, fn(&mut D, u64)),
    /// A whole number from a minimum to a maximum.
    Integer(u32, u32, OutOfRange, fn(&mut D, u32)),
    /// A whole number from a minimum to a maximum that can be negative.
    SignedInteger(i32, i32, fn(&mut D, i32)),
    /// One of these words.
    Choice(&'static [Choice<D>]),
    /// One of these words; in PM2's files another word is no error.
    LenientChoice(&'static [Choice<D>]),
    /// PM2's `instances`.
    Instances(fn(&mut D, Instances)),
    /// A cron pattern, or 0 for none.
    Cron(fn(&mut D, Option<Pattern>)),
    /// The name of a time zone.
    TimeZone(fn(&mut D, String)),
    /// Sockets to open.
    Listen(fn(&mut D, Vec<Listen>)),
    /// Apps to wait for at a start.
    DependsOn(fn(&mut D, Vec<WrittenDependency>)),
    /// A probe, or false.
    Probe(fn(&mut D, Option<Box<Probe>>)),
    /// Whether the end of the app is the end of the container.
    EndsContainer(fn(&mut D, EndsContainer)),
    /// Exit codes.
    ExitCodes(fn(&mut D, BTreeSet<u8>)),
    /// A signal.
    Signal(fn(&mut D, Signal)),
    /// Resource limits.
    Rlimits(fn(&mut D, BTreeMap<Resource, Allowance>)),
    /// Permissions, in octal.
    Umask(fn(&mut D, u32)),
    /// A user or group.
    Principal(fn(&mut D, PrincipalRef)),
    /// Environment variables.
    Environment(fn(&mut D, Vec<EnvVar>)),
    /// Files of environment variables.
    EnvFiles(fn(&mut D, Vec<EnvFile>)),
    /// PM2's `filter_env`.
    EnvFilter(fn(&mut D, InheritEnv)),
    /// A file for the process id, by PM2's rule for its name.
    PidFile(fn(&mut D, String)),
    /// A path, or PM2's true and false.
    LogFile(fn(&mut D, Option<String>)),
    /// PM2's `watch`.
    Watch(fn(&mut D, Option<Vec<String>>)),
    /// Patterns of paths.
    Patterns(fn(&mut D, Vec<String>)),
    /// PM2's `watch_options`.
    WatchOptions(fn(&mut D, watching::Options)),
    /// A size or a share of the container's memory, or off: false or 0.
    MemoryLimit(fn(&mut D, Option<MemoryLimit>)),
    /// True, false, or `"auto"` (`None`).
    BooleanOrAuto(fn(&mut D, Option<bool>)),
    /// True, false, or a share of the container's memory.
    OomGuard(fn(&mut D, OomGuard)),
    /// The address of the HTTP server, or false.
    Web(fn(&mut D, Option<WebAddress>)),
    /// A number or share of instances.
    Quorum(fn(&mut D, Quorum)),
    /// A service of PM2 itself: a notice reports that it has no effect.
    Unsupported,
    /// Accepted without effect and without a notice.
    Ignored,
}

/// A word, and what it sets.
pub(in crate::config) type Choice<D> = (&'static str, fn(&mut D));

/// The meaning of a duration of 0 in PM2's files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum ZeroMeans {
    /// A duration of 0.
    Counts,
    /// The default.
    IsUnset,
}

/// The meaning of a number in PM2's files that is above its range or has a fraction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum OutOfRange {
    /// The nearest whole number of the range. A number below the range is an error.
    IsNearest,
    /// An error.
    IsWrong,
}
