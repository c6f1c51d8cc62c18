//! The room of cli.
