//! The figures of real process trees, and of recorded cgroups.

mod cgroups;
#[path = "../support/mod.rs"]
mod support;
mod trees;
