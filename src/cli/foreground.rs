//! A supervisor in the foreground: when a command runs one, and its role.

use std::{ffi::OsStr, path::Path};

use super::{connect, invoked_as::InvokedAs};
use crate::{control::Name, supervisor::Role};

/// Whether `start` runs in the foreground: PM2's images have `pm2-runtime start app.js` as their command, and
/// `procrun start app.js` as the command of a container has nothing else to run.
pub(super) fn is_foreground(program: &OsStr, pid: u32) -> bool {
    pid == 1 || InvokedAs::by(program) == InvokedAs::Pm2Runtime
}

/// The role of a supervisor in the foreground.
pub(super) fn role(socket: Option<&OsStr>, cwd: &Path) -> Role {
    Role {
        places: connect::places_from(socket, cwd),
        name: match std::process::id() {
            1 => Name::Default,
            pid => Name::Pid(pid),
        },
        background: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_means_the_foreground_in_a_container_only() {
        assert!(is_foreground(OsStr::new("/usr/bin/pm2-runtime"), 7));
        assert!(is_foreground(OsStr::new("pm2-docker"), 7));
        assert!(is_foreground(OsStr::new("procrun"), 1));
        assert!(!is_foreground(OsStr::new("/usr/bin/procrun"), 7));
        assert!(!is_foreground(OsStr::new("/usr/bin/pm2"), 7));
    }
}
