//! Parses a held socket: its address and its name.
//!
//! Only the text is checked: no name is resolved, and whether a port is free shows when the socket is opened.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
};

use super::{
    notices::Notices,
    origin::AppSettings,
    problem::{Problem, Problems},
    tree::{Node, Value, shorten},
    value::{self, Complaint, Decoded, Dialect},
};
use crate::spec::{
    AppSpec, Listen, ListenAddress,
    validate::{MAX_SOCKET_NAME, MAX_SOCKET_PATH, MAX_SOCKETS},
};

/// Decodes one address or a list of them.
pub(super) fn listen(node: &Node) -> Decoded<Vec<Listen>> {
    let one = std::slice::from_ref(node);
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => one,
    };
    if items.len() > MAX_SOCKETS {
        return value::complain(format!(
            "has {} sockets, but at most {MAX_SOCKETS} are allowed",
            items.len()
        ));
    }
    let mut sockets: Vec<Listen> = Vec::with_capacity(items.len());
    let mut complaints = Vec::new();
    for item in items {
        match entry(item) {
            Ok(socket) if sockets.iter().any(|other| other.address == socket.address) => {
                complaints
                    .push(Complaint { message: format!("names {} twice", socket.address), at: item.at });
            }
            Ok(socket) => sockets.push(socket),
            Err(more) => {
                complaints.extend(more.into_iter().map(|it| Complaint { at: it.at.or(item.at), ..it }));
            }
        }
    }
    if complaints.is_empty() { Ok(sockets) } else { Err(complaints) }
}

fn entry(item: &Node) -> Decoded<Listen> {
    let Value::Text(_) = &item.value else {
        return value::must_be(
            "an address such as \"tcp://0.0.0.0:8080\" or \"unix:///run/app.sock\", or a list of them",
            item,
        );
    };
    socket(&value::full_text(item)?).or_else(value::complain)
}

/// Parses `ADDRESS` or `name=ADDRESS`.
fn socket(text: &str) -> Result<Listen, String> {
    let named = text.split_once('=').filter(|(name, _)| !name.contains([':', '/']));
    let (name, text) = match named {
        Some((name, _)) if name.is_empty() || name.len() > MAX_SOCKET_NAME => {
            return Err(format!(
                "has a name of {} bytes before the `=`, but must have 1 to {MAX_SOCKET_NAME}",
                name.len()
            ));
        }
        Some((name, _)) if !name.bytes().all(is_printable) => {
            return Err(format!(
                "has a name with characters that are not printable ASCII: `{}`",
                shorten(name)
            ));
        }
        Some((name, address)) => (Some(name), address),
        None => (None, text),
    };
    let address = address(text)?;
    let name = name.map_or_else(|| name_of(&address), str::to_owned);
    Ok(Listen { name, address })
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// The socket as text; with its name only if that is not the default.
pub(super) fn shown(socket: &Listen) -> String {
    let Listen { name, address } = socket;
    if *name == name_of(address) { address.to_string() } else { format!("{name}={address}") }
}

/// The default name: the address with `_` for characters that a name cannot have, such as `tcp_0.0.0.0_8080`.
fn name_of(address: &ListenAddress) -> String {
    let text = address.to_string().replacen("://", "_", 1);
    text.chars().map(|c| if c.is_ascii_graphic() && c != ':' { c } else { '_' }).collect()
}

fn address(text: &str) -> Result<ListenAddress, String> {
    match text.split_once(':') {
        Some(("tcp", rest)) => tcp(text, slashes(rest)),
        Some(("udp", rest)) => udp(text, slashes(rest)),
        Some(("unix", rest)) => unix(text, slashes(rest)),
        _ => Err(no_kind(text)),
    }
}

fn slashes(rest: &str) -> &str {
    rest.strip_prefix("//").unwrap_or(rest)
}

fn no_kind(text: &str) -> String {
    let like = if text.parse::<u16>().is_ok() {
        format!("`tcp://0.0.0.0:{text}`")
    } else if text.parse::<SocketAddr>().is_ok() {
        format!("`tcp://{text}`")
    } else if text.starts_with('/') {
        format!("`unix://{text}`")
    } else {
        "`tcp://0.0.0.0:8080`, `udp://0.0.0.0:53` or `unix:///run/app.sock`".to_owned()
    };
    hinted(
        &format!("names `{}`, which does not begin with `tcp://`, `udp://` or `unix://`", shorten(text)),
        &format!("write {like}"),
    )
}

fn tcp(text: &str, rest: &str) -> Result<ListenAddress, String> {
    let (host, port) = host_and_port(text, rest, "tcp")?;
    if host == "*" {
        return Ok(ListenAddress::TcpAnywhere(port));
    }
    internet(text, host, port).map(ListenAddress::Tcp)
}

fn udp(text: &str, rest: &str) -> Result<ListenAddress, String> {
    let (host, port) = host_and_port(text, rest, "udp")?;
    internet(text, host, port).map(ListenAddress::Udp)
}

fn host_and_port<'a>(text: &str, rest: &'a str, kind: &str) -> Result<(&'a str, u16), String> {
    let shown = shorten(text);
    let after_brackets = rest.find(']').unwrap_or(0);
    let Some(colon) = rest.rfind(':').filter(|colon| *colon > after_brackets || after_brackets == 0) else {
        return Err(hinted(
            &format!("names `{shown}`, which has no port"),
            &format!("write `{kind}://{rest}:8080`"),
        ));
    };
    let (host, port) = (&rest[..colon], &rest[colon + 1..]);
    match port.parse() {
        // `parse` accepts a sign.
        Ok(number) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, number)),
        _ => Err(format!("names `{shown}`, but a port is a number from 0 to 65535, not `{}`", shorten(port))),
    }
}

