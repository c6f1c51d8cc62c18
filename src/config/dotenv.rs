//! The dotenv format of `env_file`, parsed as by `parse` of the npm package `dotenv` (16 and 17).
//!
//! That parser is one regular expression, and its effects are part of the format:
//! - `NAME=value` or `NAME: value`, with or without `export`;
//! - an unquoted value ends at the first `#`;
//! - single, double and backtick quotes may span lines, and an unclosed quote is a normal character;
//! - only `\n` and `\r` are expanded, and only in double quotes; `\r` ends a line too;
//! - everything else is skipped, so there are no errors: the caller reports the skipped lines;
//! - variables are not expanded.

/// A variable and the number of its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: u32,
}

/// Parses a dotenv text. Returns its variables in their order, and the numbers of the skipped lines, except empty
/// lines and comments.
pub(super) fn parse(text: &str) -> (Vec<Variable>, Vec<u32>) {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut variables, mut skipped) = (Vec::new(), Vec::new());
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let begin = after_space(&text, at);
        line += newlines(&text[at..begin]);
        at = begin;
        let end = if let Some(statement) = statement(&text, begin) {
            variables.push(Variable { name: statement.name.to_owned(), value: statement.value, line });
            // The next statement begins on its own line.
            end_of_line(&text, statement.end)
        } else {
            if !text[begin..].starts_with('#') && begin < text.len() {
                skipped.push(line);
            }
            end_of_line(&text, begin)
        };
        line += newlines(&text[at..end]);
        at = end;
    }
    (variables, skipped)
}

struct Statement<'a> {
    name: &'a str,
    value: String,
    /// The offset after the statement and its comment.
    end: usize,
}

/// The statement at the offset `begin`, where no space is.
fn statement(text: &str, begin: usize) -> Option<Statement<'_>> {
    let exported = text[begin..].strip_prefix("export").map(|_| after_space(text, begin + "export".len()));
    let (name, separated) = exported
        .filter(|&at| at > begin + "export".len())
        .and_then(|at| assignment(text, at))
        .or_else(|| assignment(text, begin))?;
    let (value_end, end) = quoted(text, after_space(text, separated)).unwrap_or_else(|| {
        let bare = text[separated..].find(['#', '\n']).map_or(text.len(), |length| separated + length);
        // A comment or the end of the line follows.
        (bare, end_of_statement(text, bare).unwrap_or(bare))
    });
    let raw = &text[separated..value_end];
    Some(Statement { name, value: unquoted(raw.trim_matches(is_space)), end })
}

/// The name at `at`, and the offset after its `=` or `: `.
fn assignment(text: &str, at: usize) -> Option<(&str, usize)> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let length = text[at..].find(|c| !of_name(c)).unwrap_or(text.len() - at);
    let (name, end) = (&text[at..at + length], at + length);
    let equals = after_space(text, end);
    let separated = if text[equals..].starts_with('=') {
        equals + 1
    } else {
        let behind = text[end..].strip_prefix(':')?;
        end + 1 + behind.chars().next().filter(|&c| is_space(c))?.len_utf8()
    };
    (!name.is_empty()).then_some((name, separated))
}

/// The end of the quoted part at `at` and the end of the whole statement. `None`: the quote is not closed, or more
/// than a comment follows on its line.
fn quoted(text: &str, at: usize) -> Option<(usize, usize)> {
    let quote = text[at..].chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let begin = at + 1;
    let mut escaped = Vec::new();
    let mut closing = None;
    for (found, _) in text[begin..].match_indices(quote) {
        let found = begin + found;
        if found > begin && text.as_bytes()[found - 1] == b'\\' {
            escaped.push(found);
        } else {
            closing = Some(found);
            break;
        }
    }
    // An escaped quote closes the value if no other quote does.
    let candidates = closing.into_iter().chain(escaped.into_iter().rev());
    candidates.map(|close| close + 1).find_map(|end| Some((end, end_of_statement(text, end)?)))
}

/// The end of a statement whose value ends at `at`: after a comment, or at the end of the line or of the empty lines
/// that follow.
fn end_of_statement(text: &str, at: usize) -> Option<usize> {
    let next = after_space(text, at);
    if next == text.len() {
        return Some(next);
    }
    if text[next..].starts_with('#') {
        return Some(text[next..].find('\n').map_or(text.len(), |length| next + length));
    }
    text[at..next].rfind('\n').map(|newline| at + newline)
}

/// The value without its quotes, with its newlines expanded.
fn unquoted(value: &str) -> String {
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) else {
        return value.to_owned();
    };
    let inner = value[1..].strip_suffix(quote).unwrap_or(value);
    if quote == '"' { inner.replace("\\n", "\n").replace("\\r", "\r") } else { inner.to_owned() }
}

/// JavaScript's `\s`.
fn is_space(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

fn after_space(text: &str, at: usize) -> usize {
    text[at..].find(|c| !is_space(c)).map_or(text.len(), |length| at + length)
}

fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |length| at + length + 1)
}

