//! Arguments: a list of strings, or one string that is split as a shell does or as PM2 does.

use super::{
    tree::{Node, Value},
    value::{Complaint, Decoded, Dialect, complain, must_be, scalar_text, text},
};

/// Decodes a list of arguments, or one string that is split.
pub(super) fn words(node: &Node, dialect: Dialect) -> Decoded<Vec<String>> {
    match &node.value {
        Value::List(items) => {
            let (mut words, mut complaints) = (Vec::new(), Vec::new());
            for item in items {
                match scalar_text(item) {
                    Some(text) if text.contains('\0') => {
                        complaints.push(Complaint { message: "contains a NUL byte".into(), at: item.at });
                    }
                    Some(text) => words.push(text),
                    None => complaints.push(Complaint {
                        message: format!("must contain strings only, not {}", item.value.describe()),
                        at: item.at,
                    }),
                }
            }
            if complaints.is_empty() { Ok(words) } else { Err(complaints) }
        }
        Value::Text(_) => {
            let text = text(node)?;
            match dialect {
                Dialect::Toml => match shlex::split(&text) {
                    Some(words) => Ok(words),
                    None => complain("has a quote that is never closed"),
                },
                Dialect::Pm2 | Dialect::Flag => Ok(split_as_pm2(&text)),
            }
        }
        Value::Integer(_) | Value::Float(_) if dialect != Dialect::Toml => {
            Ok(scalar_text(node).into_iter().collect())
        }
        _ => must_be("a string or a list of strings", node),
    }
}

/// Splits like PM2 (`lib/tools/Config.js`): at spaces outside of quotes. Quotes around a whole word are removed,
/// quotes after `name=` are kept.
fn split_as_pm2(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = quoted_assignment(rest)
            .or_else(|| if matches!(first, '"' | '\'') { closed(rest, 0) } else { None })
            .unwrap_or_else(|| rest.find(char::is_whitespace).unwrap_or(rest.len()));
        let word = &rest[..end];
        let inner = ['"', '\'']
            .iter()
            .find_map(|&quote| word.strip_prefix(quote)?.strip_suffix(quote))
            .unwrap_or(word);
        if !inner.trim().is_empty() {
            words.push(inner.to_owned());
        }
        rest = rest[end..].trim_start();
    }
    words
}

/// The end of `name="a b"` at the start of a string.
fn quoted_assignment(text: &str) -> Option<usize> {
    let equals = text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '='))?;
    (equals > 0 && text[equals..].starts_with('=')).then(|| closed(text, equals + 1))?
}

/// The end of the quoted part that begins at `at`.
fn closed(text: &str, at: usize) -> Option<usize> {
    let quote = text[at..].chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[at + 1..].find(quote).map(|end| at + 1 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_node(text: &str) -> Node {
        Node::new(Value::Text(text.into()), None)
    }

    #[test]
    fn arguments_are_split_as_pm2_splits_them() {
        for (text, expected) in [
            ("--port 80", &["--port", "80"][..]),
            ("  a   b ", &["a", "b"]),
            ("-c 'echo hi' x", &["-c", "echo hi", "x"]),
            ("--x=\"a b\" y", &["--x=\"a b\"", "y"]),
            ("\"a b\" '' c", &["a b", "c"]),
            ("it's", &["it's"]),
            ("'open end", &["'open", "end"]),
            ("a=b=\"c d\"", &["a=b=\"c", "d\""]),
            ("", &[]),
        ] {
            assert_eq!(split_as_pm2(text), expected, "{text}");
        }
        assert_eq!(words(&text_node("--x=\"a b\""), Dialect::Toml), Ok(vec!["--x=a b".to_owned()]));
        assert!(words(&text_node("'open"), Dialect::Toml).is_err());
    }
}
