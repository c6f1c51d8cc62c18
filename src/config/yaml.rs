//! YAML text → tree, from the events of a parser. Nothing recurses over the text, aliases are counted before they are
//! copied, and `<<` merges as in js-yaml.

use std::collections::HashMap;

use saphyr::{Scalar, ScanError};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::tree::{Entry, Flaw, MAX_DEPTH, Node, Position, TableBuilder, Value};

/// The maximum number of values from aliases in one file.
const ALIAS_BUDGET: usize = 10_000;

/// Parses one YAML document. An empty text is `Null`.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Flaw>> {
    document(text).map_err(|(at, message, hint)| {
        // The parser reports the consequence of a tab, which may be lines later.
        let tab = text.lines().enumerate().find_map(|(number, line)| {
            let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
            Some((number, indent.find('\t')?)).filter(|_| !line.trim().is_empty())
        });
        let count = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
        vec![match tab {
            Some((line, column)) => {
                let at = Position { line: count(line), column: count(column) };
                let hint = "YAML is indented with spaces: replace the tab".to_owned();
                (Some(at), "not valid YAML: a line is indented with a tab".to_owned(), Some(hint))
            }
            None => (at, message, hint),
        }]
    })
}

/// A list or table whose end is not reached.
struct Open {
    holds: Holds,
    at: Position,
    anchor: usize,
}

enum Holds {
    List(Vec<Node>),
    Table { table: TableBuilder, key: Option<Key>, merged: Vec<Node> },
}

/// A key whose value follows.
struct Key {
    text: String,
    at: Position,
    merge: bool,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    copied: usize,
    root: Option<Node>,
}

fn document(text: &str) -> Result<Node, Flaw> {
    let mut builder = Builder::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| flaw(&error))?;
        let at = position(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err((
                        Some(at),
                        "the file has a second document".into(),
                        Some("write one document per file".into()),
                    ));
                }
            }
            Event::Alias(anchor) => builder.alias(anchor, at)?,
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                let value = scalar(Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref()))
                    .ok_or_else(|| (Some(at), wrong_tag(tag.as_deref()), None))?;
                builder.put(Node::new(value, Some(at)), anchor, merge)?;
            }
            Event::SequenceStart(anchor, _) => builder.begin(Holds::List(Vec::new()), at, anchor)?,
            Event::MappingStart(anchor, _) => {
                let holds = Holds::Table { table: TableBuilder::default(), key: None, merged: Vec::new() };
                builder.begin(holds, at, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
        }
    }
    Ok(builder.root.unwrap_or(Node::new(Value::Null, None)))
}

fn position(marker: Marker) -> Position {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: count(marker.line()), column: count(marker.col() + 1) }
}

fn flaw(error: &ScanError) -> Flaw {
    (Some(position(*error.marker())), format!("not valid YAML: {}", error.info()), None)
}

fn wrong_tag(tag: Option<&Tag>) -> String {
    let tag = tag.map_or_else(String::new, |tag| format!(" `!!{}`", tag.suffix));
    format!("not valid YAML: the value does not match its tag{tag}")
}

fn scalar(scalar: Option<Scalar<'_>>) -> Option<Value> {
    Some(match scalar? {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(value),
        Scalar::Integer(value) => Value::Integer(value),
        Scalar::FloatingPoint(value) => Value::Float(value.into_inner()),
        Scalar::String(text) => Value::Text(text.into_owned()),
    })
}

impl Builder {
    fn begin(&mut self, holds: Holds, at: Position, anchor: usize) -> Result<(), Flaw> {
        if self.open.len() >= MAX_DEPTH {
            return Err((Some(at), format!("nested deeper than {MAX_DEPTH} levels"), None));
        }
        self.open.push(Open { holds, at, anchor });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Flaw> {
        let Some(Open { holds, at, anchor }) = self.open.pop() else { return Ok(()) };
        let value = match holds {
            Holds::List(items) => Value::List(items),
            Holds::Table { mut table, merged, .. } => {
                for node in merged {
                    merge(&mut table, node)?;
                }
                table.finish()
            }
        };
        self.put(Node::new(value, Some(at)), anchor, false)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Flaw> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err((Some(at), "an alias inside its own value".into(), None));
        };
        let (size, depth) = measure(node);
        self.copied += size;
        if self.copied > ALIAS_BUDGET {
            return Err((Some(at), format!("aliases stand for more than {ALIAS_BUDGET} values"), None));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err((Some(at), format!("nested deeper than {MAX_DEPTH} levels"), None));
        }
        let node = node.clone();
        self.put(node, 0, false)
    }

