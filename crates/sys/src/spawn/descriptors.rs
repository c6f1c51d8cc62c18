//! The descriptors of a new process, and their numbers in it.

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

use super::{
    super::launch_slots::Filled,
    launch::{HANDED, Launch},
};

/// Copies all that the child gets to the launch slots, if it can have them.
pub(super) fn fill_slots(launch: &Launch<'_>) -> Option<Filled> {
    let channel = launch.channel.map(|(channel, _)| channel);
    let standard = [launch.stdin, launch.stdout, launch.stderr];
    let all: Vec<BorrowedFd<'_>> =
        standard.into_iter().chain(launch.sockets.iter().copied()).chain(channel).collect();
    Filled::with(&all, end_of_handed(launch))
}

/// Where the standard streams lie in the slots, and what else is handed to the child.
pub(super) fn slot_numbers(launch: &Launch<'_>, slots: &Filled) -> ([RawFd; 3], Vec<(RawFd, RawFd)>) {
    let sockets = (HANDED..).take(launch.sockets.len());
    let targets = sockets.chain(launch.channel.map(|(_, number)| number));
    let handed = targets.zip(3..).map(|(to, slot)| {
        // No number is that high: see `end_of_handed`.
        (slots.number(slot), RawFd::try_from(to).unwrap_or(RawFd::MAX))
    });
    ([0, 1, 2].map(|slot| slots.number(slot)), handed.collect())
}

pub(super) fn standard_streams(launch: &Launch<'_>) -> [RawFd; 3] {
    [launch.stdin, launch.stdout, launch.stderr].map(|stream| stream.as_raw_fd())
}

/// What is handed to the child beyond its standard streams. What stands where one of them is to be
/// gets another number, which `moved` keeps open.
pub(super) fn handed(launch: &Launch<'_>, moved: &mut Vec<OwnedFd>) -> Result<Vec<(RawFd, RawFd)>, Errno> {
    let end = end_of_handed(launch);
    let sockets = launch.sockets.iter().copied().zip(HANDED..);
    let all = sockets.chain(launch.channel);
    all.map(|(fd, to)| {
        let to = RawFd::try_from(to).map_err(|_| Errno::EMFILE)?;
        if fd.as_raw_fd() >= end {
            return Ok((fd.as_raw_fd(), to));
        }
        let fd = above(fd, end)?;
        let number = fd.as_raw_fd();
        moved.push(fd);
        Ok((number, to))
    })
    .collect()
}

/// The first number after those of what is handed to the child.
pub(super) fn end_of_handed(launch: &Launch<'_>) -> RawFd {
    let sockets = launch.sockets.len();
    let end = launch.channel.map_or(HANDED + sockets, |(_, number)| number + 1);
    RawFd::try_from(end).unwrap_or(RawFd::MAX)
}

/// The same open file with a number of at least `least`.
fn above(fd: BorrowedFd<'_>, least: RawFd) -> Result<OwnedFd, Errno> {
    let fd = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the kernel has just created this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