fn internet(text: &str, host: &str, port: u16) -> Result<SocketAddr, String> {
    let shown = shorten(text);
    if host.is_empty() {
        return Err(hinted(
            &format!("names `{shown}`, which has no address"),
            "`*` means all addresses, with TCP",
        ));
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Err(hinted(
            &format!("names `{shown}`, but an IPv6 address needs brackets"),
            &format!("write `[{host}]:{port}`"),
        ));
    }
    // With brackets, and with a zone by its number.
    if let Ok(address) = format!("{host}:{port}").parse::<SocketAddr>() {
        return Ok(address);
    }
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, port)),
        Err(_) => Err(hinted(
            &format!("names `{shown}`, but `{}` is not a numeric address", shorten(host)),
            "names are not resolved: write 0.0.0.0, 127.0.0.1, [::1] or, with TCP, * for all addresses",
        )),
    }
}

fn unix(text: &str, path: &str) -> Result<ListenAddress, String> {
    let shown = shorten(text);
    if path.starts_with('@') {
        return Err(hinted(
            &format!("names `{shown}`, but abstract sockets are not supported"),
            "they have no file rights; write a path",
        ));
    }
    if !path.starts_with('/') {
        return Err(hinted(
            &format!("names `{shown}`, but the path of a unix socket must be absolute"),
            &format!("three slashes: `unix:///run/{}`", path.rsplit('/').next().unwrap_or_default()),
        ));
    }
    if path.ends_with('/') {
        return Err(format!("names `{shown}`, which is a directory"));
    }
    if path.len() > MAX_SOCKET_PATH {
        return Err(format!(
            "has a path of {} bytes, a unix socket's has at most {MAX_SOCKET_PATH}",
            path.len()
        ));
    }
    // `//` is `/`, so that a file has one name.
    Ok(ListenAddress::Unix(Path::new(path).components().collect()))
}

fn hinted(message: &str, hint: &str) -> String {
    format!("{message}\n  hint: {hint}")
}

