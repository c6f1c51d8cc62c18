//! The README is true: what it shows is run, and what it names is there. The page itself is read, so
//! an example that is added there is run here, or fails here if nothing here knows its kind. As root.
//!
//! What is not run here:
//! - The lines of `make`: this is a part of `make test`. That their targets are there is looked at, and
//!   what `make demo` runs is run.
//! - The lines of `docker` and of a Dockerfile, but for its `CMD`: docker/try.sh builds the same files and
//!   runs them in real containers. That it does, and that the lines fit together, is looked at.
//! - What the prose says of signals, restarts and exit codes: there are tests of each.

mod examples;
mod names;
mod page;
mod shell;
#[path = "../support/mod.rs"]
mod support;
