//! The specification of the applications, and the state machine that makes every decision about them.
//!
//! Pure: no clock, no file, no socket, no process and no runtime. Time comes in as an argument, and what is to be
//! done goes out as effects. The manifest has no crate that could do any of it, and clippy.toml forbids those parts of
//! std.

#![forbid(unsafe_code)]

pub mod machine;
pub mod spec;