/// Reports sockets that several applications use. `settings` are those of `apps`, in the same order. In PM2's formats
/// only the first application gets the socket.
pub(super) fn clashes(
    apps: &mut [AppSpec],
    settings: &[AppSettings],
    dialect: Dialect,
    problems: &mut Problems,
    notices: &mut Notices,
) {
    let mut first: BTreeMap<ListenAddress, String> = BTreeMap::new();
    for (AppSpec { name, listen, .. }, settings) in apps.iter_mut().zip(settings) {
        let place = settings.place_of("listen");
        listen.retain(|socket| {
            if socket.address.is_any_port() {
                return true;
            }
            let Some(other) = first.insert(socket.address.clone(), name.clone()) else { return true };
            let message = format!("`listen` in app `{name}`: app `{other}` already has {}", socket.address);
            let problem = Problem { place: place.clone(), message, hint: None };
            let problem = problem.hint("give each app its own; `instances` runs several processes on one");
            notices.own_key(problem, "this socket is not opened", dialect, problems);
            dialect == Dialect::Toml
        });
    }
}

/// `["http=tcp://0.0.0.0:8080"]`. `None`: there is no socket.
pub(super) fn shown_all(sockets: &[Listen]) -> Option<String> {
    let shown: Vec<String> = sockets.iter().map(shown).collect();
    (!shown.is_empty()).then(|| format!("{shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::{name_of, socket};

    #[test]
    fn printed_addresses_are_decoded_again() {
        for (text, name) in [
            ("tcp://0.0.0.0:8080", "tcp_0.0.0.0_8080"),
            ("tcp://[::]:8080", "tcp_[__]_8080"),
            ("tcp://[fe80::1%2]:80", "tcp_[fe80__1%2]_80"),
            ("tcp://127.0.0.1:0", "tcp_127.0.0.1_0"),
            ("tcp://*:65535", "tcp_*_65535"),
            ("udp://0.0.0.0:53", "udp_0.0.0.0_53"),
            ("unix:///run/app=1.sock", "unix_/run/app=1.sock"),
            ("unix:///run/ä b:.sock", "unix_/run/__b_.sock"),
        ] {
            let read = socket(text).unwrap();
            assert_eq!(read.address.to_string(), text);
            assert_eq!(read.name, name);
        }
        let named = socket("http=tcp://*:80").unwrap();
        assert_eq!((named.name.as_str(), name_of(&named.address).as_str()), ("http", "tcp_*_80"));
        assert_eq!(socket("unix:/run/a.sock").unwrap().address.to_string(), "unix:///run/a.sock");
    }

    #[test]
    fn errors_name_the_problem() {
        for (text, part) in [
            ("8080", "write `tcp://0.0.0.0:8080`"),
            ("127.0.0.1:80", "write `tcp://127.0.0.1:80`"),
            ("/run/a.sock", "write `unix:///run/a.sock`"),
            ("http://0.0.0.0:80", "does not begin with"),
            ("tcp://0.0.0.0", "has no port"),
            ("tcp://[::1]", "has no port"),
            ("tcp://0.0.0.0:70000", "not `70000`"),
            ("tcp://0.0.0.0:+80", "not `+80`"),
            ("tcp://0.0.0.0:80/", "not `80/`"),
            ("tcp://:80", "has no address"),
            ("tcp://localhost:80", "names are not resolved"),
            ("tcp://::1:80", "needs brackets"),
            ("udp://*:53", "is not a numeric address"),
            ("unix://run/app.sock", "`unix:///run/app.sock`"),
            ("unix:@app", "abstract"),
            ("unix:///run/", "is a directory"),
            ("=tcp://*:80", "a name of 0 bytes"),
            ("ä=tcp://*:80", "printable ASCII"),
        ] {
            let message = socket(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
        let long = format!("unix:///{}", "x".repeat(107));
        assert!(socket(&long).unwrap_err().contains("has a path of 108 bytes"));
        assert!(socket(&long[..long.len() - 1]).is_ok());
    }
}
