//! The name of the binary: a link with the name of one of PM2's programs behaves as that program.

use std::{ffi::OsStr, path::Path};

/// The program as which the binary was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvokedAs {
    /// procrun itself.
    Procrun,
    /// `pm2`: `start` goes to the background.
    Pm2,
    /// `pm2-runtime` or `pm2-docker`: `start` stays in the foreground.
    Pm2Runtime,
}

impl InvokedAs {
    /// By the first word of the command line.
    pub(super) fn by(program: &OsStr) -> Self {
        match Path::new(program).file_name().and_then(OsStr::to_str) {
            Some("pm2") => Self::Pm2,
            Some("pm2-runtime" | "pm2-docker") => Self::Pm2Runtime,
            Some(_) | None => Self::Procrun,
        }
    }

    /// This process.
    pub(super) fn this() -> Self {
        Self::by(&std::env::args_os().next().unwrap_or_default())
    }

    /// Whether PM2's variables set the paths of files.
    pub(super) fn is_pm2(self) -> bool {
        match self {
            Self::Pm2 | Self::Pm2Runtime => true,
            Self::Procrun => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_path_counts() {
        for (program, called) in [
            ("/usr/local/bin/pm2", InvokedAs::Pm2),
            ("pm2-runtime", InvokedAs::Pm2Runtime),
            ("./pm2-docker", InvokedAs::Pm2Runtime),
            ("/pm2/procrun", InvokedAs::Procrun),
            ("", InvokedAs::Procrun),
        ] {
            assert_eq!(InvokedAs::by(OsStr::new(program)), called, "{program}");
        }
    }
}
