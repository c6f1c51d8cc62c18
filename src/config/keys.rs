//! What a key of an ecosystem file is: its names, how its value is read and where it goes, and how it
//! is shown. Which keys there are stands in `table`.
//!
//! It reads no value; `decode` walks it.

mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(super) use self::table::{APP_KEYS, RUNTIME_KEYS, TIME_FORMAT, readable};
use super::{draft::EnvVar, env_file::EnvFile, order::Wanted, value::EndsContainer, watching};
use crate::spec::{
    Allowance, InheritEnv, Instances, Listen, MemoryLimit, OomGuard, Pattern, PrincipalRef, Probe, Resource,
    Signal,
};

/// One key of an application (`D` = [`Draft`](super::draft::Draft)) or of procrun itself ([`RuntimeDraft`](super::draft::RuntimeDraft)).
pub(super) struct Key<D: 'static, S: 'static> {
    /// As it is written; camelCase of it is understood too.
    pub(super) name: &'static str,
    /// PM2's other names for it, in the order in which PM2 looks for them.
    pub(super) aliases: &'static [&'static str],
    /// How its value is read and where it goes.
    pub(super) kind: Kind<D>,
    /// How it reads in the finished spec; `None` is nothing to show.
    pub(super) show: fn(&S) -> Option<String>,
    /// Which tool defines the key.
    pub(super) owner: Owner,
}

/// The tool that defines a key. In PM2's formats a value that procrun cannot read is an error only where PM2
/// reads the key too: another tool may have written a key of the same name with another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// PM2's schema has it, by this name or an alias.
    Pm2,
    /// PM2 ignores it.
    Procrun,
}

/// How a value is read and where it goes.
pub(super) enum Kind<D: 'static> {
    /// A full text on one line.
    Label(fn(&mut D, String)),
    /// A full text.
    Text(fn(&mut D, String)),
    /// The name of an environment variable.
    Variable(fn(&mut D, String)),
    /// Arguments.
    Words(fn(&mut D, Vec<String>)),
    /// True or false.
    Switch(fn(&mut D, bool)),
    /// A duration; the flag says whether PM2 takes 0 for "not said".
    Duration(fn(&mut D, Duration), ZeroMeans),
    /// A duration that PM2 never looks at before it is used.
    Delay(fn(&mut D, Duration)),
    /// A duration, or off: `"off"`, false or 0.
    DurationOrOff(fn(&mut D, Option<Duration>)),
    /// A size in bytes, with its minimum.
    Size(u64, fn(&mut D, u64)),
    /// A whole number in a range.
    Count(u32, u32, OutOfRange, fn(&mut D, u32)),
    /// A whole number in a range that goes below zero.
    Whole(i32, i32, fn(&mut D, i32)),
    /// One of these words.
    Choice(&'static [Choice<D>]),
    /// The same, but in PM2's files another one is no error.
    Hint(&'static [Choice<D>]),
    /// PM2's `instances`.
    Instances(fn(&mut D, Instances)),
    /// A cron pattern, or 0 for none.
    Cron(fn(&mut D, Option<Pattern>)),
    /// The name of a time zone.
    Zone(fn(&mut D, String)),
    /// Sockets to open.
    Listen(fn(&mut D, Vec<Listen>)),
    /// What it waits for at a start.
    DependsOn(fn(&mut D, Vec<Wanted>)),
    /// A question to each worker, or none.
    Probe(fn(&mut D, Option<Box<Probe>>)),
    /// Whether its end is the end of the container.
    EndsContainer(fn(&mut D, EndsContainer)),
    /// Exit codes.
    Codes(fn(&mut D, BTreeSet<u8>)),
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
    /// Files of them.
    EnvFiles(fn(&mut D, Vec<EnvFile>)),
    /// PM2's `filter_env`.
    Filter(fn(&mut D, InheritEnv)),
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
    Memory(fn(&mut D, Option<MemoryLimit>)),
    /// True, false, or `"auto"` (none).
    AutoSwitch(fn(&mut D, Option<bool>)),
    /// True, false, or a share.
    Guard(fn(&mut D, OomGuard)),
    /// A service of PM2 itself.
    Unsupported,
    /// Understood, and true of procrun anyway.
    Ignored,
}

/// A word, and what it does.
pub(super) type Choice<D> = (&'static str, fn(&mut D));

/// What a duration of 0 means in PM2's files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ZeroMeans {
    /// No time at all.
    Counts,
    /// As if it were not there.
    IsUnset,
}

/// What a number beyond its range, or with a fraction, means in PM2's files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OutOfRange {
    /// The nearest whole number of the range; below it it is wrong.
    IsNearest,
    /// It is wrong.
    IsWrong,
}

