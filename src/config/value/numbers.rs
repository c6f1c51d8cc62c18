//! Whole numbers: counts, numbers of instances, exit codes.

use std::collections::BTreeSet;

use super::{
    super::tree::{Node, Value},
    dialect::{Complaint, Decoded, Dialect, must_be},
};
use crate::spec::{Instances, validate::MAX_INSTANCES};

pub(super) fn number(node: &Node) -> Option<f64> {
    match &node.value {
        #[expect(clippy::cast_precision_loss, reason = "no range includes numbers above 2^53")]
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A whole number from `min` to `max`.
pub(in crate::config) fn count(node: &Node, min: u32, max: u32) -> Decoded<u32> {
    let wanted = format!("a whole number from {min} to {max}");
    match number(node) {
        Some(number) if number.fract() == 0.0 && number >= f64::from(min) && number <= f64::from(max) =>
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just compared")]
            Ok(number as u32)
        }
        _ => must_be(&wanted, node),
    }
}

/// The number in the range that is nearest to this one without its fraction. `None`: it is not a number, or below the
/// range.
pub(in crate::config) fn nearest_count(node: &Node, min: u32, max: u32) -> Option<u32> {
    let number = number(node).filter(|number| *number >= f64::from(min))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not below the range, and `as` saturates"
    )]
    Some((number as u32).min(max))
}

/// 1 to 1000, `"max"` or 0 for one instance per CPU, -1 for one less.
pub(in crate::config) fn instances(node: &Node, dialect: Dialect) -> Decoded<Instances> {
    const WANTED: &str =
        "a whole number up to 1000, 0 or \"max\" for one per CPU, or -N for one per CPU less N";
    if matches!(&node.value, Value::Text(text) if text.trim() == "max") {
        return Ok(Instances::CpusMinus(0));
    }
    let Some(number) = number(node).filter(|number| number.is_finite()) else { return must_be(WANTED, node) };
    let whole = match dialect {
        // `os.cpus().length / 2` can be 1.5, which PM2 truncates; 0.5 still means one process.
        Dialect::Pm2 if number > 0.0 && number < 1.0 => 1.0,
        Dialect::Pm2 => number.trunc(),
        _ => number,
    };
    if whole.fract() != 0.0 || whole.abs() > f64::from(MAX_INSTANCES) {
        return must_be(WANTED, node);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just compared")]
    let magnitude = whole.abs() as u32;
    Ok(if whole > 0.0 { Instances::Count(magnitude) } else { Instances::CpusMinus(magnitude) })
}

/// An exit code, a list of them, or a string with several.
pub(in crate::config) fn codes(node: &Node) -> Decoded<BTreeSet<u8>> {
    let code = |node: &Node| count(node, 0, 255).map(|code| u8::try_from(code).expect("just compared"));
    match &node.value {
        Value::List(items) => {
            let (mut codes, mut complaints) = (BTreeSet::new(), Vec::new());
            for item in items {
                match codes_of_item(item, code) {
                    Ok(more) => codes.extend(more),
                    Err(more) => {
                        complaints.extend(more.into_iter().map(|c| Complaint { at: c.at.or(item.at), ..c }));
                    }
                }
            }
            if complaints.is_empty() { Ok(codes) } else { Err(complaints) }
        }
        _ => codes_of_item(node, code),
    }
}

/// Exit codes in PM2's files. Values that are not exit codes are dropped; the second result describes the first of
/// them.
pub(in crate::config) fn codes_of_pm2(node: &Node) -> Decoded<(BTreeSet<u8>, Option<String>)> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ if number(node).is_some() => std::slice::from_ref(node),
        _ => return codes(node).map(|codes| (codes, None)),
    };
    let (mut good, mut dropped) = (BTreeSet::new(), None);
    for item in items {
        match codes(item) {
            Ok(more) => good.extend(more),
            Err(_) => dropped = dropped.or_else(|| Some(item.value.describe())),
        }
    }
    Ok((good, dropped))
}

fn codes_of_item(node: &Node, code: impl Fn(&Node) -> Decoded<u8>) -> Decoded<BTreeSet<u8>> {
    match &node.value {
        Value::Text(text) => text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(|part| code(&Node::new(Value::Text(part.to_owned()), node.at)))
            .collect(),
        _ => code(node).map(|code| BTreeSet::from([code])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_node(text: &str) -> Node {
        Node::new(Value::Text(text.into()), None)
    }

    #[test]
    fn instance_counts() {
        let int = |number| Node::new(Value::Integer(number), None);
        let float = |number| Node::new(Value::Float(number), None);
        assert_eq!(instances(&int(4), Dialect::Toml), Ok(Instances::Count(4)));
        assert_eq!(instances(&int(0), Dialect::Toml), Ok(Instances::CpusMinus(0)));
        assert_eq!(instances(&int(-1), Dialect::Toml), Ok(Instances::CpusMinus(1)));
        assert_eq!(instances(&text_node("max"), Dialect::Flag), Ok(Instances::CpusMinus(0)));
        assert_eq!(instances(&text_node("4"), Dialect::Pm2), Ok(Instances::Count(4)));
        assert_eq!(instances(&float(1.5), Dialect::Pm2), Ok(Instances::Count(1)));
        assert_eq!(instances(&float(0.5), Dialect::Pm2), Ok(Instances::Count(1)));
        assert!(instances(&float(1.5), Dialect::Toml).is_err());
        for number in [1001, -1001, i64::MAX, i64::MIN] {
            assert!(instances(&int(number), Dialect::Toml).is_err(), "{number}");
        }
        for text in ["all", "1e9", "inf", "NaN"] {
            assert!(instances(&text_node(text), Dialect::Pm2).is_err(), "{text}");
        }
    }
}
