//! Pipes for the input and output of workers.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::{Gid, Uid, fchown, pipe2},
};

/// The preferred size of a pipe in bytes. Node writes to a pipe asynchronously, and `process.exit` loses what does
/// not fit.
const PREFERRED_SIZE: usize = 1024 * 1024;
/// The kernel's default size of a pipe in bytes (pipe(7)).
const DEFAULT_SIZE: usize = 64 * 1024;
const PAGE_SIZE: usize = 4096;
/// The memory for procrun's own stdout and stderr together, in bytes.
const OWN_PIPES: usize = 1024 * 1024;

/// Both ends of a pipe. The worker's end is blocking and procrun's end is non-blocking; `O_NONBLOCK` belongs to one
/// end alone.
#[derive(Debug)]
pub struct Pipe {
    /// The end for reading.
    pub read: OwnedFd,
    /// The end for writing.
    pub write: OwnedFd,
}

/// Distributes the memory for pipes among the workers.
///
/// The kernel counts pipe memory by user: above `pipe-user-pages-soft` all programs of the user get pipes of two
/// pages only (pipe(7)). procrun uses at most half of that limit.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Mutex<Shares>>);

#[derive(Debug)]
struct Shares {
    left: usize,
    expected: usize,
}

/// The memory of one pipe. Dropping it returns the memory to the budget.
#[derive(Debug)]
pub struct PipeMemory {
    bytes: usize,
    budget: Budget,
}

impl Budget {
    /// A budget for `expected` pipes, by the kernel's limit.
    pub fn new(expected: usize) -> Self {
        let pages = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft")
            .ok()
            .and_then(|text| text.trim().parse::<usize>().ok());
        let left = match pages {
            // 0 is no limit. If the file is unreadable, the kernel's default applies.
            Some(0) => usize::MAX,
            pages => (pages.unwrap_or(16384).saturating_mul(PAGE_SIZE) / 2).saturating_sub(OWN_PIPES),
        };
        Self(Arc::new(Mutex::new(Shares { left, expected })))
    }

    fn take(&self) -> PipeMemory {
        PipeMemory { bytes: self.lock().take(), budget: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        // No code panics while it holds the lock.
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
    /// The size of the next pipe in bytes: an equal share of the rest, rounded down to a power of two.
    fn take(&mut self) -> usize {
        let share = self.left / self.expected.max(1);
        let size =
            if share >= PREFERRED_SIZE { PREFERRED_SIZE } else { prev_power_of_two(share).max(PAGE_SIZE) };
        self.expected = self.expected.saturating_sub(1);
        self.left = self.left.saturating_sub(size);
        size
    }
}

fn prev_power_of_two(n: usize) -> usize {
    if n == 0 { 0 } else { 1 << n.ilog2() }
}

/// Creates a pipe within the budget. It belongs to `owner` (user id, group id), so that the worker can open
/// `/dev/stdout` after the change of user. Also returns the memory of the pipe.
///
/// # Errors
///
/// The error of pipe2(2) or fcntl(2). A refused size or owner is not an error.
pub fn open(budget: &Budget, owner: Option<(u32, u32)>) -> io::Result<(Pipe, PipeMemory)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let flags = OFlag::from_bits_retain(fcntl(read.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(read.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    let memory = budget.take();
    // `pipe-max-size` may allow less to an unprivileged user: then the largest allowed size.
    let mut size = memory.bytes;
    while size != DEFAULT_SIZE
        && fcntl(write.as_fd(), FcntlArg::F_SETPIPE_SZ(i32::try_from(size).unwrap_or(i32::MAX))).is_err()
        && size > DEFAULT_SIZE
    {
        size /= 2;
    }
    if let Some((uid, gid)) = owner {
        // If this is not permitted, the later change of user fails too and reports the reason.
        let _ = fchown(write.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
    Ok((Pipe { read, write }, memory))
}

/// Creates a pipe of the kernel's default size, otherwise as [`open`].
///
/// # Errors
///
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

/// Creates a pipe for the standard input of a worker. The end of the worker is blocking, the end of the supervisor
/// non-blocking. Its size is one page, because the kernel counts the full size of a pipe for its user
/// (`pipe-user-pages-soft`): 1,000 workers need 4 MiB, not 64 MiB.
///
/// # Errors
///
/// The error of pipe2(2) or fcntl(2).
pub fn stdin(owner: Option<(u32, u32)>) -> io::Result<Pipe> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let flags = OFlag::from_bits_retain(fcntl(write.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(write.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    // If the size is refused, the pipe keeps its default size.
    let _ = fcntl(write.as_fd(), FcntlArg::F_SETPIPE_SZ(i32::try_from(PAGE_SIZE).unwrap_or(i32::MAX)));
    if let Some((uid, gid)) = owner {
        let _ = fchown(read.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
    Ok(Pipe { read, write })
}

#[cfg(test)]
mod tests {
    use super::{PAGE_SIZE, PREFERRED_SIZE, Shares};

    #[test]
    fn few_workers_get_large_pipes_and_many_share_half_of_the_limit() {
        let mut few = Shares { left: 32 << 20, expected: 8 };
        assert!((0..8).all(|_| few.take() == PREFERRED_SIZE));

        let mut many = Shares { left: 32 << 20, expected: 200 };
        let sizes: Vec<_> = (0..200).map(|_| many.take()).collect();
        assert!(sizes.iter().sum::<usize>() <= 32 << 20, "never more than the budget");
        assert!(sizes.iter().all(|size| *size >= 128 * 1024), "a fair share each");

        let mut crowd = Shares { left: 32 << 20, expected: 2000 };
        let sizes: Vec<_> = (0..2000).map(|_| crowd.take()).collect();
        assert!(sizes.iter().sum::<usize>() <= 32 << 20 && sizes.iter().all(|size| *size >= 8192));

        let mut exhausted = Shares { left: 0, expected: 0 };
        assert_eq!(exhausted.take(), PAGE_SIZE);
    }
}
