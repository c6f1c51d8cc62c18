//! TOML text → tree, with `${VAR}` expanded in its strings.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::de::{DeTable, DeValue};

use super::{
    expand::expand,
    tree::{Entry, Flaw, Lines, MAX_DEPTH, Node, Position, Value},
};

/// Parses TOML. A string that cannot be expanded is `Broken` in the tree, and the second value has the error. The
/// returned error is for text that is not TOML.
pub(super) fn parse(
    text: &str,
    environment: &BTreeMap<OsString, OsString>,
) -> Result<(Node, Vec<Flaw>), Vec<Flaw>> {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let flaws = errors.iter().map(|error| {
            let at = error.span().map(|span| lines.position(span.start));
            let advice = "a table has each key once: remove one of them; each app has its own `[[apps]]`";
            let hint = (error.message() == "duplicate key").then_some(advice);
            (at, format!("not valid TOML: {}", error.message()), hint.map(str::to_owned))
        });
        return Err(flaws.collect());
    }
    let mut builder = Builder { lines, environment, flaws: Vec::new() };
    let span = table.span();
    let node = Node::new(builder.table(table.into_inner(), 0), Some(builder.lines.position(span.start)));
    Ok((node, builder.flaws))
}

struct Builder<'a> {
    lines: Lines<'a>,
    environment: &'a BTreeMap<OsString, OsString>,
    flaws: Vec<Flaw>,
}

impl Builder<'_> {
    fn table(&mut self, table: DeTable<'_>, depth: usize) -> Value {
        let entries = table.into_iter().map(|(key, value)| {
            let at = Some(self.lines.position(key.span().start));
            let place = self.lines.position(value.span().start);
            Entry {
                key: key.into_inner().into_owned(),
                at,
                node: self.node(value.into_inner(), place, depth + 1),
            }
        });
        Value::Table(entries.collect())
    }

    fn node(&mut self, value: DeValue<'_>, at: Position, depth: usize) -> Node {
        if depth > MAX_DEPTH {
            self.flaws.push((Some(at), format!("nested deeper than {MAX_DEPTH} levels"), None));
            return Node::new(Value::Broken, Some(at));
        }
        let mut expanded = Vec::new();
        let octal = matches!(&value, DeValue::Integer(number) if number.radix() == 8);
        let value = match value {
            DeValue::String(text) => match expand(&text, self.environment) {
                Ok(expansion) => {
                    expanded = expansion.variables;
                    Value::Text(expansion.text)
                }
                Err(wrong) => {
                    self.flaws.push((Some(at), wrong.message, wrong.hint));
                    Value::Broken
                }
            },
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Float(number.as_str().parse().unwrap_or(f64::INFINITY)),
            },
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(time) => Value::Date(time.to_string()),
            DeValue::Array(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| {
                        let at = self.lines.position(item.span().start);
                        self.node(item.into_inner(), at, depth + 1)
                    })
                    .collect(),
            ),
            DeValue::Table(table) => self.table(table, depth),
        };
        Node { value, at: Some(at), expanded, octal }
    }
}
