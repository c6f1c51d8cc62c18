//! The memory that the pump reads into. After a big read, this memory itself is kept in the recent lines.
//!
//! It tracks how much of the memory was touched, since untouched pages cost nothing. It never reads.

use std::{io, ops::Deref};

use crate::sys::pages::Pages;

/// The maximum size of a read.
pub(super) const INPUT: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Input {
    pages: Pages,
    touched: usize,
}

impl Input {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { pages: Pages::new(INPUT)?, touched: 0 })
    }

    /// The memory to read to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.pages
    }

    /// Records that this number of bytes was read.
    pub(super) fn touch(&mut self, count: usize) {
        self.touched = self.touched.max(count);
    }

    /// The buffer's size in memory, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.touched.next_multiple_of(4096)
    }

    /// Returns the memory to the kernel.
    pub(super) fn release(&mut self) {
        self.pages.release();
        self.touched = 0;
    }
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages
    }
}