fn newlines(text: &str) -> u32 {
    u32::try_from(memchr::memchr_iter(b'\n', text.as_bytes()).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of dotenv 17.4 for the same texts.
    const AS_DOTENV: &[(&str, &[(&str, &str)])] = &[
        ("A=1", &[("A", "1")]),
        ("A=", &[("A", "")]),
        ("A= ", &[("A", "")]),
        ("A=#c", &[("A", "")]),
        ("A=a#b", &[("A", "a")]),
        ("A=a b # c", &[("A", "a b")]),
        ("A = 1 ", &[("A", "1")]),
        ("  A=1", &[("A", "1")]),
        ("export A=1", &[("A", "1")]),
        ("export  A = 1", &[("A", "1")]),
        ("export=1", &[("export", "1")]),
        ("export = 1", &[("export", "1")]),
        ("exportA=1", &[("exportA", "1")]),
        ("A: 1", &[("A", "1")]),
        ("A:1", &[]),
        ("A:\nB", &[("A", "B")]),
        ("A : 1", &[]),
        ("A=x=y", &[("A", "x=y")]),
        ("1A=2", &[("1A", "2")]),
        ("a.b-c=3", &[("a.b-c", "3")]),
        ("A='a # b'", &[("A", "a # b")]),
        ("A='a\\n'", &[("A", "a\\n")]),
        ("A=\"a\\n\\tb\"", &[("A", "a\n\\tb")]),
        ("A=\"a\\\"b\"", &[("A", "a\\\"b")]),
        ("A=\"a\\\\nb\"", &[("A", "a\\\nb")]),
        ("A=`it's \"x\"`", &[("A", "it's \"x\"")]),
        ("A=\"one\ntwo\"", &[("A", "one\ntwo")]),
        ("A='one\r\ntwo'", &[("A", "one\ntwo")]),
        ("A=1\rB=2", &[("A", "1"), ("B", "2")]),
        ("A=1\r\n\r\nB=2", &[("A", "1"), ("B", "2")]),
        ("A=\"open\nB=2", &[("A", "\"open"), ("B", "2")]),
        ("A='it's", &[("A", "'it's")]),
        ("A=\"a\" b", &[("A", "\"a\" b")]),
        ("A=\"a\" # b", &[("A", "a")]),
        ("A=\"a\"#b", &[("A", "a")]),
        ("A=\n'x'", &[("A", "x")]),
        ("A=\nB=2", &[("A", ""), ("B", "2")]),
        ("A\n=1", &[("A", "1")]),
        ("nonsense\nB=2", &[("B", "2")]),
        ("A=ü", &[("A", "ü")]),
        ("\u{feff}A=1", &[("A", "1")]),
        ("A='a' 'b'", &[("A", "a' 'b")]),
        ("A=\"a#b", &[("A", "\"a")]),
        ("A=\"a\\\"", &[("A", "a\\")]),
        ("A=\"\"", &[("A", "")]),
        ("A='", &[("A", "'")]),
        ("A=\"\\\"\\\" x", &[("A", "\"\\\"\\\" x")]),
        ("export\nA=1", &[("A", "1")]),
        ("A=1\nA=2", &[("A", "1"), ("A", "2")]),
        ("A=\u{a0}1\u{a0}", &[("A", "1")]),
        ("A=`a\nb` # c\n\n\nB=1", &[("A", "a\nb"), ("B", "1")]),
        ("A='\\'' #x'", &[("A", "\\'")]),
        ("# A=1\n  #B=2\nC=3", &[("C", "3")]),
        ("A=\"x\\r\\ny\"", &[("A", "x\r\ny")]),
        ("A=\\n", &[("A", "\\n")]),
        ("A='a\"", &[("A", "'a\"")]),
        ("A=\"a'\"", &[("A", "a'")]),
        ("A=\"b\" \n\n # c\nB='1'", &[("A", "b"), ("B", "1")]),
        ("A=  \"pad\"  ", &[("A", "pad")]),
        ("A=\" pad \"", &[("A", " pad ")]),
        ("A==1", &[("A", "=1")]),
        ("A=:", &[("A", ":")]),
        ("A:: 1", &[]),
        ("A=$B ${B}", &[("A", "$B ${B}")]),
    ];

    #[test]
    fn every_form_is_read_as_dotenv_reads_it() {
        for (text, expected) in AS_DOTENV {
            let (variables, _) = parse(text);
            let found: Vec<_> = variables.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect();
            assert_eq!(found, *expected, "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted_through_quotes() {
        let (variables, skipped) = parse("# first\r\n\nA=\"x\ny\n\"\rB=2\n\n no\nC\n=3\n#\n");
        let lines: Vec<_> = variables.iter().map(|v| (v.name.as_str(), v.line)).collect();
        assert_eq!(lines, [("A", 3), ("B", 6), ("C", 9)]);
        assert_eq!(skipped, [8]);
    }

    #[test]
    fn skipped_lines_are_reported_and_the_others_parsed() {
        let (variables, skipped) = parse("A=1\nnonsense\n?=x\nB:2\n'C'\nE=5\n? = 1");
        let names: Vec<_> = variables.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["A", "E"]);
        assert_eq!(skipped, [2, 3, 4, 5, 7]);
    }

    proptest::proptest! {
        #[test]
        fn it_never_panics_and_always_ends(text in r#"[A-Z='"`#:\\\n\r a-zü\u{feff}]{0,60}"#) {
            let _ = parse(&text);
        }
    }
}
