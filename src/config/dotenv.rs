//! The dotenv format of `env_file`, as the npm package `dotenv` and Docker understand it.
//!
//! `NAME=value` a line; `export` before it, comments, single, double and backtick quotes (which
//! may span lines), and in double quotes `\n \r \t \" \\`. Variables are not expanded.

/// One variable and the line it begins in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: u32,
}

/// Parses a dotenv text: its variables in their order, and the lines that are none, with why.
pub(super) fn parse(text: &str) -> (Vec<Variable>, Vec<(u32, String)>) {
    let mut reader = Reader { rest: text, line: 1 };
    let (mut variables, mut flaws) = (Vec::new(), Vec::new());
    while !reader.rest.is_empty() {
        let line = reader.line;
        match reader.statement() {
            Ok(Some((name, value))) => variables.push(Variable { name, value, line }),
            Ok(None) => {}
            Err(why) => flaws.push((line, why)),
        }
    }
    (variables, flaws)
}

struct Reader<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Reader<'a> {
    /// Eats one statement: one line, or more if a quoted value spans them.
    fn statement(&mut self) -> Result<Option<(String, String)>, String> {
        let line = self.rest.split('\n').next().unwrap_or_default();
        let start = line.trim_start();
        if start.is_empty() || start.starts_with('#') {
            self.eat_line();
            return Ok(None);
        }
        let declaration = match start.strip_prefix("export") {
            Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
            _ => start,
        };
        let Some((name, value)) = declaration.split_once('=') else {
            self.eat_line();
            return Err("expected `NAME=value`".to_owned());
        };
        let name = name.trim_end();
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(good) || name.starts_with(|c: char| c.is_ascii_digit()) {
            self.eat_line();
            return Err(format!("`{}` is no name of a variable", super::tree::shorten(name)));
        }
        let value = value.trim_start_matches([' ', '\t']);
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) else {
            self.eat_line();
            return Ok(Some((name.to_owned(), bare(value).to_owned())));
        };
        // From here on the value may go beyond its line, so offsets count in what is left.
        let begin = line.len() - value.len() + 1;
        let inside = &self.rest[begin..];
        let Some(end) = closing(inside, quote) else {
            self.eat_line();
            return Err(format!("the {quote} is never closed"));
        };
        let quoted = &inside[..end];
        self.skip(begin + end + 1);
        let trailing = self.eat_line().trim();
        if !trailing.is_empty() && !trailing.starts_with('#') {
            return Err(format!("`{}` after the closing {quote}", super::tree::shorten(trailing)));
        }
        let value = if quote == '"' { unescape(quoted) } else { quoted.replace("\r\n", "\n") };
        Ok(Some((name.to_owned(), value)))
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += u32::try_from(skipped.matches('\n').count()).unwrap_or(u32::MAX);
        self.rest = rest;
    }

    fn eat_line(&mut self) -> &'a str {
        let rest = self.rest;
        let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        self.skip(end);
        &rest[..end]
    }
}

/// An unquoted value ends at a comment that has a space before it.
fn bare(value: &str) -> &str {
    let comment = value
        .char_indices()
        .find(|&(at, c)| c == '#' && (at == 0 || value[..at].ends_with([' ', '\t'])))
        .map_or(value.len(), |(at, _)| at);
    value[..comment].trim()
}

fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == quote {
            return Some(at);
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some(c @ ('"' | '\\' | '$')) => plain.push(c),
            Some(c) => plain.extend(['\\', c]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, u32)> {
        let (variables, flaws) = parse(text);
        assert_eq!(flaws, [], "{text}");
        variables.into_iter().map(|v| (v.name, v.value, v.line)).collect()
    }

    #[test]
    fn the_forms_of_a_line() {
        for (text, value) in [
            ("A=1", "1"),
            ("A=", ""),
            ("A= ", ""),
            ("A=#c", ""),
            ("export A=1", "1"),
            ("  A = 1  ", "1"),
            ("A=1\r\n", "1"),
            ("A=a b # c", "a b"),
            ("A=a#b", "a#b"),
            ("A=x=y", "x=y"),
            ("A='a # b'", "a # b"),
            ("A='a\\n'", "a\\n"),
            ("A=\"a\\n\\\"b\\\" \\x\" # c", "a\n\"b\" \\x"),
            ("A=`it's \"x\"`", "it's \"x\""),
            ("A=\"one\ntwo\"", "one\ntwo"),
            ("A='one\r\ntwo'", "one\ntwo"),
            ("A=ü", "ü"),
            ("export=1", "1"),
        ] {
            let found = pairs(text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].1, value, "{text}");
        }
    }

    #[test]
    fn lines_are_counted_through_quotes() {
        let found = pairs("# first\n\nA=\"x\ny\n\"\nB=2\n");
        assert_eq!(found, [("A".into(), "x\ny\n".into(), 3), ("B".into(), "2".into(), 6)]);
    }

    #[test]
    fn every_bad_line_is_named_and_the_good_ones_stay() {
        let (variables, flaws) = parse("A=1\nnonsense\n1B=2\nC='x\nD=\"a\" b\n=x\nE=5\n");
        let names: Vec<_> = variables.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["A", "E"]);
        let lines: Vec<_> = flaws.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
    }

    proptest::proptest! {
        #[test]
        fn it_never_panics_and_always_ends(text in r#"[A-Z='"`#\\\n\r a-zü]{0,60}"#) {
            let _ = parse(&text);
        }
    }
}
