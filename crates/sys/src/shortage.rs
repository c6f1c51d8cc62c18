//! Errors that depend on the state of the system, not on the call.

use std::io;

use nix::errno::Errno;

/// Whether the kernel lacked memory, processes, file descriptors or buffers, or a device failed. The same call may
/// succeed later.
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

/// The same for a call that uses files: a device or a quota may also be full, and the server of a network or FUSE
/// file system unreachable for a while. epoll_ctl(2) reports a limit of the user by `ENOSPC`, too.
pub fn is_file_shortage(error: &io::Error) -> bool {
    let is_full_or_gone = matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::ECONNABORTED
                | Errno::EDQUOT
                | Errno::EHOSTDOWN
                | Errno::ENOSPC
                | Errno::ENOTCONN
                | Errno::ESTALE
        )
    );
    is_full_or_gone || is_shortage(error)
}
