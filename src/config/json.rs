//! Parses JSON as PM2 reads it: with comments, trailing commas, single quotes and bare keys.

use jsonc_parser::{
    CollectOptions, ParseOptions, ast, common::Ranged as _, errors::ParseErrorKind, parse_to_ast,
};

use super::tree::{Entry, Flaw, Lines, MAX_DEPTH, Node, TableBuilder, Value, shorten};

/// Parses JSON. An empty text is `Null`. If a table repeats a key, the last value applies, as in JavaScript; the
/// second result has a warning for each.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Flaw>), Vec<Flaw>> {
    let lines = Lines::new(text);
    let options = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options).map_err(|error| {
        let message = format!("not valid JSON: {}", error.kind().to_string().to_lowercase());
        let hint = matches!(error.kind(), ParseErrorKind::UnexpectedWord | ParseErrorKind::UnexpectedToken)
            .then(|| "JSON has no expressions: write the value, or name the file `….config.js`".to_owned());
        vec![(Some(lines.position(error.range().start)), message, hint)]
    })?;
    match parsed.value {
        None => Ok((Node::new(Value::Null, None), Vec::new())),
        Some(value) => {
            let mut repeated = Vec::new();
            let root = node(value, &lines, 0, &mut repeated).map_err(|flaw| vec![flaw])?;
            Ok((root, repeated))
        }
    }
}

fn node(
    value: ast::Value<'_>,
    lines: &Lines<'_>,
    depth: usize,
    repeated: &mut Vec<Flaw>,
) -> Result<Node, Flaw> {
    let at = Some(lines.position(value.start()));
    if depth > MAX_DEPTH {
        return Err((at, format!("nested deeper than {MAX_DEPTH} levels"), None));
    }
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => number(literal.value),
        ast::Value::StringLit(literal) => Value::Text(literal.value.into_owned()),
        ast::Value::Array(array) => Value::List(
            array
                .elements
                .into_iter()
                .map(|item| node(item, lines, depth + 1, repeated))
                .collect::<Result<_, _>>()?,
        ),
        ast::Value::Object(object) => {
            let mut table = TableBuilder::default();
            for property in object.properties {
                let at = Some(lines.position(property.start()));
                let node = node(property.value, lines, depth + 1, repeated)?;
                let key = property.name.into_string();
                if let Some(earlier) = table.insert(Entry { key: key.clone(), at, node })
                    && repeated.len() < MAX_DEPTH
                {
                    let line = earlier.at.map_or_else(String::new, |at| format!(" in line {}", at.line));
                    let message =
                        format!("duplicate key `{}`: this value is used, not the one{line}", shorten(&key));
                    repeated.push((at, message, None));
                }
            }
            table.finish()
        }
    };
    Ok(Node::new(value, at))
}

fn number(text: &str) -> Value {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => digits.parse::<i64>().ok(),
    };
    if let Some(magnitude) = magnitude {
        return Value::Integer(if negative { -magnitude } else { magnitude });
    }
    let magnitude = digits.parse::<f64>().unwrap_or(f64::NAN);
    Value::Float(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::Position;

    #[test]
    fn json_as_pm2_writes_it() {
        let root = parse(
            "// apps\n{\n  apps: [{ 'name': 'a', \"args\": [1, -2, 0x10, .5,], /* x */ n: null, t: true, },],\n}\n",
        )
        .unwrap()
        .0;
        let Value::List(apps) = &root.get("apps").unwrap().node.value else { panic!("a list") };
        assert_eq!(apps[0].get("name").unwrap().node.value, Value::Text("a".into()));
        assert_eq!(apps[0].get("name").unwrap().at, Some(Position { line: 3, column: 12 }));
        let Value::List(args) = &apps[0].get("args").unwrap().node.value else { panic!("a list") };
        let values: Vec<_> = args.iter().map(|node| node.value.clone()).collect();
        assert_eq!(values, [Value::Integer(1), Value::Integer(-2), Value::Integer(16), Value::Float(0.5)]);
    }

    #[test]
    fn json_errors_have_a_position() {
        let (at, message, hint) = parse("{\n  \"a\": process.env.X\n}").unwrap_err().remove(0);
        assert_eq!(at, Some(Position { line: 2, column: 8 }));
        assert!(message.starts_with("not valid JSON"), "{message}");
        assert!(hint.is_some());
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(parse(&deep).unwrap_err()[0].1.contains("deep"));
        assert!(parse(&"[".repeat(200_000)).is_err());
    }
}