    /// Stores a complete value: in a list, as a key, as a value, or as the root.
    fn put(&mut self, node: Node, anchor: usize, is_merge: bool) -> Result<(), Flaw> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.holds) {
            None => self.root = Some(node),
            Some(Holds::List(items)) => items.push(node),
            Some(Holds::Table { table, key, merged }) => match key.take() {
                None => *key = Some(as_key(&node, is_merge)?),
                Some(Key { merge: true, .. }) => merged.push(node),
                Some(Key { text, at, .. }) => {
                    if table.insert(Entry { key: text.clone(), at: Some(at), node }).is_some() {
                        return Err((Some(at), format!("duplicate key `{text}`"), None));
                    }
                }
            },
        }
        Ok(())
    }
}

fn as_key(node: &Node, merge: bool) -> Result<Key, Flaw> {
    let text = match &node.value {
        Value::Text(text) | Value::Date(text) => text.clone(),
        Value::Null | Value::Broken => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::List(_) | Value::Table(_) => return Err((node.at, "a list or table as a key".into(), None)),
    };
    Ok(Key { text, at: node.at.unwrap_or(Position { line: 1, column: 1 }), merge })
}

/// `<<`: adds the entries of a mapping that the table itself does not have.
fn merge(table: &mut TableBuilder, from: Node) -> Result<(), Flaw> {
    match from.value {
        Value::Table(entries) => {
            for entry in entries {
                if !table.contains(&entry.key) {
                    table.insert(entry);
                }
            }
            Ok(())
        }
        Value::List(items) => {
            for item in items {
                if !matches!(item.value, Value::Table(_)) {
                    return Err((item.at, "`<<` merges mappings only".into(), None));
                }
                merge(table, item)?;
            }
            Ok(())
        }
        _ => Err((from.at, "`<<` merges mappings only".into(), None)),
    }
}

/// The number of values in a node, including itself, and their depth.
fn measure(node: &Node) -> (usize, usize) {
    let children: Vec<(usize, usize)> = match &node.value {
        Value::List(items) => items.iter().map(measure).collect(),
        Value::Table(entries) => entries.iter().map(|entry| measure(&entry.node)).collect(),
        _ => return (1, 0),
    };
    children.into_iter().fold((1, 1), |(size, depth), (more, deeper)| (size + more, depth.max(deeper + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_as_pm2_users_write_it() {
        let root = parse(
            "defaults: &d\n  env: {A: 1, on: yes}\n  watch: false\napps:\n  - <<: *d\n    name: api\n    watch: true\n    args: ['x', 2, ~]\n",
        )
        .unwrap();
        let Value::List(apps) = &root.get("apps").unwrap().node.value else { panic!("a list") };
        assert_eq!(apps[0].get("name").unwrap().node.at, Some(Position { line: 6, column: 11 }));
        assert_eq!(apps[0].get("name").unwrap().at, Some(Position { line: 6, column: 5 }));
        assert_eq!(apps[0].get("watch").unwrap().node.value, Value::Bool(true));
        let env = &apps[0].get("env").unwrap().node;
        assert_eq!(env.get("A").unwrap().node.value, Value::Integer(1));
        assert_eq!(env.get("on").unwrap().node.value, Value::Text("yes".into()));
    }

    #[test]
    fn hostile_yaml_fails_quickly() {
        let mut bomb = String::from("a: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..20 {
            let last = format!("*a{},", level - 1).repeat(10);
            bomb = format!("{bomb}b{level}: &a{level} [{last}]\n");
        }
        assert!(parse(&bomb).unwrap_err()[0].1.contains("aliases"));
        assert!(parse(&"- ".repeat(300_000)).is_err());
        assert!(parse(&"[".repeat(300_000)).is_err());
        assert!(parse("a: 1\na: 2\n").unwrap_err()[0].1.contains("duplicate key"));
        assert!(parse("a: 1\n---\nb: 2\n").unwrap_err()[0].1.contains("second document"));
        assert!(parse("? [a]\n: b\n").unwrap_err()[0].1.contains("as a key"));
        assert!(parse("a: &x [*x]\n").is_err());
        assert!(parse("a: *none\n").is_err());
        assert!(parse("<<: 3\n").unwrap_err()[0].1.contains("merges mappings"));
    }

    #[test]
    fn an_empty_text_is_null() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(parse(text).unwrap().value, Value::Null, "{text:?}");
        }
    }
}
