//! README.md and docs/ are true: what they show is run, and what they name exists. The pages themselves are read,
//! so an example that is added there is run here, or fails here if no test knows its kind. As root.
//!
//! What is not run here:
//! - The lines of `make`: this is a part of `make test`. The Makefile must have their targets, and
//!   what `make demo` runs is run.
//! - The lines of `docker` and of a Dockerfile, except its `CMD`: docker/try.sh builds the same files and
//!   runs them in real containers. That it does so, and that the lines fit together, is checked.
//! - What Kubernetes makes of a manifest. The commands in it are run.
//! - What the prose says of signals, restarts and exit codes: there are tests of each.

mod examples;
mod links;
mod names;
mod page;
mod schema;
mod shell;
use procrun_test_support as support;
