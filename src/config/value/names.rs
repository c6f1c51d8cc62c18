//! Names of signals, users and time zones, and cron patterns.

use super::{
    super::{
        cron::{self, PatternError},
        tree::{Node, Value},
    },
    dialect::{Decoded, complain, must_be},
    strings::label,
};
use crate::{
    spec::{Pattern, PrincipalRef, Signal},
    sys::{bounded_lookup::Lookups, zone},
};

/// A signal by name or number.
pub(in crate::config) fn signal(node: &Node) -> Decoded<Signal> {
    let signal = match &node.value {
        Value::Text(text) => Signal::parse(text),
        Value::Integer(number) => i32::try_from(*number).ok().and_then(Signal::from_number),
        _ => None,
    };
    match signal {
        Some(signal) => Ok(signal),
        None => must_be("a signal such as \"SIGTERM\" or 15", node),
    }
}

/// A user or group by number or name.
pub(in crate::config) fn principal(node: &Node) -> Decoded<PrincipalRef> {
    const WANTED: &str = "a name or a number from 0 to 4294967294";
    let by_number = |number: i64| match u32::try_from(number) {
        // The kernel reads (uid_t)-1 as "do not change" (setresuid(2)).
        Ok(id) if id != u32::MAX => Ok(PrincipalRef::Id(id)),
        _ => must_be(WANTED, node),
    };
    match &node.value {
        Value::Integer(number) => by_number(*number),
        Value::Text(text) => match text.trim().parse::<i64>() {
            Ok(number) => by_number(number),
            Err(_) => match label(node)? {
                name if name.contains([':', '/']) => must_be(WANTED, node),
                name => Ok(PrincipalRef::Name(name)),
            },
        },
        _ => must_be(WANTED, node),
    }
}

/// A cron pattern; 0 is `None`. The inner error: the pattern never matches.
pub(in crate::config) fn cron(node: &Node) -> Decoded<Result<Option<Pattern>, String>> {
    match &node.value {
        Value::Integer(0) | Value::Bool(false) => Ok(Ok(None)),
        Value::Text(text) if text.trim() == "0" => Ok(Ok(None)),
        Value::Text(text) => match cron::parse(text) {
            Ok(pattern) => Ok(Ok(Some(pattern))),
            Err(PatternError::NeverMatches(never)) => Ok(Err(never)),
            Err(PatternError::Invalid(wrong)) => complain(wrong),
        },
        _ => must_be("a cron pattern such as \"0 3 * * *\"", node),
    }
}

/// The IANA name of a time zone. A zone whose file does not respond is accepted.
pub(in crate::config) fn zone(node: &Node) -> Decoded<String> {
    let name = label(node)?;
    let is_missing = zone::built_in(&name).is_none()
        && zone::file(&name).is_none_or(|file| {
            let theirs = name.clone();
            let is_missing = move || matches!(zone::named(&theirs), Ok(None));
            Lookups::default().run(&file, is_missing).unwrap_or(false)
        });
    if is_missing { must_be("a time zone such as \"Europe/Berlin\"", node) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::codes, *};

    fn text_node(text: &str) -> Node {
        Node::new(Value::Text(text.into()), None)
    }

    #[test]
    fn exit_codes_users_and_signals() {
        assert_eq!(codes(&text_node("0, 1 2")), Ok(BTreeSet::from([0, 1, 2])));
        assert!(codes(&text_node("256")).is_err());
        assert_eq!(principal(&text_node("33")), Ok(PrincipalRef::Id(33)));
        assert_eq!(principal(&text_node("www-data")), Ok(PrincipalRef::Name("www-data".into())));
        for text in ["-1", "4294967295", "", "a:b"] {
            assert!(principal(&text_node(text)).is_err(), "{text}");
        }
        assert_eq!(signal(&Node::new(Value::Integer(15), None)), Ok(Signal::TERM));
        assert!(signal(&text_node("SIGNOPE")).is_err());
    }
}
