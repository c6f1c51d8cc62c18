//! The arguments of a command after parsing.

use std::ffi::OsString;

use clap::ArgMatches;

use super::{app_options, connect::Supervisor, failure::Failure, name_list::names};
use crate::config::Flags;

/// The arguments and options of a command.
pub(super) struct ParsedArgs {
    pub(super) words: Vec<String>,
    pub(super) socket: Option<OsString>,
    /// The arguments after `--`, if there is a `--`.
    pub(super) args: Option<Vec<OsString>>,
    pub(super) matches: ArgMatches,
}

impl ParsedArgs {
    /// Whether this option was given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.matches.try_get_one::<bool>(option).ok().flatten().copied().unwrap_or(false)
    }

    /// The value of this option.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(option).ok().flatten().map(String::as_str)
    }

    /// The options that describe how an app runs.
    pub(super) fn flags(&self) -> Flags {
        let mut flags = app_options::read(&self.matches, app_options::OTHER_MEANING);
        flags.only = self.value("only").map(|list| names(&[list])).unwrap_or_default();
        flags.env_name = self.value("env").filter(|name| !name.is_empty()).map(str::to_owned);
        flags
    }

    /// The selected supervisor.
    pub(super) fn supervisor(&self) -> Result<Supervisor, Failure> {
        Supervisor::find(self.socket.as_deref())
    }

    /// The selected supervisor, if one runs.
    pub(super) fn running_supervisor(&self) -> Result<Option<Supervisor>, Failure> {
        Supervisor::find_running(self.socket.as_deref())
    }
}
