//! Writes a tree as TOML that reads back as the same tree.
//!
//! It does not know the keys. TOML has no null: a null in a list or table is left out.

use std::fmt::Write as _;

use super::tree::{Entry, Value};

/// A string in quotes, with `$` doubled where `${VAR}` would be expanded.
pub(super) fn quoted(text: &str) -> String {
    let text = doubled(text);
    let plain = !text.chars().any(char::is_control);
    if plain && text.contains(['"', '\\']) && !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Only `${` and `$$` have a meaning in TOML: `$HOME` in a shell command is literal.
fn doubled(text: &str) -> String {
    let mut doubled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        doubled.push_str(&rest[..at]);
        rest = &rest[at..];
        let run = rest.bytes().take_while(|&byte| byte == b'$').count();
        let means_something = run > 1 || rest[run..].starts_with('{');
        doubled.extend(std::iter::repeat_n('$', if means_something { 2 * run } else { 1 }));
        rest = &rest[run..];
    }
    doubled + rest
}

/// A key, in quotes if necessary. Keys are not expanded.
pub(super) fn key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    // JSON escapes like TOML, except for DEL.
    serde_json::Value::from(key).to_string().replace('\u{7f}', "\\u007F")
}

/// A list of strings.
pub(super) fn texts(texts: &[String]) -> String {
    list(texts.iter().map(|text| quoted(text)))
}

/// A value on one line. `None` for null.
pub(super) fn value(of: &Value) -> Option<String> {
    Some(match of {
        Value::Null | Value::Broken => return None,
        Value::Bool(on) => on.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Text(text) | Value::Date(text) => quoted(text),
        Value::List(items) => list(items.iter().filter_map(|item| value(&item.value))),
        Value::Table(entries) => table(entries),
    })
}

fn float(number: f64) -> String {
    let text = format!("{number:?}");
    // Rust writes NaN in capitals.
    if number.is_nan() { "nan".to_owned() } else { text }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn table(entries: &[Entry]) -> String {
    let pairs = entries
        .iter()
        .filter_map(|entry| Some(format!("{} = {}", key(&entry.key), value(&entry.node.value)?)))
        .collect::<Vec<_>>();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{
        super::{toml, tree::Node},
        *,
    };

    #[test]
    fn strings_are_written_readably() {
        for (text, written) in [
            ("plain", "\"plain\""),
            ("echo $HOME", "\"echo $HOME\""),
            ("${HOME} $$ 5$", "\"$${HOME} $$$$ 5$\""),
            ("say \"hi\"", "'say \"hi\"'"),
            ("it's \"x\"", "\"it's \\\"x\\\"\""),
            ("a\nb\u{1b}", "\"a\\nb\\u001B\""),
        ] {
            assert_eq!(quoted(text), written);
        }
        assert_eq!(key("NODE_ENV"), "NODE_ENV");
        assert_eq!(key("a.b \"c\""), r#""a.b \"c\"""#);
    }

    /// The value after `key = …`, parsed as an ecosystem file.
    fn read(text: &str) -> Node {
        let (root, flaws) =
            toml::parse(text, &BTreeMap::new()).unwrap_or_else(|flaws| panic!("{text}: {flaws:?}"));
        assert_eq!(flaws, [], "{text}");
        let Value::Table(mut entries) = root.without_positions().value else { panic!("a table") };
        entries.remove(0).node
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_filter("it equals itself", |number| !number.is_nan()).prop_map(Value::Float),
            "[$${}'\"\\\\a-c\n\u{7f}é]{0,12}".prop_map(Value::Text),
            any::<String>().prop_map(Value::Text),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let node = inner.prop_map(|value| Node::new(value, None));
            prop_oneof![
                prop::collection::vec(node.clone(), 0..4).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), node, 0..4).prop_map(|entries| {
                    let entry = |(key, node)| Entry { key, at: None, node };
                    Value::Table(entries.into_iter().map(entry).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(written in values(), name in any::<String>()) {
            let text = format!("{} = {}\n", key(&name), value(&written).expect("no null in it"));
            prop_assert_eq!(read(&text).value, written);
        }
    }
}
