//! The role of a supervisor: in the foreground or in the background, and where commands reach it.

use super::{background::Background, early_output::print_early};
use crate::control::{Name, SocketPaths};

/// The control socket of a supervisor, and whether it runs in the background.
#[derive(Debug)]
pub struct Role {
    /// The directories in which the socket may be.
    pub places: SocketPaths,
    /// The name of the socket.
    pub name: Name,
    /// The supervisor runs in the background.
    pub background: Option<Background>,
}

impl Role {
    /// Reports to the service manager, if one waits, that commands are accepted.
    pub(super) fn report_ready(&self) {
        if let Some(background) = &self.background
            && let Err(error) = background.report_ready()
        {
            print_early(format_args!("warn: cannot report to the service manager: {error}"));
        }
    }
}
