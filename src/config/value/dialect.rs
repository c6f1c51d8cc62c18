//! The rules by which a value is read, and the errors of values.

use super::super::tree::{Node, Position};

/// The kind of source of a value. Some values are read differently in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Dialect {
    /// TOML: strict, and strings are split like a shell does.
    Toml,
    /// PM2's formats: accepts what PM2 accepts, and values that are falsy in JavaScript unset a key.
    Pm2,
    /// The command line: every value is a string.
    Flag,
}

/// Why a value is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct Complaint {
    pub(in crate::config) message: String,
    /// The position, if it is not that of the value itself.
    pub(in crate::config) at: Option<Position>,
}

pub(in crate::config) type Decoded<T> = Result<T, Vec<Complaint>>;

pub(in crate::config) fn complain<T>(message: impl Into<String>) -> Decoded<T> {
    Err(vec![Complaint { message: message.into(), at: None }])
}

/// `must be …, not …`.
pub(in crate::config) fn must_be<T>(expected: &str, node: &Node) -> Decoded<T> {
    complain(format!("must be {expected}, not {}", node.value.describe()))
}
