//! The order of starts and stops, with the real binary and real processes.

mod commands;
mod stack;
