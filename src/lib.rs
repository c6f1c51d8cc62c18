//! procrun: a container init and process runtime.
//!
//! Data flows one way: `config` turns files, options and variables into a validated, immutable `spec`; the pure `machine`
//! decides; the `supervisor` carries the decisions out through `sys`; `logs` carries the output of the workers.
//! ARCHITECTURE.md has the code map: each module, its contents, and the modules that it may use.
//!
//! `spec` and `machine` are the package `procrun-core`, `sys` is `procrun-sys`: they can use only the packages
//! that they depend on.

#![forbid(unsafe_code)]

pub mod cli;
#[cfg(test)]
mod code_map;
pub mod config;
pub mod control;
#[cfg(test)]
mod generated_page;
pub mod health;
pub mod http;
pub mod logs;
pub mod monitor;
pub mod node;
pub mod program;
pub mod serve;
mod shown;
pub mod supervisor;
pub mod tui;
pub mod watch;
pub mod web;

pub use procrun_core::{machine, spec};
pub use procrun_sys as sys;
