//! `web` → the address of the HTTP server, and `ready_when` → a quorum.
//!
//! Only the text is checked: no name is resolved, and whether a port is free shows when it is opened.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{
    tree::{Node, Value, shorten},
    value::{self, Decoded},
};
use crate::spec::{Quorum, WebAddress, validate::MAX_SOCKET_PATH};

const WANTED: &str = "a port, an address with a port such as \"0.0.0.0:9615\", \"unix:/path\", true or false";

/// A port, an address with a port, a unix socket, or a switch.
pub(super) fn address(node: &Node) -> Decoded<Option<WebAddress>> {
    if let Some(on) = value::written_switch(node) {
        return Ok(on.then_some(WebAddress::on_loopback(WebAddress::PORT)));
    }
    let text = match &node.value {
        Value::Integer(number) => number.to_string(),
        Value::Text(_) => value::full_text(node)?,
        _ => return value::must_be(WANTED, node),
    };
    parse(text.trim()).map(Some).or_else(value::complain)
}

fn parse(text: &str) -> Result<WebAddress, String> {
    let shown = shorten(text);
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') {
            return Err(format!("is `{shown}`, but the path of a unix socket must be absolute"));
        }
        if path.len() > MAX_SOCKET_PATH {
            return Err(format!(
                "has a path of {} bytes, but the path of a unix socket has at most {MAX_SOCKET_PATH}",
                path.len()
            ));
        }
        return Ok(WebAddress::Unix(path.into()));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return port(text, text).map(WebAddress::on_loopback);
    }
    let Some((host, number)) =
        text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
    else {
        let hint = if text.parse::<IpAddr>().is_ok() {
            let brackets = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
            format!("\n  hint: write `{brackets}:{}`", WebAddress::PORT)
        } else {
            String::new()
        };
        return Err(format!("is `{shown}`, but must be {WANTED}{hint}"));
    };
    let port = port(text, number)?;
    let host = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            inner.parse().map_err(|_| {
                format!(
                    "is `{shown}`, but `{}` is not a numeric address\n  hint: names are not resolved: write \
                     127.0.0.1, 0.0.0.0 or [::]",
                    shorten(host)
                )
            })?
        }
    };
    Ok(WebAddress::Tcp(SocketAddr::new(host, port)))
}

fn port(text: &str, number: &str) -> Result<u16, String> {
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number).ok_or_else(|| {
        format!("is `{}`, but a port is a number from 0 to 65535, not `{}`", shorten(text), shorten(number))
    })
}

/// A number of instances, `N of M`, or a percentage.
pub(super) fn quorum(node: &Node) -> Decoded<Quorum> {
    let text = match &node.value {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    match text.parse() {
        Ok(quorum) => Ok(quorum),
        Err(_) => value::must_be(
            "a number of instances from 1 to 1000, \"2 of 4\" or a percentage from \"1%\" to \"100%\"",
            node,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_is_loopback_without_a_host() {
        for (text, shown) in [
            ("9615", "127.0.0.1:9615"),
            ("0", "127.0.0.1:0"),
            ("localhost:80", "127.0.0.1:80"),
            ("0.0.0.0:9615", "0.0.0.0:9615"),
            ("*:9615", "0.0.0.0:9615"),
            ("[::1]:9615", "[::1]:9615"),
            ("unix:/run/web.sock", "unix:/run/web.sock"),
            ("unix:///run/web.sock", "unix:/run/web.sock"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_an_error_with_the_next_step() {
        for (text, part) in [
            ("65536", "from 0 to 65535"),
            ("0.0.0.0", "write `0.0.0.0:9615`"),
            ("::1", "write `[::1]:9615`"),
            ("example.org:80", "names are not resolved"),
            ("0.0.0.0:+1", "from 0 to 65535"),
            ("unix:web.sock", "must be absolute"),
            ("web", "a port, an address"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
