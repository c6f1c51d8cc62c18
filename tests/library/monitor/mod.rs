//! The figures of real process trees, and of recorded cgroups.

mod cgroups;
mod trees;
