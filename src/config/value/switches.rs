//! Booleans, and values that unset a key.

use super::{
    super::tree::{Node, Value},
    dialect::{Decoded, Dialect, must_be},
};

/// Whether the value leaves its key unset: `null`, and in PM2's files the empty string.
pub(in crate::config) fn is_unset(node: &Node, dialect: Dialect) -> bool {
    match &node.value {
        Value::Null | Value::Broken => true,
        Value::Text(text) => text.is_empty() && dialect == Dialect::Pm2,
        _ => false,
    }
}

/// Whether the value is falsy in JavaScript.
pub(in crate::config) fn is_falsy(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Broken => true,
        Value::Bool(on) => !on,
        Value::Integer(number) => *number == 0,
        Value::Float(number) => *number == 0.0 || number.is_nan(),
        Value::Text(text) => text.is_empty(),
        Value::Date(_) | Value::List(_) | Value::Table(_) => false,
    }
}

/// `true` or `false`; as a string only on the command line.
pub(in crate::config) fn switch(node: &Node, dialect: Dialect) -> Decoded<bool> {
    match &node.value {
        Value::Text(text) if dialect == Dialect::Flag && text == "true" => Ok(true),
        Value::Text(text) if dialect == Dialect::Flag && text == "false" => Ok(false),
        _ => written_switch(node).map_or_else(|| must_be("true or false", node), Ok),
    }
}

/// The same for keys that also accept strings: a string is a boolean only if it comes from a variable.
pub(in crate::config) fn written_switch(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(value) => Some(*value),
        Value::Text(text) if !node.expanded.is_empty() => text.parse().ok(),
        _ => None,
    }
}

/// True, false, or `"auto"` (`None`).
pub(in crate::config) fn auto_switch(node: &Node) -> Decoded<Option<bool>> {
    match (written_switch(node), &node.value) {
        (Some(on), _) => Ok(Some(on)),
        (None, Value::Text(word)) if word == "auto" => Ok(None),
        (None, _) => must_be("\"auto\", true or false", node),
    }
}

/// Which exits of an application end the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum EndsContainer {
    Never,
    OnSuccess,
    OnFailure,
    Always,
}

/// True, false, `"on_success"` or `"on_failure"`.
pub(in crate::config) fn ends_container(node: &Node, dialect: Dialect) -> Decoded<EndsContainer> {
    match &node.value {
        Value::Text(text) if text == "on_success" => Ok(EndsContainer::OnSuccess),
        Value::Text(text) if text == "on_failure" => Ok(EndsContainer::OnFailure),
        _ => match switch(node, dialect) {
            Ok(true) => Ok(EndsContainer::Always),
            Ok(false) => Ok(EndsContainer::Never),
            Err(_) => must_be("true, false, \"on_success\" or \"on_failure\"", node),
        },
    }
}
