//! One value of the tree → one value that means something, or why it cannot be.
//!
//! Every function here answers for one kind of value, whatever key it stands under; the complaint
//! it gives follows the key's name ("`instances` must be …").

use std::{collections::BTreeSet, time::Duration};

use super::{
    cron::Wrong,
    tree::{Node, Position, Value, shorten},
};
use crate::{
    spec::{
        Instances, MemoryLimit, OomGuard, Pattern, PrincipalRef, Share, Signal,
        validate::{self, MAX_BYTES, MAX_DURATION, MAX_INSTANCES},
    },
    sys::{bounded_lookup::Lookups, zone},
};

/// Who is speaking: the same value is read a little differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The native format: strict, and texts are split as a shell would.
    Toml,
    /// A file of PM2's: what PM2 takes is taken, and what JavaScript holds for nothing is unset.
    Pm2,
    /// The command line: everything is text.
    Flag,
}

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    /// Where, if not where the value itself begins.
    pub(super) at: Option<Position>,
}

pub(super) type Decoded<T> = Result<T, Vec<Complaint>>;

pub(super) fn complain<T>(message: impl Into<String>) -> Decoded<T> {
    Err(vec![Complaint { message: message.into(), at: None }])
}

/// `must be …, not …`.
pub(super) fn must_be<T>(expected: &str, node: &Node) -> Decoded<T> {
    complain(format!("must be {expected}, not {}", node.value.describe()))
}

/// Nothing that counts: `null`, and in PM2's files and on the command line an empty text.
pub(super) fn is_unset(node: &Node, dialect: Dialect) -> bool {
    match &node.value {
        Value::Null | Value::Broken => true,
        Value::Text(text) => text.is_empty() && dialect == Dialect::Pm2,
        _ => false,
    }
}

/// What JavaScript holds for false.
pub(super) fn is_falsy(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Broken => true,
        Value::Bool(on) => !on,
        Value::Integer(number) => *number == 0,
        Value::Float(number) => *number == 0.0 || number.is_nan(),
        Value::Text(text) => text.is_empty(),
        Value::Date(_) | Value::List(_) | Value::Table(_) => false,
    }
}

/// A text without NUL bytes (the kernel's strings end there).
pub(super) fn text(node: &Node) -> Decoded<String> {
    match &node.value {
        Value::Text(text) => validate::kernel_string(text).map(|()| text.clone()).or_else(complain),
        _ => must_be("a string", node),
    }
}

/// A text that says something.
pub(super) fn full_text(node: &Node) -> Decoded<String> {
    let text = text(node)?;
    if text.trim().is_empty() { complain("must not be empty") } else { Ok(text) }
}

/// A text that is shown and compared: full, one line, without control characters.
pub(super) fn label(node: &Node) -> Decoded<String> {
    let text = full_text(node)?;
    validate::label(&text).map(|()| text).or_else(complain)
}

/// The name of an environment variable.
pub(super) fn variable(node: &Node) -> Decoded<String> {
    let name = full_text(node)?;
    if name.contains('=') { complain("cannot contain `=`") } else { Ok(name) }
}

/// `true` or `false`; as text only where all is text.
pub(super) fn switch(node: &Node, dialect: Dialect) -> Decoded<bool> {
    match &node.value {
        Value::Text(text) if dialect == Dialect::Flag && text == "true" => Ok(true),
        Value::Text(text) if dialect == Dialect::Flag && text == "false" => Ok(false),
        _ => written_switch(node).map_or_else(|| must_be("true or false", node), Ok),
    }
}

/// The same where a text means something else: a text is a switch only if a variable holds it.
pub(super) fn written_switch(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(value) => Some(*value),
        Value::Text(text) if !node.expanded.is_empty() => text.parse().ok(),
        _ => None,
    }
}

/// Whether the end of an application is the end of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndsContainer {
    Never,
    OnSuccess,
    OnFailure,
    Always,
}

/// True, false, or the condition.
pub(super) fn ends_container(node: &Node, dialect: Dialect) -> Decoded<EndsContainer> {
    match &node.value {
        Value::Text(text) if text == "on_success" => Ok(EndsContainer::OnSuccess),
        Value::Text(text) if text == "on_failure" => Ok(EndsContainer::OnFailure),
        _ => match switch(node, dialect) {
            Ok(true) => Ok(EndsContainer::Always),
            Ok(false) => Ok(EndsContainer::Never),
            Err(_) => must_be("true, false, \"on_success\" or \"on_failure\"", node),
        },
    }
}

