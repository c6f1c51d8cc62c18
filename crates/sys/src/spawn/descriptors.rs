//! The descriptors of a new process, and their numbers in it.

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

use super::{
    super::launch_slots::FilledSlots,
    launch::{HANDED, Launch},
};

/// Copies all descriptors of the child to launch slots. `None`: there are no slots for it.
pub(super) fn fill_slots(launch: &Launch<'_>) -> Option<FilledSlots> {
    let channel = launch.channel.map(|(channel, _)| channel);
    let standard = [launch.stdin, launch.stdout, launch.stderr];
    let all: Vec<BorrowedFd<'_>> =
        standard.into_iter().chain(launch.sockets.iter().copied()).chain(channel).collect();
    FilledSlots::with(&all, end_of_descriptors(launch))
}

/// The slots of the standard streams, and the slots of the other descriptors with their numbers in the child.
pub(super) fn slot_numbers(launch: &Launch<'_>, slots: &FilledSlots) -> ([RawFd; 3], Vec<(RawFd, RawFd)>) {
    let sockets = (HANDED..).take(launch.sockets.len());
    let targets = sockets.chain(launch.channel.map(|(_, number)| number));
    let others = targets.zip(3..).map(|(to, slot)| {
        // The numbers are small: see `end_of_descriptors`.
        (slots.number(slot), RawFd::try_from(to).unwrap_or(RawFd::MAX))
    });
    ([0, 1, 2].map(|slot| slots.number(slot)), others.collect())
}

pub(super) fn standard_streams(launch: &Launch<'_>) -> [RawFd; 3] {
    [launch.stdin, launch.stdout, launch.stderr].map(|stream| stream.as_raw_fd())
}

/// The descriptors of the child except its standard streams, with their numbers in the child. A source with the
/// number of a target is duplicated to a higher number, which `moved` keeps open.
pub(super) fn other_descriptors(
    launch: &Launch<'_>,
    moved: &mut Vec<OwnedFd>,
) -> Result<Vec<(RawFd, RawFd)>, Errno> {
    let end = end_of_descriptors(launch);
    let sockets = launch.sockets.iter().copied().zip(HANDED..);
    let all = sockets.chain(launch.channel);
    all.map(|(fd, to)| {
        let to = RawFd::try_from(to).map_err(|_| Errno::EMFILE)?;
        if fd.as_raw_fd() >= end {
            return Ok((fd.as_raw_fd(), to));
        }
        let fd = duplicate_above(fd, end)?;
        let number = fd.as_raw_fd();
        moved.push(fd);
        Ok((number, to))
    })
    .collect()
}

/// The first number above the descriptors of the child.
pub(super) fn end_of_descriptors(launch: &Launch<'_>) -> RawFd {
    let sockets = launch.sockets.len();
    let end = launch.channel.map_or(HANDED + sockets, |(_, number)| number + 1);
    RawFd::try_from(end).unwrap_or(RawFd::MAX)
}

/// Duplicates a descriptor to a number of at least `least` (`F_DUPFD_CLOEXEC`, fcntl(2)).
fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> Result<OwnedFd, Errno> {
    let fd = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the kernel has just created this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
