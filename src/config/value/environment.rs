//! Environment variables.

use super::{
    super::tree::{ExpandedVariable, Node, Position, Value, shorten},
    dialect::{Complaint, Decoded, must_be},
    strings::scalar_text,
};

/// An environment variable in a table.
pub(in crate::config) struct Variable {
    pub(in crate::config) name: String,
    pub(in crate::config) value: String,
    pub(in crate::config) at: Option<Position>,
    pub(in crate::config) expanded: Vec<ExpandedVariable>,
}

/// Decodes a table of environment variables, in their order. Values become strings as in PM2.
pub(in crate::config) fn environment(node: &Node) -> Decoded<Vec<Variable>> {
    let Some(entries) = node.entries() else { return must_be("a table of names and values", node) };
    let (mut variables, mut complaints) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut complain = |message: String| complaints.push(Complaint { message, at: entry.at });
        let value = match &entry.node.value {
            Value::Date(date) => date.clone(),
            _ => scalar_text(&entry.node).unwrap_or_else(|| to_json(&entry.node)),
        };
        if entry.key.is_empty() {
            complain("has a variable without a name".to_owned());
        } else if entry.key.contains(['=', '\0']) {
            complain(format!("has the name `{}`, which is not valid for a variable", shorten(&entry.key)));
        } else if value.contains('\0') {
            complain(format!("has a NUL byte in `{}`", shorten(&entry.key)));
        } else {
            let (name, expanded) = (entry.key.clone(), entry.node.expanded.clone());
            variables.push(Variable { name, value, at: entry.at, expanded });
        }
    }
    if complaints.is_empty() { Ok(variables) } else { Err(complaints) }
}

/// The value as `JSON.stringify` writes it.
fn to_json(node: &Node) -> String {
    json_of(node).to_string()
}

/// The value as JSON.
pub(in crate::config) fn json_of(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null | Value::Broken => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) | Value::Date(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Table(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.node))).collect()
        }
    }
}
