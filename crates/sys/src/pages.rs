//! A buffer of whole pages that can return its memory to the kernel and be used again.
//!
//! For buffers that are large for a moment and idle for hours: the allocator would keep their memory. Pages that were
//! never touched cost nothing. The length is fixed.

#![expect(unsafe_code, reason = "sys contains the system calls")]

use std::{
    io,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    slice,
};

use nix::libc;

/// Zeroed memory of `len` bytes, mapped by mmap(2). Only touched pages are resident.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: `Pages` owns its mapping alone, like a `Box<[u8]>`.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps `len` bytes; `len` must be more than 0.
    ///
    /// # Errors
    ///
    /// The error of mmap(2), in practice ENOMEM.
    pub fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a new private anonymous mapping touches no memory with another owner.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Returns the memory to the kernel (`MADV_DONTNEED`). The bytes read as zero afterwards.
    pub fn release(&mut self) {
        // SAFETY: the range is exactly the mapping that this value owns, no borrow of it exists (`&mut self`),
        // and its bytes may become zero.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_DONTNEED) };
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are mapped, initialised (zero) and owned by `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow the only one.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped; no borrow outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::Pages;

    #[test]
    fn released_pages_are_zero_and_usable_again() {
        let mut pages = Pages::new(64 * 1024).unwrap();
        pages.fill(7);
        pages.release();
        assert!(pages.iter().all(|byte| *byte == 0));
        pages[65_535] = 1;
        assert_eq!(pages.len(), 65_536);
        assert_eq!(pages[65_535], 1);
    }
}
