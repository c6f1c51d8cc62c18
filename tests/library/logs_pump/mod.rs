//! The log pump with real pipes and files: what arrives, in which order, and what happens when the
//! other side does not play along.

mod console;
mod files;
mod history;
mod pressure;
mod support;
