//! Decodes `rlimits`, `umask` and numbers that may be negative.
//!
//! These are procrun's own keys: they are read in the same way in every format.

use std::collections::BTreeMap;

use super::{
    suggest,
    tree::{Entry, Node, Value, shorten},
    value::{self, Complaint, Decoded, Dialect},
};
use crate::spec::{Allowance, Resource, Unit, validate::ALL_MODES};

/// Decodes a table of resources, each with one limit or `[soft, hard]`.
pub(super) fn rlimits(node: &Node, dialect: Dialect) -> Decoded<BTreeMap<Resource, Allowance>> {
    const WANTED: &str = "a table such as { nofile = 65536, core = 0 }";
    let Some(entries) = node.entries() else { return value::must_be(WANTED, node) };
    let (mut limits, mut complaints) = (BTreeMap::new(), Vec::new());
    for entry in set(entries, dialect) {
        let Some(resource) = Resource::ALL.into_iter().find(|resource| resource.name() == entry.key) else {
            complaints.push(Complaint { message: unknown(&entry.key), at: entry.at });
            continue;
        };
        match allowance(resource, &entry.node) {
            Ok(allowance) => drop(limits.insert(resource, allowance)),
            Err(more) => complaints.extend(more.into_iter().map(|complaint| Complaint {
                message: format!("has `{}`, which {}", entry.key, complaint.message),
                at: complaint.at.or(entry.node.at),
            })),
        }
    }
    if complaints.is_empty() { Ok(limits) } else { Err(complaints) }
}

/// The limits that have a value: TOML has no `null`, and an empty string is none only in PM2's formats.
pub(super) fn set(entries: &[Entry], dialect: Dialect) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(move |entry| !value::is_unset(&entry.node, dialect))
}

fn unknown(key: &str) -> String {
    let key = shorten(key);
    let names = Resource::ALL.map(Resource::name);
    match suggest::nearest(&key, names) {
        Some(name) => format!("has no limit `{key}`; did you mean `{name}`?"),
        None => format!("has no limit `{key}`; the limits are {}", names.join(", ")),
    }
}

fn allowance(resource: Resource, node: &Node) -> Decoded<Allowance> {
    let Value::List(items) = &node.value else {
        let both = amount(resource, node)?;
        return Ok(Allowance { soft: both, hard: both });
    };
    let [soft, hard] = &items[..] else {
        let message = format!("must be one limit or [soft, hard], not a list of {}", items.len());
        return value::complain(message);
    };
    let (soft, hard) = (amount(resource, soft)?, amount(resource, hard)?);
    if soft > hard {
        let (soft, hard) = (resource.amount(soft), resource.amount(hard));
        return value::complain(format!("sets the soft limit {soft} above its hard limit {hard}"));
    }
    Ok(Allowance { soft, hard })
}

fn amount(resource: Resource, node: &Node) -> Decoded<u64> {
    if matches!(&node.value, Value::Text(text) if matches!(text.trim(), "unlimited" | "infinity")) {
        return Ok(Allowance::UNLIMITED);
    }
    match resource.unit() {
        Unit::Bytes => value::size(node)
            .or_else(|_| value::must_be("bytes, a size such as \"8M\", or \"unlimited\"", node)),
        Unit::UpTo(most) => match value::count(node, 0, most) {
            Ok(count) => Ok(count.into()),
            Err(_) => value::must_be(&format!("a whole number from 0 to {most}, or \"unlimited\""), node),
        },
    }
}

/// Decodes a whole number from `min` to `max`.
pub(super) fn whole(node: &Node, min: i32, max: i32) -> Decoded<i32> {
    let number = match &node.value {
        Value::Integer(number) => i32::try_from(*number).ok(),
        Value::Text(text) => text.trim().parse().ok(),
        // All numbers of JavaScript are floating-point numbers.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "`as` saturates at its limits, which are out of range"
        )]
        Value::Float(number) if number.fract() == 0.0 => Some(*number as i32),
        _ => None,
    };
    match number.filter(|number| (min..=max).contains(number)) {
        Some(number) => Ok(number),
        None => value::must_be(&format!("a whole number from {min} to {max}"), node),
    }
}

/// Decodes permissions in octal: `"027"`, or TOML's `0o027`. Other numbers are errors: 27 may be meant in octal, as
/// in chmod(1), or in decimal.
pub(super) fn umask(node: &Node) -> Decoded<u32> {
    const WANTED: &str = "an octal string from \"000\" to \"777\"";
    let mask = match &node.value {
        Value::Text(text) => {
            let digits = text.trim();
            let digits = digits.strip_prefix("0o").unwrap_or(digits);
            // `from_str_radix` accepts a sign.
            Some(digits)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| u32::from_str_radix(digits, 8).ok())
        }
        Value::Integer(number) if node.octal => u32::try_from(*number).ok(),
        Value::Integer(number) => {
            return value::complain(format!("must be {WANTED}: the number {number} may be octal or decimal"));
        }
        _ => None,
    };
    match mask.filter(|mask| *mask <= ALL_MODES) {
        Some(mask) => Ok(mask),
        None => value::must_be(WANTED, node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Node {
        Node::new(Value::Text(text.into()), None)
    }

    fn number(number: i64) -> Node {
        Node::new(Value::Integer(number), None)
    }

    #[test]
    fn a_mask_is_octal_or_nothing() {
        for (written, mask) in
            [("027", 0o27), ("0027", 0o27), ("0o27", 0o27), ("77", 0o77), ("0", 0), ("777", 0o777)]
        {
            assert_eq!(umask(&text(written)), Ok(mask), "{written}");
        }
        for written in ["", "+22", "-1", "8", "1000", "0x1f", "u=rwx", "0o", "99999999999"] {
            assert!(umask(&text(written)).is_err(), "{written}");
        }
        assert_eq!(umask(&Node { octal: true, ..number(0o27) }), Ok(0o27));
        assert!(umask(&number(27)).is_err());
        assert!(umask(&Node { octal: true, ..number(0o1000) }).is_err());
    }

    #[test]
    fn numbers_below_zero_have_their_range() {
        assert_eq!(whole(&number(-20), -20, 19), Ok(-20));
        assert_eq!(whole(&text(" -5 "), -20, 19), Ok(-5));
        assert_eq!(whole(&Node::new(Value::Float(3.0), None), -20, 19), Ok(3));
        for node in [number(20), number(-21), number(i64::MAX), text("high"), text("1.5")] {
            assert!(whole(&node, -20, 19).is_err(), "{node:?}");
        }
        for float in [0.5, 1e30, f64::NAN, f64::INFINITY] {
            assert!(whole(&Node::new(Value::Float(float), None), -1000, 1000).is_err(), "{float}");
        }
    }

    #[test]
    fn limits_are_bytes_or_counts() {
        assert_eq!(amount(Resource::Stack, &text("8M")), Ok(8 << 20));
        assert_eq!(amount(Resource::Nofile, &number(65536)), Ok(65536));
        for unlimited in ["unlimited", "infinity"] {
            assert_eq!(amount(Resource::As, &text(unlimited)), Ok(Allowance::UNLIMITED));
        }
        for (resource, node) in [
            (Resource::Nofile, text("8M")),
            (Resource::Nofile, number(-1)),
            (Resource::Stack, text("8X")),
            (Resource::Nice, number(41)),
            (Resource::Rtprio, number(100)),
        ] {
            assert!(amount(resource, &node).is_err(), "{resource:?} {node:?}");
        }
    }
}