/// A scalar as JavaScript would print it.
pub(super) fn scalar_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Broken => Some("null".to_owned()),
        Value::Date(_) | Value::List(_) | Value::Table(_) => None,
    }
}

/// A list of texts, or one.
pub(super) fn texts(node: &Node) -> Decoded<Vec<String>> {
    match &node.value {
        Value::Text(_) => Ok(vec![full_text(node)?]),
        Value::List(items) => items.iter().map(full_text).collect(),
        _ => must_be("a string or a list of strings", node),
    }
}

fn number(node: &Node) -> Option<f64> {
    match &node.value {
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 every range is left anyway")]
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A whole number in a range.
pub(super) fn count(node: &Node, min: u32, max: u32) -> Decoded<u32> {
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

/// The number of a range that is nearest to this one once its fraction is cut off; none for what is
/// no number or below the range.
pub(super) fn nearest_count(node: &Node, min: u32, max: u32) -> Option<u32> {
    let number = number(node).filter(|number| *number >= f64::from(min))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not below the range, and `as` ends at its limits"
    )]
    Some((number as u32).min(max))
}

/// Whether this is a number of milliseconds beyond [`MAX_DURATION`].
pub(super) fn is_too_long(node: &Node) -> bool {
    number(node).is_some_and(|milliseconds| milliseconds / 1000.0 > MAX_DURATION.as_secs_f64())
}

/// `300` (ms), `"300ms"`, `"5s"`, `"2m"`, `"1h"`; at most 30 days.
pub(super) fn duration(node: &Node) -> Decoded<Duration> {
    const WANTED: &str = "milliseconds or a duration such as \"300ms\", \"5s\", \"2m\" or \"1h\"";
    duration_in(node, 1.0, WANTED)
}

/// The same, or `"off"`, false or 0 for none.
pub(super) fn duration_or_off(node: &Node, dialect: Dialect) -> Decoded<Option<Duration>> {
    const WANTED: &str = "\"off\", milliseconds or a duration such as \"300ms\", \"5s\" or \"2m\"";
    let is_off =
        matches!(&node.value, Value::Text(text) if text == "off") || switch(node, dialect) == Ok(false);
    if is_off {
        return Ok(None);
    }
    Ok(Some(duration_in(node, 1.0, WANTED)?).filter(|duration| !duration.is_zero()))
}

/// The same, but a number without a unit is seconds.
pub(super) fn seconds(node: &Node) -> Decoded<Duration> {
    const WANTED: &str = "seconds or a duration such as \"300ms\", \"5s\", \"2m\" or \"1h\"";
    duration_in(node, 1000.0, WANTED)
}

/// `bare` is how many milliseconds a number without a unit counts.
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

/// `1048576`, `"300K"`, `"200M"`, `"1G"`, powers of 1024.
pub(super) fn size(node: &Node) -> Decoded<u64> {
    size_or(node, "bytes or a size such as \"300K\", \"200M\" or \"1G\"")
}

/// The same where something else may stand, too.
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
        return complain(format!("cannot be that big, it is {}", node.value.describe()));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just compared")]
    Ok(bytes as u64)
}

/// A size, or a share of the container's limit: `"80%"`. False and 0 are none. In TOML a small number without
/// a unit is an error: `300` is rarely meant as bytes.
pub(super) fn memory(node: &Node, dialect: Dialect) -> Decoded<Option<MemoryLimit>> {
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

/// Whether a size is written with its unit.
fn has_unit(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text.trim().ends_with(|c: char| c.is_ascii_alphabetic()))
}

/// True, false, or `"auto"` (none).
pub(super) fn auto_switch(node: &Node) -> Decoded<Option<bool>> {
    match (written_switch(node), &node.value) {
        (Some(on), _) => Ok(Some(on)),
        (None, Value::Text(word)) if word == "auto" => Ok(None),
        (None, _) => must_be("\"auto\", true or false", node),
    }
}

/// True, false, or a share of the container's limit.
pub(super) fn guard(node: &Node) -> Decoded<OomGuard> {
    if let Some(on) = written_switch(node) {
        return Ok(if on { OomGuard::default() } else { OomGuard::Off });
    }
    match share(node)? {
        Some(share) => Ok(OomGuard::At(share)),
        None => must_be("true, false or a share of the container's memory such as \"95%\"", node),
    }
}

