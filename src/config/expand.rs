//! `${VAR}`, `${VAR:-default}` and `$$` in the strings of a TOML file.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::tree::ExpandedVariable;

/// The result of an expansion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Expansion {
    pub(super) text: String,
    /// The variables that were read, in order.
    pub(super) variables: Vec<ExpandedVariable>,
}

/// Why a string cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CannotExpand {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl CannotExpand {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some("write `$${` for a literal `${`".into()) }
    }
}

/// The maximum nesting of defaults that contain variables.
const MAX_NESTING: usize = 8;
/// The maximum length of the result in bytes.
const MAX_LENGTH: usize = 1024 * 1024;

/// Expands `${VAR}`, `${VAR:-default}` (unset or empty) and `$$`. Any other `$` is literal, so that shell commands
/// keep their variables.
pub(super) fn expand(
    text: &str,
    environment: &BTreeMap<OsString, OsString>,
) -> Result<Expansion, CannotExpand> {
    let mut expansion = Expansion::default();
    let rest = run(text, environment, &mut expansion, 0)?;
    debug_assert!(rest.is_empty(), "only a default ends at a brace");
    Ok(expansion)
}

/// Expands up to the end, or inside a default up to the closing brace. Returns the rest.
fn run<'a>(
    mut text: &'a str,
    environment: &BTreeMap<OsString, OsString>,
    into: &mut Expansion,
    nesting: usize,
) -> Result<&'a str, CannotExpand> {
    loop {
        let stop = if nesting > 0 { text.find(['$', '}']) } else { text.find('$') };
        let Some(at) = stop else {
            if nesting > 0 {
                return Err(CannotExpand::new("`${` without its closing `}`"));
            }
            into.text.push_str(text);
            return Ok("");
        };
        into.text.push_str(&text[..at]);
        text = &text[at..];
        if text.starts_with('}') {
            return Ok(text);
        }
        if let Some(rest) = text.strip_prefix("$$") {
            into.text.push('$');
            text = rest;
        } else if let Some(rest) = text.strip_prefix("${") {
            text = variable(rest, environment, into, nesting)?;
        } else {
            into.text.push('$');
            text = &text[1..];
        }
        if into.text.len() > MAX_LENGTH {
            return Err(CannotExpand { message: "longer than 1 MiB once expanded".into(), hint: None });
        }
    }
}

/// Expands one variable after its `${`. Returns the text after its `}`.
fn variable<'a>(
    text: &'a str,
    environment: &BTreeMap<OsString, OsString>,
    into: &mut Expansion,
    nesting: usize,
) -> Result<&'a str, CannotExpand> {
    if nesting >= MAX_NESTING {
        return Err(CannotExpand::new("variables nested too deeply"));
    }
    let length = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(CannotExpand::new("`${` without the name of a variable"));
    }
    let value = match environment.get(OsStr::new(name)) {
        None => None,
        Some(value) => Some(value.to_str().ok_or_else(|| CannotExpand {
            message: format!("the environment variable `{name}` is not UTF-8"),
            hint: None,
        })?),
    };
    if let Some(after) = rest.strip_prefix('}') {
        let Some(value) = value else {
            return Err(CannotExpand {
                message: format!("the environment variable `{name}` is not set"),
                hint: Some(format!(
                    "set it, or write `${{{name}:-default}}`; `$${{{name}}}` is a literal `${{{name}}}`"
                )),
            });
        };
        into.text.push_str(value);
        into.variables.push(ExpandedVariable { name: name.to_owned(), is_default: false });
        return Ok(after);
    }
    let Some(default) = rest.strip_prefix(":-") else {
        return Err(if rest.is_empty() {
            CannotExpand::new("`${` without its closing `}`")
        } else {
            CannotExpand::new(format!("`${{{name}` is followed by neither `}}` nor `:-default}}`"))
        });
    };
    let value = value.filter(|value| !value.is_empty());
    into.variables.push(ExpandedVariable { name: name.to_owned(), is_default: value.is_none() });
    // The default is always parsed, to find its end. An error in an unused default has no effect.
    let mut fallback = Expansion::default();
    let end = run(default, environment, &mut fallback, nesting + 1);
    if let Some(value) = value {
        into.text.push_str(value);
        let end = end.ok().or_else(|| skip_default(default));
        return end.map(|rest| &rest[1..]).ok_or_else(|| CannotExpand::new("`${` without its closing `}`"));
    }
    let end = end?;
    into.text.push_str(&fallback.text);
    into.variables.append(&mut fallback.variables);
    Ok(&end[1..])
}

/// Skips a default up to its closing brace.
fn skip_default(text: &str) -> Option<&str> {
    let mut open = 0_usize;
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if last == '$' => open += 1,
            '}' if open == 0 => return Some(&text[at..]),
            '}' => open -= 1,
            _ => {}
        }
        last = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, String> {
        let environment = [("PORT", "80"), ("EMPTY", ""), ("HOME", "/root")]
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .into();
        expand(text, &environment).map(|expansion| expansion.text).map_err(|wrong| wrong.message)
    }

    #[test]
    fn variables_defaults_and_literal_dollars() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${PORT}", "80"),
            ("a${PORT}b${PORT}", "a80b80"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-x y}", "x y"),
            ("${NONE:-}", ""),
            ("${NONE:-${PORT}}!", "80!"),
            ("${NONE:-${ALSO:-z}}", "z"),
            ("${PORT:-${NOT_SET}}", "80"),
            ("$${PORT}", "${PORT}"),
            ("$$$$", "$$"),
            ("$", "$"),
            ("$HOME costs 5$", "$HOME costs 5$"),
            ("}", "}"),
            ("ü${PORT}ü", "ü80ü"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn failed_expansions_have_a_reason() {
        for (text, expected) in [
            ("${NONE}", "the environment variable `NONE` is not set"),
            ("${", "`${` without the name of a variable"),
            ("${}", "`${` without the name of a variable"),
            ("${1}", "`${` without the name of a variable"),
            ("${PORT", "`${` without its closing `}`"),
            ("${NONE:-", "`${` without its closing `}`"),
            ("${PORT:-", "`${` without its closing `}`"),
            ("${PORT:?}", "`${PORT` is followed by neither `}` nor `:-default}`"),
            ("${NONE:-${ALSO}}", "the environment variable `ALSO` is not set"),
        ] {
            assert_eq!(with(text).unwrap_err(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn expansion_never_panics(text in r"[$${}A-Z:\-ü]{0,40}") {
            let _ = with(&text);
        }
    }
}
