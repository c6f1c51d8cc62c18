//! The pipes that carry the input and output of workers.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::{Gid, Uid, fchown, pipe2},
};

/// What procrun would like a pipe to hold: Node writes to a pipe asynchronously and loses what
/// does not fit when it calls `process.exit`.
const WANTED: usize = 1024 * 1024;
/// What the kernel gives without asking.
const DEFAULT: usize = 64 * 1024;
const PAGE: usize = 4096;
/// What procrun's own stdout and stderr may hold together.
const OWN: usize = 1024 * 1024;

/// Both ends of a pipe. The worker's end is blocking; procrun's is non-blocking, which is a property
/// of that end alone.
#[derive(Debug)]
pub struct Pipe {
    /// Where the bytes come out.
    pub read: OwnedFd,
    /// Where they go in.
    pub write: OwnedFd,
}

/// Shares the memory of pipes among the workers.
///
/// The kernel counts pipe memory by user: beyond `pipe-user-pages-soft` a user gets pipes of 8 KiB, in other
/// programs too. procrun uses at most half of it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Mutex<Shares>>);

#[derive(Debug)]
struct Shares {
    left: usize,
    expected: usize,
}

/// The memory of a pipe, given back to the budget when this is dropped.
#[derive(Debug)]
pub struct PipeMemory {
    bytes: usize,
    budget: Budget,
}

impl Budget {
    /// A budget for `expected` pipes, from the kernel's limit.
    pub fn new(expected: usize) -> Self {
        let pages = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft")
            .ok()
            .and_then(|text| text.trim().parse::<usize>().ok());
        let left = match pages {
            // 0: no limit. Unreadable: the kernel's default.
            Some(0) => usize::MAX,
            pages => (pages.unwrap_or(16384).saturating_mul(PAGE) / 2).saturating_sub(OWN),
        };
        Self(Arc::new(Mutex::new(Shares { left, expected })))
    }

    fn take(&self) -> PipeMemory {
        PipeMemory { bytes: self.lock().take(), budget: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PipeMemory {
    fn drop(&mut self) {
        let mut shares = self.budget.lock();
        shares.left = shares.left.saturating_add(self.bytes);
    }
}

impl Shares {
    /// The size of the next pipe: a fair share of what is left, a power of two.
    fn take(&mut self) -> usize {
        let share = self.left / self.expected.max(1);
        let size = if share >= WANTED { WANTED } else { prev_power_of_two(share).max(PAGE) };
        self.expected = self.expected.saturating_sub(1);
        self.left = self.left.saturating_sub(size);
        size
    }
}

fn prev_power_of_two(n: usize) -> usize {
    if n == 0 { 0 } else { 1 << n.ilog2() }
}

/// Creates a pipe within the budget, owned by `owner` so that the worker may open `/dev/stdout` again after a
/// change of user. Also returns its part of the budget.
///
/// # Errors
/// The error of pipe2(2) or fcntl(2). A refusal of the wanted size or owner is not an error.
pub fn open(budget: &Budget, owner: Option<(u32, u32)>) -> io::Result<(Pipe, PipeMemory)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let flags = OFlag::from_bits_retain(fcntl(read.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(read.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    let memory = budget.take();
    // `pipe-max-size` may allow less: then the most that is allowed, for an unprivileged user.
    let mut wanted = memory.bytes;
    while wanted != DEFAULT
        && fcntl(write.as_fd(), FcntlArg::F_SETPIPE_SZ(i32::try_from(wanted).unwrap_or(i32::MAX))).is_err()
        && wanted > DEFAULT
    {
        wanted /= 2;
    }
    if let Some((uid, gid)) = owner {
        // Without permission for this, the later change of user fails too, and reports it.
        let _ = fchown(write.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
    Ok((Pipe { read, write }, memory))
}

/// A pipe of the size that the kernel gives without asking, for a few words; otherwise as [`open`].
///
/// # Errors
/// The error of pipe2(2) or fcntl(2).
pub fn small(owner: Option<(u32, u32)>) -> io::Result<Pipe> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let flags = OFlag::from_bits_retain(fcntl(read.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(read.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    if let Some((uid, gid)) = owner {
        let _ = fchown(write.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
    Ok(Pipe { read, write })
}

/// A pipe that becomes the standard input of a worker: it reads (blocking), and the supervisor writes
/// (non-blocking). It holds one page, because the kernel counts the room of a pipe for its user
/// whether it is used or not (`pipe-user-pages-soft`): 1,000 workers take 4 MiB of it, not 64.
///
/// # Errors
/// The error of pipe2(2) or fcntl(2).
pub fn stdin(owner: Option<(u32, u32)>) -> io::Result<Pipe> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let flags = OFlag::from_bits_retain(fcntl(write.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(write.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    // A refusal leaves it as large as it is.
    let _ = fcntl(write.as_fd(), FcntlArg::F_SETPIPE_SZ(i32::try_from(PAGE).unwrap_or(i32::MAX)));
    if let Some((uid, gid)) = owner {
        let _ = fchown(read.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
    Ok(Pipe { read, write })
}

#[cfg(test)]
mod tests {
    use super::{PAGE, Shares, WANTED};

    #[test]
    fn few_workers_get_what_they_want_and_many_share_half_of_the_limit() {
        let mut few = Shares { left: 32 << 20, expected: 8 };
        assert!((0..8).all(|_| few.take() == WANTED));

        let mut many = Shares { left: 32 << 20, expected: 200 };
        let sizes: Vec<_> = (0..200).map(|_| many.take()).collect();
        assert!(sizes.iter().sum::<usize>() <= 32 << 20, "never more than the budget");
        assert!(sizes.iter().all(|size| *size >= 128 * 1024), "a fair share each");

        let mut crowd = Shares { left: 32 << 20, expected: 2000 };
        let sizes: Vec<_> = (0..2000).map(|_| crowd.take()).collect();
        assert!(sizes.iter().sum::<usize>() <= 32 << 20 && sizes.iter().all(|size| *size >= 8192));

        let mut exhausted = Shares { left: 0, expected: 0 };
        assert_eq!(exhausted.take(), PAGE);
    }
}
