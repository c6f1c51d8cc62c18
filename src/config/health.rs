//! Decodes `health` and `readiness` to probes.
//!
//! Only the text is checked: whether a port or a program exists shows when the app starts.

use std::{net::IpAddr, time::Duration};

use super::{
    keys::{is_camel_case, readable},
    tree::{Node, Value, shorten},
    value::{self, Complaint, Decoded, Dialect},
};
use crate::spec::{
    HealthSpec, Probe, ProbeAddress, ProbeTarget,
    validate::{MAX_COUNT, MIN_INTERVAL, MIN_TIMEOUT, is_path_byte},
};

/// The targets of a probe, of which exactly one must be set.
pub(super) const TARGETS: [&str; 3] = ["http", "tcp", "exec"];
const KNOWN: [&str; 7] = ["http", "tcp", "exec", "interval", "timeout", "retries", "start_period"];

/// Decodes a table, or `false` for no probe.
pub(super) fn probe(node: &Node, dialect: Dialect) -> Decoded<Option<Box<Probe>>> {
    if value::switch(node, dialect) == Ok(false) {
        return Ok(None);
    }
    let Some(entries) = node.entries() else {
        return value::must_be("a table such as { http = \"/healthz\" }", node);
    };
    let (mut targets, mut complaints) = (Vec::new(), Vec::new());
    // A placeholder until the target is decoded.
    let mut probe = Probe::new(ProbeTarget::Exec(Vec::new()));
    for entry in entries {
        if value::is_unset(&entry.node, dialect) {
            continue;
        }
        let means = |name: &&&str| **name == entry.key || is_camel_case(name, &entry.key);
        let Some(name) = KNOWN.iter().find(means) else {
            complaints.push(Complaint {
                message: format!("has no key `{}`; the keys are {}", shorten(&entry.key), KNOWN.join(", ")),
                at: entry.at,
            });
            continue;
        };
        match read(name, &entry.node, &mut probe) {
            Ok(Some(target)) => targets.push((*name, target)),
            Ok(None) => {}
            Err(more) => {
                if TARGETS.contains(name) {
                    // The target is set, and its error is reported already.
                    targets.push((*name, ProbeTarget::Exec(Vec::new())));
                }
                complaints.extend(more.into_iter().map(|complaint| Complaint {
                    message: format!("has `{name}`, which {}", complaint.message),
                    at: complaint.at.or(entry.node.at),
                }));
            }
        }
    }
    match targets.as_slice() {
        [_] => {}
        [] => complaints.push(Complaint {
            message: "has no target: it needs `http`, `tcp` or `exec`".to_owned(),
            at: None,
        }),
        [(first, _), (second, _), ..] => complaints.push(Complaint {
            message: format!(
                "has both `{first}` and `{second}`, but must have only one of `http`, `tcp` and `exec`"
            ),
            at: None,
        }),
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    if let Some((_, target)) = targets.pop() {
        probe.target = target;
    }
    Ok(Some(Box::new(probe)))
}

/// Decodes one key. Returns the target if the key sets one.
fn read(name: &str, node: &Node, probe: &mut Probe) -> Decoded<Option<ProbeTarget>> {
    match name {
        "http" => return http(node).map(Some),
        "tcp" => return tcp(node).map(Some),
        "exec" => return exec(node).map(Some),
        "interval" => probe.interval = value::duration(node)?.max(MIN_INTERVAL),
        "timeout" => {
            probe.timeout = value::duration(node)?;
            if probe.timeout < MIN_TIMEOUT {
                return value::complain("must be at least 1 ms");
            }
        }
        "retries" => probe.retries = value::count(node, 1, MAX_COUNT)?,
        _ => probe.start_period = value::duration(node)?,
    }
    Ok(None)
}

fn http(node: &Node) -> Decoded<ProbeTarget> {
    let text = value::full_text(node)?;
    let shown = shorten(&text);
    if text.starts_with('/') {
        let at = ProbeAddress { host: ProbeAddress::LOCALHOST.to_owned(), port: None };
        return Ok(ProbeTarget::Http { at, path: path(&text)? });
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return hinted(
            if text.starts_with("https://") {
                format!("is `{shown}`, but probes use plain HTTP only")
            } else {
                format!("must be an http:// URL or a path, not `{shown}`")
            },
            "write `http://127.0.0.1:3000/healthz`, or `/healthz` for the port in the app's PORT; \
             for HTTPS let `exec` run a client",
        );
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return value::complain(format!("is `{shown}`, but a probe sends no credentials"));
    }
    let mut at = address(authority, false)?;
    at.port.get_or_insert(80);
    let path = match rest {
        "" => "/".to_owned(),
        query if query.starts_with('?') => path(&format!("/{query}"))?,
        rest => path(rest)?,
    };
    Ok(ProbeTarget::Http { at, path })
}

fn path(text: &str) -> Decoded<String> {
    if text.contains('#') {
        return value::complain("contains a `#`, which is not sent to a server");
    }
    match text.bytes().find(|byte| !is_path_byte(*byte)) {
        None => Ok(text.to_owned()),
        Some(byte) => hinted(
            format!("contains the byte `{}`, which is not allowed in a path", byte.escape_ascii()),
            "percent-encode it, such as %20",
        ),
    }
}

fn tcp(node: &Node) -> Decoded<ProbeTarget> {
    let text = match &node.value {
        Value::Integer(number) => number.to_string(),
        _ => value::full_text(node)?,
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let at = ProbeAddress { host: ProbeAddress::LOCALHOST.to_owned(), port: Some(port(&text)?) };
        return Ok(ProbeTarget::Tcp(at));
    }
    address(text.strip_prefix("tcp://").unwrap_or(&text), true).map(ProbeTarget::Tcp)
}

fn exec(node: &Node) -> Decoded<ProbeTarget> {
    match &node.value {
        Value::Text(_) => value::full_text(node).map(ProbeTarget::Shell),
        Value::List(items) if !items.is_empty() => {
            let words: Vec<String> = items.iter().map(value::text).collect::<Decoded<_>>()?;
            if words[0].trim().is_empty() {
                return value::complain("has no program");
            }
            Ok(ProbeTarget::Exec(words))
        }
        _ => value::must_be("a list of a program and its arguments, or a shell command", node),
    }
}

/// `HOST` or `HOST:PORT`.
fn address(text: &str, needs_port: bool) -> Decoded<ProbeAddress> {
    let after_brackets = text.find(']').map_or(0, |at| at + 1);
    let (host, number) = match text[after_brackets..].find(':') {
        Some(colon) => {
            let (host, number) = text.split_at(after_brackets + colon);
            (host, Some(port(&number[1..])?))
        }
        None => (text, None),
    };
    if needs_port && number.is_none() {
        return value::complain(format!("is `{}`, which has no port", shorten(text)));
    }
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_numeric = match inner {
        Some(inner) => matches!(inner.parse(), Ok(IpAddr::V6(_))),
        None => matches!(host.parse(), Ok(IpAddr::V4(_))),
    };
    if !is_numeric && host != ProbeAddress::LOCALHOST {
        return hinted(
            format!("names the host `{}`, but names are not resolved", shorten(host)),
            "a probe connects to the app itself: write 127.0.0.1, [::1] or localhost; for other hosts run a client with `exec`",
        );
    }
    Ok(ProbeAddress { host: inner.unwrap_or(host).to_owned(), port: number })
}

fn port(text: &str) -> Decoded<u16> {
    match text.parse() {
        // `parse` accepts a sign.
        Ok(number) if number > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => {
            value::complain(format!("has the port `{}`, but must be a number from 1 to 65535", shorten(text)))
        }
    }
}

fn hinted<T>(message: impl std::fmt::Display, hint: &str) -> Decoded<T> {
    value::complain(format!("{message}\n  hint: {hint}"))
}

/// The probes and notifications of an application's workers as text, by the names of the keys.
pub fn shown_checks(of: &HealthSpec) -> Vec<(&'static str, String)> {
    let HealthSpec { liveness, readiness, heartbeat, notify: _ } = of;
    let probe = |key, probe: &Option<Box<Probe>>| Some((key, shown(probe.as_deref()?, readable)));
    let all = [
        probe("health", liveness),
        probe("readiness", readiness),
        heartbeat.map(|time| ("heartbeat", readable(time))),
    ];
    all.into_iter().flatten().collect()
}

/// A probe as text.
pub(super) fn shown(probe: &Probe, readable: impl Fn(Duration) -> String) -> String {
    let what = match &probe.target {
        ProbeTarget::Http { at: ProbeAddress { port: None, .. }, path } => format!("http {path}"),
        ProbeTarget::Http { at, path } => format!("http http://{}{path}", shown_address(at)),
        ProbeTarget::Tcp(at) => format!("tcp {}", shown_address(at)),
        ProbeTarget::Exec(words) => format!("exec {words:?}"),
        ProbeTarget::Shell(line) => format!("exec {line:?}"),
    };
    let Probe { interval, timeout, retries, start_period, .. } = probe;
    format!(
        "{what}, interval {}, timeout {}, retries {retries}, start_period {}",
        readable(*interval),
        readable(*timeout),
        readable(*start_period)
    )
}

fn shown_address(ProbeAddress { host, port }: &ProbeAddress) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::Entry;

    fn text(text: &str) -> Node {
        Node::new(Value::Text(text.to_owned()), None)
    }

    fn table(entries: &[(&str, Node)]) -> Node {
        let entry =
            |(key, node): &(&str, Node)| Entry { key: (*key).to_owned(), at: None, node: node.clone() };
        Node::new(Value::Table(entries.iter().map(entry).collect()), None)
    }

    fn read(entries: &[(&str, Node)]) -> Result<Option<Box<Probe>>, String> {
        probe(&table(entries), Dialect::Toml)
            .map_err(|complaints| complaints.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn printed_targets_are_decoded_again() {
        for (key, written, as_shown) in [
            ("http", "http://127.0.0.1:3000/healthz", "http http://127.0.0.1:3000/healthz"),
            ("http", "http://localhost", "http http://localhost:80/"),
            ("http", "http://[::1]:8080?deep=1", "http http://[::1]:8080/?deep=1"),
            ("http", "/healthz", "http /healthz"),
            ("tcp", "127.0.0.1:5432", "tcp 127.0.0.1:5432"),
            ("tcp", "5432", "tcp localhost:5432"),
            ("tcp", "[::1]:5432", "tcp [::1]:5432"),
            ("exec", "test -f /run/ok", "exec \"test -f /run/ok\""),
        ] {
            let probe = read(&[(key, text(written))]).unwrap().unwrap();
            let shown = shown(&probe, |duration| format!("{duration:?}"));
            assert_eq!(shown, format!("{as_shown}, interval 10s, timeout 5s, retries 3, start_period 30s"));
        }
    }

    #[test]
    fn invalid_probes_have_a_reason() {
        for (entries, why) in [
            (vec![], "needs `http`, `tcp` or `exec`"),
            (vec![("http", text("/a")), ("tcp", text("1"))], "both `http` and `tcp`"),
            (vec![("http", text("https://127.0.0.1/"))], "plain HTTP only"),
            (vec![("http", text("healthz"))], "an http:// URL or a path"),
            (vec![("http", text("http://db:80/"))], "names are not resolved"),
            (vec![("http", text("http://a@127.0.0.1/"))], "sends no credentials"),
            (vec![("http", text("/a b"))], "not allowed in a path"),
            (vec![("http", text("/a\r\nX: y"))], "not allowed in a path"),
            (vec![("http", text("/a#b"))], "contains a `#`"),
            (vec![("tcp", text("127.0.0.1"))], "has no port"),
            (vec![("tcp", text("127.0.0.1:0"))], "from 1 to 65535"),
            (vec![("tcp", text("::1:80"))], "from 1 to 65535"),
            (vec![("exec", Node::new(Value::List(vec![]), None))], "a program and its arguments"),
            (vec![("tcp", text("1")), ("retries", text("0"))], "from 1 to 1000"),
            (vec![("tcp", text("1")), ("timeout", text("0"))], "at least 1 ms"),
            (
                vec![("tcp", text("1")), ("intervall", text("1s"))],
                "has no key `intervall`; the keys are http",
            ),
        ] {
            let message = read(&entries).unwrap_err();
            assert!(message.contains(why), "{entries:?}: {message}");
        }
    }

    #[test]
    fn camel_case_and_disabled_probes_are_decoded() {
        let probe = read(&[("tcp", text("1")), ("startPeriod", text("2s"))]).unwrap().unwrap();
        assert_eq!(probe.start_period, Duration::from_secs(2));
        assert_eq!(super::probe(&Node::new(Value::Bool(false), None), Dialect::Toml), Ok(None));
    }
}