impl<D, S> Key<D, S> {
    /// The order in which PM2 looks for the words of one key.
    pub(super) fn rank(&self, word: &str) -> usize {
        match self.aliases.iter().position(|alias| *alias == word) {
            _ if word == self.name => 0,
            Some(alias) => 1 + alias,
            None => usize::MAX,
        }
    }
}

/// The key that is written `word`, by its name, an alias, or the camelCase of one of them.
pub(super) fn find<D, S>(keys: &'static [Key<D, S>], word: &str) -> Option<&'static Key<D, S>> {
    let means = |name: &str| name == word || is_camel_case(name, word);
    keys.iter().find(|key| means(key.name) || key.aliases.iter().any(|alias| means(alias)))
}

/// All words that [`find`] knows, but the camelCase ones.
pub(super) fn words<D, S>(keys: &'static [Key<D, S>]) -> impl Iterator<Item = &'static str> {
    keys.iter().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()))
}

pub(super) fn is_camel_case(snake: &str, word: &str) -> bool {
    let mut word = word.chars();
    let mut upper = false;
    for c in snake.chars() {
        if c == '_' {
            upper = true;
        } else if word.next() != Some(if std::mem::take(&mut upper) { c.to_ascii_uppercase() } else { c }) {
            return false;
        }
    }
    word.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of `lib/API/schema.json` in PM2 7.0.
    const PM2_SCHEMA: &str = "script name name_prefix filter_env namespace install_url cwd args exec_interpreter \
        node_args out_file error_file log_file disable_logs log_type log_date_format time env \
        max_memory_restart pid_file restart_delay exp_backoff_restart_delay source_map_support \
        disable_source_map_support wait_ready instances kill_timeout shutdown_with_message listen_timeout \
        cron_restart merge_logs vizion autostart autorestart stop_exit_codes watch_delay watch ignore_watch \
        watch_options min_uptime max_restarts execute_command exec_mode force append_env_to_name \
        post_update trace disable_trace v8 event_loop_inspector deep_monitoring increment_var \
        instance_var pmx automation treekill port username uid gid windowsHide kill_retry_time write io";

    #[test]
    fn the_owner_of_a_key_is_pm2_if_its_schema_has_it() {
        let of_pm2 = |word: &str| PM2_SCHEMA.split_whitespace().any(|key| key == word);
        for key in APP_KEYS {
            let is_of_pm2 = std::iter::once(&key.name).chain(key.aliases).any(|word| of_pm2(word));
            assert_eq!(key.owner == Owner::Pm2, is_of_pm2, "{}", key.name);
        }
        assert!(RUNTIME_KEYS.iter().all(|key| key.owner == Owner::Procrun), "PM2 reads no key beside `apps`");
    }

    #[test]
    fn no_word_means_two_keys() {
        let mut words: Vec<_> = words(APP_KEYS).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn keys_are_found_by_each_of_their_names() {
        let name = |word| find(APP_KEYS, word).map(|key| key.name);
        assert_eq!(name("out_file"), Some("out_file"));
        assert_eq!(name("outFile"), Some("out_file"));
        assert_eq!(name("output"), Some("out_file"));
        assert_eq!(name("maxMemoryRestart"), Some("max_memory_restart"));
        assert_eq!(name("node_args"), Some("interpreter_args"));
        assert_eq!(name("nodeArgs"), Some("interpreter_args"));
        assert_eq!(name("interpreterArgs"), Some("interpreter_args"));
        assert_eq!(name("execInterpreter"), Some("interpreter"));
        assert_eq!(name("windowsHide"), Some("windowsHide"));
        assert_eq!(name("combineLogs"), Some("merge_logs"));
        assert_eq!(name("outfile"), None);
        assert_eq!(name("outFil"), None);
    }
}
