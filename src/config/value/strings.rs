//! Strings.

use super::{
    super::tree::{Node, Value},
    dialect::{Decoded, complain, must_be},
};
use crate::spec::validate;

/// A string without NUL bytes, which end the strings of the kernel.
pub(in crate::config) fn text(node: &Node) -> Decoded<String> {
    match &node.value {
        Value::Text(text) => validate::kernel_string(text).map(|()| text.clone()).or_else(complain),
        _ => must_be("a string", node),
    }
}

/// A string that is not empty.
pub(in crate::config) fn full_text(node: &Node) -> Decoded<String> {
    let text = text(node)?;
    if text.trim().is_empty() { complain("must not be empty") } else { Ok(text) }
}

/// A string for display: not empty, one line, without control characters.
pub(in crate::config) fn label(node: &Node) -> Decoded<String> {
    let text = full_text(node)?;
    validate::label(&text).map(|()| text).or_else(complain)
}

/// The name of an environment variable.
pub(in crate::config) fn variable(node: &Node) -> Decoded<String> {
    let name = full_text(node)?;
    if name.contains('=') { complain("cannot contain `=`") } else { Ok(name) }
}

/// A scalar as JavaScript prints it.
pub(in crate::config) fn scalar_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Broken => Some("null".to_owned()),
        Value::Date(_) | Value::List(_) | Value::Table(_) => None,
    }
}

/// A string or a list of strings.
pub(in crate::config) fn texts(node: &Node) -> Decoded<Vec<String>> {
    match &node.value {
        Value::Text(_) => Ok(vec![full_text(node)?]),
        Value::List(items) => items.iter().map(full_text).collect(),
        _ => must_be("a string or a list of strings", node),
    }
}
