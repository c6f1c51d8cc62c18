//! Placeholders in values, for what differs between the instances of an application.
//!
//! A placeholder is exactly one of these words. Every other brace is literal, because arguments and variables
//! contain JSON, templates and formats of other programs.

use std::{borrow::Cow, fmt::Display};

/// The number of the instance in its application, from 0. In arguments, variables and paths.
pub const INSTANCE: &str = "{instance}";
/// The id of the instance in the list. In paths only.
pub const ID: &str = "{id}";
/// The name of the application. In paths only.
pub const NAME: &str = "{name}";

/// Whether a path contains a placeholder.
pub fn is_in(path: &str) -> bool {
    [INSTANCE, ID, NAME].iter().any(|placeholder| path.contains(placeholder))
}

/// An argument or the value of a variable for the instance with this number.
pub fn in_value(text: &str, number: u32) -> Cow<'_, str> {
    if !text.contains(INSTANCE) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(replaced(text, &[(INSTANCE, &number)]))
}

/// A path for one instance of the application `name`.
pub fn in_path(path: &str, name: &str, number: impl Display, id: impl Display) -> String {
    // A slash in a name would lead into another directory.
    let name = name.replace('/', "_");
    replaced(path, &[(INSTANCE, &number), (ID, &id), (NAME, &name)])
}

/// Replaces each placeholder by its value, and one in doubled braces (`{{instance}}`) by the placeholder itself.
fn replaced(text: &str, values: &[(&str, &dyn Display)]) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        done.push_str(&rest[..at]);
        rest = &rest[at..];
        let escaped = rest.strip_prefix('{').and_then(|inner| {
            let (placeholder, _) = values.iter().find(|(placeholder, _)| inner.starts_with(placeholder))?;
            Some((*placeholder, inner[placeholder.len()..].strip_prefix('}')?))
        });
        let plain =
            values.iter().find_map(|(placeholder, value)| Some((value, rest.strip_prefix(placeholder)?)));
        if let Some((placeholder, after)) = escaped {
            done.push_str(placeholder);
            rest = after;
        } else if let Some((value, after)) = plain {
            done.push_str(&value.to_string());
            rest = after;
        } else {
            done.push('{');
            rest = &rest[1..];
        }
    }
    done.push_str(rest);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_replaced_and_every_other_brace_stays() {
        for (text, expected) in [
            ("--port=300{instance}", "--port=3002"),
            ("{instance}{instance}", "22"),
            ("{{instance}}", "{instance}"),
            ("{{{instance}}}", "{{instance}}"),
            ("{{instance}-{instance}", "{2-2"),
            (r#"{"a":{"b":{}}} {instance}"#, r#"{"a":{"b":{}}} 2"#),
            ("{id} {name} {Instance} { instance }", "{id} {name} {Instance} { instance }"),
            ("{{ .Names }} {instance", "{{ .Names }} {instance"),
            ("{", "{"),
            ("", ""),
        ] {
            assert_eq!(in_value(text, 2), expected, "{text}");
        }
    }

    #[test]
    fn a_file_has_the_name_and_the_id_of_its_instance() {
        assert_eq!(in_path("/run/{name}-{instance}-{id}.pid", "api", 1, 7), "/run/api-1-7.pid");
        assert_eq!(in_path("{name}.log", "../x", 1, 7), ".._x.log");
        assert_eq!(in_path("{{id}}.log", "api", 1, 7), "{id}.log");
        assert!(is_in("{id}.log") && is_in("a{name}") && !is_in("{x}"));
    }
}