/// A text that ends in `%`.
fn share(node: &Node) -> Decoded<Option<Share>> {
    let Value::Text(text) = &node.value else { return Ok(None) };
    let Some(percent) = text.trim().strip_suffix('%') else { return Ok(None) };
    match percent.trim().parse().ok().and_then(Share::percent) {
        Some(share) => Ok(Some(share)),
        None => must_be("a share from \"1%\" to \"100%\"", node),
    }
}

/// 1 to 1000, `"max"` or 0 for one per CPU, -1 for one less.
pub(super) fn instances(node: &Node, dialect: Dialect) -> Decoded<Instances> {
    const WANTED: &str =
        "a whole number up to 1000, 0 or \"max\" for one per CPU, or -N for one per CPU less N";
    if matches!(&node.value, Value::Text(text) if text.trim() == "max") {
        return Ok(Instances::CpusMinus(0));
    }
    let Some(number) = number(node).filter(|number| number.is_finite()) else { return must_be(WANTED, node) };
    let whole = match dialect {
        // `os.cpus().length / 2` can be 1.5, which PM2 cuts off; half a process is still one.
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

/// One exit code, a list of them, or a text with several.
pub(super) fn codes(node: &Node) -> Decoded<BTreeSet<u8>> {
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

/// The same in PM2's files, which may hold what never comes: that is dropped, and named.
pub(super) fn codes_of_pm2(node: &Node) -> Decoded<(BTreeSet<u8>, Option<String>)> {
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

/// A signal by name or number.
pub(super) fn signal(node: &Node) -> Decoded<Signal> {
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

/// A user or group: a number, or a name.
pub(super) fn principal(node: &Node) -> Decoded<PrincipalRef> {
    const WANTED: &str = "a name or a number from 0 to 4294967294";
    let by_number = |number: i64| match u32::try_from(number) {
        // (uid_t)-1 means "do not change" to the kernel.
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

/// An environment variable as it stands in a table.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) at: Option<Position>,
    pub(super) expanded: Vec<String>,
}

/// A table of environment variables, in their order; values as PM2 makes them text.
pub(super) fn environment(node: &Node) -> Decoded<Vec<Variable>> {
    let Some(entries) = node.entries() else { return must_be("a table of names and values", node) };
    let (mut variables, mut complaints) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut complain = |message: String| complaints.push(Complaint { message, at: entry.at });
        let value = match &entry.node.value {
            Value::Date(date) => date.clone(),
            _ => scalar_text(&entry.node).unwrap_or_else(|| to_json(&entry.node)),
        };
        if entry.key.is_empty() {
            complain("has a variable without a name".to_owned());
        } else if entry.key.contains(['=', '\0']) {
            complain(format!("has the name `{}`, which no variable can have", shorten(&entry.key)));
        } else if value.contains('\0') {
            complain(format!("has a NUL byte in `{}`", shorten(&entry.key)));
        } else {
            let (name, expanded) = (entry.key.clone(), entry.node.expanded.clone());
            variables.push(Variable { name, value, at: entry.at, expanded });
        }
    }
    if complaints.is_empty() { Ok(variables) } else { Err(complaints) }
}

/// As `JSON.stringify` writes it.
fn to_json(node: &Node) -> String {
    json_of(node).to_string()
}

/// A value as JSON.
pub(super) fn json_of(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null | Value::Broken => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) | Value::Date(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Table(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.node))).collect()
        }
    }
}

/// A cron pattern; 0 is none. `Err` inside: it is one, but says a time that never comes.
pub(super) fn cron(node: &Node) -> Decoded<Result<Option<Pattern>, String>> {
    match &node.value {
        Value::Integer(0) | Value::Bool(false) => Ok(Ok(None)),
        Value::Text(text) if text.trim() == "0" => Ok(Ok(None)),
        Value::Text(text) => match super::cron::parse(text) {
            Ok(pattern) => Ok(Ok(Some(pattern))),
            Err(Wrong::Never(never)) => Ok(Err(never)),
            Err(Wrong::Unreadable(wrong)) => complain(wrong),
        },
        _ => must_be("a cron pattern such as \"0 3 * * *\"", node),
    }
}

/// The name that the IANA gives a time zone. One whose file does not answer is accepted.
pub(super) fn zone(node: &Node) -> Decoded<String> {
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
