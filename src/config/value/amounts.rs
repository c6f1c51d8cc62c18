//! Amounts with a unit: durations, sizes, shares.

use std::time::Duration;

use super::{
    super::tree::{Node, Value},
    dialect::{Decoded, Dialect, complain, must_be},
    numbers::number,
    switches::{switch, written_switch},
};
use crate::spec::{
    MemoryLimit, OomGuard, Share,
    validate::{MAX_BYTES, MAX_DURATION},
};

/// Whether this is a number of milliseconds above [`MAX_DURATION`].
pub(in crate::config) fn is_too_long(node: &Node) -> bool {
    number(node).is_some_and(|milliseconds| milliseconds / 1000.0 > MAX_DURATION.as_secs_f64())
}

/// Decodes `300` (ms), `"300ms"`, `"5s"`, `"2m"` or `"1h"`; at most 30 days.
pub(in crate::config) fn duration(node: &Node) -> Decoded<Duration> {
    const WANTED: &str = "milliseconds or a duration such as \"300ms\", \"5s\", \"2m\" or \"1h\"";
    duration_in(node, 1.0, WANTED)
}

/// A duration, or `None` for `"off"`, false and 0.
pub(in crate::config) fn duration_or_off(node: &Node, dialect: Dialect) -> Decoded<Option<Duration>> {
    const WANTED: &str = "\"off\", milliseconds or a duration such as \"300ms\", \"5s\" or \"2m\"";
    let is_off =
        matches!(&node.value, Value::Text(text) if text == "off") || switch(node, dialect) == Ok(false);
    if is_off {
        return Ok(None);
    }
    Ok(Some(duration_in(node, 1.0, WANTED)?).filter(|duration| !duration.is_zero()))
}

/// A duration; a number without a unit is in seconds.
pub(in crate::config) fn seconds(node: &Node) -> Decoded<Duration> {
    const WANTED: &str = "seconds or a duration such as \"300ms\", \"5s\", \"2m\" or \"1h\"";
    duration_in(node, 1000.0, WANTED)
}

/// `bare` is the number of milliseconds of 1 without a unit.
fn duration_in(node: &Node, bare: f64, wanted: &str) -> Decoded<Duration> {
    let milliseconds = match &node.value {
        Value::Text(text) => {
            let text = text.trim();
            let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
            let (amount, unit) = text.split_at(unit);
            let factor = match unit {
                "" => bare,
                "ms" => 1.0,
                "s" => 1000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return must_be(wanted, node),
            };
            amount.trim().parse::<f64>().ok().map(|amount| amount * factor)
        }
        _ => number(node).map(|number| number * bare),
    };
    let Some(milliseconds) = milliseconds.filter(|number| !number.is_nan()) else {
        return must_be(wanted, node);
    };
    if milliseconds < 0.0 {
        return complain(format!("cannot be negative, it is {}", node.value.describe()));
    }
    match Duration::try_from_secs_f64(milliseconds / 1000.0) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => complain(format!("cannot be longer than 30 days, it is {}", node.value.describe())),
    }
}

/// Decodes `1048576`, `"300K"`, `"200M"` or `"1G"`, with powers of 1024.
pub(in crate::config) fn size(node: &Node) -> Decoded<u64> {
    size_or(node, "bytes or a size such as \"300K\", \"200M\" or \"1G\"")
}

/// A size. `wanted` lists all forms that the key accepts.
fn size_or(node: &Node, wanted: &str) -> Decoded<u64> {
    let bytes = match &node.value {
        Value::Text(text) => {
            let text = text.trim();
            let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
            let (amount, unit) = text.split_at(unit);
            let unit = unit.to_ascii_uppercase();
            let factor = match unit.strip_suffix("IB").or(unit.strip_suffix('B')).unwrap_or(&unit) {
                "" => 1.0,
                "K" => 1024.0,
                "M" => 1024.0 * 1024.0,
                "G" => 1024.0 * 1024.0 * 1024.0,
                _ => return must_be(wanted, node),
            };
            amount.trim().parse::<f64>().ok().map(|amount| amount * factor)
        }
        _ => number(node),
    };
    let Some(bytes) = bytes.filter(|number| !number.is_nan()) else { return must_be(wanted, node) };
    if bytes < 0.0 {
        return complain(format!("cannot be negative, it is {}", node.value.describe()));
    }
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    if bytes > MAX_BYTES as f64 {
        return complain(format!("is too large: it is {}", node.value.describe()));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just compared")]
    Ok(bytes as u64)
}

/// A size, or a share of the container's memory limit: `"80%"`. False and 0 are `None`. In TOML a small number
/// without a unit is an error, because `300` is rarely meant in bytes.
pub(in crate::config) fn memory(node: &Node, dialect: Dialect) -> Decoded<Option<MemoryLimit>> {
    if matches!(node.value, Value::Bool(false)) {
        return Ok(None);
    }
    if let Some(share) = share(node)? {
        return Ok(Some(MemoryLimit::Share(share)));
    }
    match size_or(node, "bytes, a size such as \"300M\" or \"1G\", or a share such as \"80%\"")? {
        0 => Ok(None),
        bytes if bytes < MemoryLimit::MIN_BYTES && dialect == Dialect::Toml && !has_unit(node) => {
            complain(format!("needs a unit, it is {}; \"300M\" is 300 MB", node.value.describe()))
        }
        bytes => Ok(Some(MemoryLimit::Bytes(bytes))),
    }
}

/// Whether a size is written with a unit.
fn has_unit(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text.trim().ends_with(|c: char| c.is_ascii_alphabetic()))
}

