//! The room of machine.

pub mod frame;
