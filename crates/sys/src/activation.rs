//! Sockets that a service manager has opened for this process (sd_listen_fds(3)).

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::libc;

/// The first descriptor (`SD_LISTEN_FDS_START`).
const FIRST_DESCRIPTOR: RawFd = 3;

/// Takes the sockets that this process has received. Must be called once, before any other file is opened. Empty if
/// `LISTEN_PID` names another process.
pub fn take_sockets() -> Vec<OwnedFd> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").and_then(|count| RawFd::try_from(count).ok()).unwrap_or(0);
    (FIRST_DESCRIPTOR..FIRST_DESCRIPTOR.saturating_add(count)).map_while(take).collect()
}

fn take(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl(2) with F_SETFD touches no memory and fails for what is not open.
    let is_open = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it is open, and nothing in this process has it: the caller promises that.
    is_open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
