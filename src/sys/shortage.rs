//! Errors that say something of the system's state and nothing of the call.

use std::io;

use nix::errno::Errno;

/// Whether the kernel lacked memory, processes, file descriptors or buffers at that moment, or a device
/// failed. The same call may work later.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::EAGAIN
                | Errno::EINTR
                | Errno::EIO
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOBUFS
                | Errno::ENOMEM
                | Errno::ETIMEDOUT
                | Errno::ETOOMANYREFS
        )
    )
}
