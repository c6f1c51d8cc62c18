//! The room of logs.
