//! clone(2) into a cgroup (clone3(2), `CLONE_INTO_CGROUP`, Linux 5.7).
//!
//! The alternative is a child that writes its process id to `cgroup.procs`. Then the kernel waits until no process of
//! the machine forks, executes or exits, often for milliseconds. The C library has no function for clone3(2).

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;
use std::{
    ffi::{c_int, c_long, c_void},
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr,
};

use nix::libc;

use super::reap::Pid;

/// Whether this architecture is supported.
pub(super) const IS_SUPPORTED: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// From `linux/sched.h`, Linux 5.5.
const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
/// From `linux/sched.h`, Linux 5.7.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// `struct clone_args` of Linux 5.7.
#[repr(C, align(8))]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Like clone(2) with these flags and SIGCHLD, but the child starts in this cgroup and has no signal handlers:
/// signals that are not ignored have their default disposition.
///
/// # Errors
///
/// The error of clone3(2). Then there is no child.
///
/// # Safety
///
/// As clone(2): `run(argument)` is called in the child on `stack` (lower end and size), whose upper end is aligned to
/// 16 bytes, and never returns. With `CLONE_VM` the child shares the memory. `child` is a valid place for the process
/// id.
pub(super) unsafe fn clone(
    run: extern "C" fn(*mut c_void) -> c_int,
    stack: (*mut u8, usize),
    flags: c_int,
    argument: *mut c_void,
    child: *mut Pid,
    cgroup: BorrowedFd<'_>,
) -> io::Result<Pid> {
    let address = |pointer: *const c_void| pointer.expose_provenance() as u64;
    let arguments = CloneArgs {
        flags: u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP | CLONE_CLEAR_SIGHAND,
        pidfd: 0,
        child_tid: 0,
        parent_tid: address(child.cast_const().cast()),
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: address(stack.0.cast_const().cast()),
        stack_size: stack.1 as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: u64::from(cgroup.as_raw_fd().cast_unsigned()),
    };
    // SAFETY: as the caller promises.
    let result = unsafe { clone3(&arguments, run, argument) };
    match i32::try_from(result) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(error) => Err(io::Error::from_raw_os_error(-error)),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// # Safety
///
/// As [`clone`]. The child has the registers of the parent, except for the stack pointer.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
unsafe fn clone3(
    arguments: &CloneArgs,
    run: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> c_long {
    let result;
    // SAFETY: the child leaves this code by the call, which never returns; to the parent it is a system call.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") ptr::from_ref(arguments),
            in("rsi") size_of::<CloneArgs>(),
            in("r12") argument,
            in("r13") run,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            inlateout("x0") ptr::from_ref(arguments) => result,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
            in("x20") argument,
            in("x21") run,
        );
    }
    result
}

/// # Safety
///
/// No requirements.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(_: &CloneArgs, _: extern "C" fn(*mut c_void) -> c_int, _: *mut c_void) -> c_long {
    -c_long::from(libc::ENOSYS)
}