/// True, false, or a share of the container's memory limit.
pub(in crate::config) fn guard(node: &Node) -> Decoded<OomGuard> {
    if let Some(on) = written_switch(node) {
        return Ok(if on { OomGuard::default() } else { OomGuard::Off });
    }
    match share(node)? {
        Some(share) => Ok(OomGuard::At(share)),
        None => must_be("true, false or a share of the container's memory such as \"95%\"", node),
    }
}

/// A string that ends with `%`. `None`: it has another form.
fn share(node: &Node) -> Decoded<Option<Share>> {
    let Value::Text(text) = &node.value else { return Ok(None) };
    let Some(percent) = text.trim().strip_suffix('%') else { return Ok(None) };
    match percent.trim().parse().ok().and_then(Share::percent) {
        Some(share) => Ok(Some(share)),
        None => must_be("a share from \"1%\" to \"100%\"", node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_node(text: &str) -> Node {
        Node::new(Value::Text(text.into()), None)
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("300", 300),
            ("300ms", 300),
            ("5s", 5000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            (" 1 s ", 1000),
        ] {
            assert_eq!(duration(&text_node(text)), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(duration(&Node::new(Value::Integer(1600), None)), Ok(Duration::from_millis(1600)));
        for text in ["", "s", "5 d", "-1", "-1s", "1e300h", "31000h", "inf", "NaN", "5s5"] {
            assert!(duration(&text_node(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_may_be_off() {
        let off = |value| duration_or_off(&Node::new(value, None), Dialect::Toml);
        for value in [Value::Text("off".to_owned()), Value::Bool(false), Value::Integer(0)] {
            assert_eq!(off(value), Ok(None));
        }
        assert_eq!(off(Value::Text("5s".to_owned())), Ok(Some(Duration::from_secs(5))));
        for value in [Value::Text("on".to_owned()), Value::Bool(true), Value::Integer(-1)] {
            assert!(off(value).is_err());
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1024", 1024),
            ("300K", 307_200),
            ("200M", 209_715_200),
            ("1G", 1 << 30),
            ("1.5k", 1536),
            ("10MiB", 10 << 20),
            ("7b", 7),
        ] {
            assert_eq!(size(&text_node(text)), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1T", "1e30", "80%"] {
            assert!(size(&text_node(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_of_memory() {
        let share = |percent| Some(MemoryLimit::Share(Share::percent(percent).unwrap()));
        let pm2 = |text: &str| memory(&text_node(text), Dialect::Pm2);
        let memory = |node: &Node| memory(node, Dialect::Toml);
        assert_eq!(memory(&text_node("80%")), Ok(share(80.0)));
        assert_eq!(memory(&text_node(" 37.5 % ")), Ok(share(37.5)));
        assert_eq!(memory(&text_node("200M")), Ok(Some(MemoryLimit::Bytes(200 << 20))));
        assert_eq!(memory(&text_node("0")), Ok(None));
        assert_eq!(memory(&text_node("1K")), Ok(Some(MemoryLimit::Bytes(1024))));
        assert_eq!(pm2("300"), Ok(Some(MemoryLimit::Bytes(300))));
        for text in ["180%", "0%", "%", "x%", "300", "many", "-5M", "1e30", ""] {
            assert!(memory(&text_node(text)).is_err(), "{text}");
        }
        let bool = |on| Node::new(Value::Bool(on), None);
        assert_eq!(memory(&bool(false)), Ok(None));
        assert!(memory(&bool(true)).is_err());
        assert_eq!(guard(&bool(false)), Ok(OomGuard::Off));
        assert_eq!(guard(&bool(true)), Ok(OomGuard::default()));
        assert_eq!(guard(&text_node("90%")), Ok(OomGuard::At(Share::percent(90.0).unwrap())));
        for text in ["yes", "101%", "200M"] {
            assert!(guard(&text_node(text)).is_err(), "{text}");
        }
    }
}
