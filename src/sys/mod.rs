//! The room of sys.

pub mod pages;
