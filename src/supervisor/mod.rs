//! The room of supervisor.
