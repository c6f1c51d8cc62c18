//! Recognises in the last lines of a failed process that an address was in use.
//!
//! Node reports a failed listen itself. Other programs only write the error to stderr before they exit.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::ListenFailure;

/// The wordings in lower case: strerror of glibc and of musl, names of the error (`EADDRINUSE`, Rust's
/// `AddrInUse`), gunicorn.
const PHRASES: [&str; 4] = ["address already in use", "address in use", "addrinuse", "connection in use"];
/// `port 8080 was already in use`: the maximum distance of the words in bytes.
const MAX_PHRASE: usize = 32;

/// The failure that these lines report: the last one that names a port, else the last one.
pub fn address_in_use(lines: &str) -> Option<ListenFailure> {
    let mut is_in_use = false;
    let mut port = None;
    for line in lines.lines() {
        let line = line.to_ascii_lowercase();
        if let Some(at) = phrase(&line) {
            is_in_use = true;
            port = port_near(&line, at).or(port);
        }
    }
    let address = port.map_or_else(|| "its address".to_owned(), |port| format!("port {port}"));
    is_in_use.then(|| ListenFailure::in_use(address))
}

/// Where a line says that an address is in use.
fn phrase(line: &str) -> Option<usize> {
    let is_of_mail = |at: usize| line[..at].ends_with("mail ");
    let find = |phrase: &&str| line.match_indices(*phrase).map(|(at, _)| at).find(|at| !is_of_mail(*at));
    PHRASES.iter().find_map(find).or_else(|| {
        let ports = line.match_indices("port");
        ports.filter(|(at, _)| is_word(line, *at, "port")).find_map(|(at, _)| {
            let used = at + line[at..].find("in use")?;
            (used - at <= MAX_PHRASE && is_word(line, used, "in use")).then_some(used)
        })
    })
}

fn is_word(line: &str, at: usize, word: &str) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = line.as_bytes();
    !is_letter(at.checked_sub(1).and_then(|before| bytes.get(before)))
        && !is_letter(bytes.get(at + word.len()))
}

/// The last port of a line before this index, else the first one after it.
fn port_near(line: &str, at: usize) -> Option<u16> {
    let before = ports(line).take_while(|(index, _)| *index < at).last();
    before.or_else(|| ports(line).next()).map(|(_, port)| port)
}

/// The numbers of a line that are ports, and where.
fn ports(line: &str) -> impl Iterator<Item = (usize, u16)> {
    let bytes = line.as_bytes();
    let starts = (0..bytes.len()).filter(|at| {
        bytes[*at].is_ascii_digit() && !at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_digit())
    });
    starts.filter_map(|start| {
        let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let port = line[start..start + digits].parse().ok().filter(|port| *port > 0)?;
        (is_after_host(&line[..start]) && !is_part(&line[start + digits..])).then_some((start, port))
    })
}

/// Whether the text before a number makes it a port: `port `, `host:`, or a host in a Python tuple.
fn is_after_host(before: &str) -> bool {
    let unspaced = before.trim_end_matches(' ');
    if unspaced.ends_with("',") || unspaced.ends_with("\",") {
        return true;
    }
    let word = unspaced.trim_end_matches([':', '=', '#', ' ']);
    if word.len() < before.len() && word.ends_with("port") {
        return true;
    }
    before.strip_suffix(':').is_some_and(ends_with_host)
}

/// Whether a text ends with the host of an address, before the colon and the port. A time (`12:30`) and a place in a
/// file (`main.go:12`) have none.
fn ends_with_host(text: &str) -> bool {
    let is_of_host = |letter: char| letter.is_ascii_alphanumeric() || "*.:[]-_%".contains(letter);
    let host = &text[text.trim_end_matches(is_of_host).len()..];
    let before = &text[..text.len() - host.len()];
    if before.ends_with("//") || ["*", "localhost", ":", "::"].contains(&host) {
        return true;
    }
    if host.is_empty() {
        return !before.ends_with(char::is_alphanumeric);
    }
    // `[0.0.0.0:80]` and `[::]:80`.
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok()
}

/// Whether the text after a number continues it: a version, a time, an address.
fn is_part(after: &str) -> bool {
    let mut letters = after.chars();
    match letters.next() {
        Some('.' | ':' | '-' | '/') => letters.next().is_some_and(|next| next.is_ascii_digit()),
        Some(letter) => letter.is_alphanumeric() || letter == '_',
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(lines: &str) -> Option<String> {
        address_in_use(lines).map(|failure| {
            assert_eq!((failure.is_in_use, &*failure.error), (true, "Address already in use (EADDRINUSE)"));
            failure.address
        })
    }

    #[test]
    fn messages_of_servers_and_runtimes_are_recognised() {
        for (lines, port) in [
            ("OSError: [Errno 98] Address already in use", None),
            (
                "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
                Some(8000),
            ),
            (
                "OSError: [Errno 98] error while attempting to bind on address ('::1', 8000, 0, 0): address already in use",
                Some(8000),
            ),
            ("[2026-11-30 12:30:01 +0000] [12] [ERROR] Connection in use: ('0.0.0.0', 8001)", Some(8001)),
            (
                "Address already in use\nPort 5000 is in use by another program. Either identify and stop that program",
                Some(5000),
            ),
            ("Error: That port is already in use.", None),
            ("2026/11/30 12:30:01 main.go:12: listen tcp :8080: bind: address already in use", Some(8080)),
            ("listen tcp4 127.0.0.1:8080: bind: address already in use", Some(8080)),
            (
                "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)\nnginx: [emerg] still could not bind()",
                Some(80),
            ),
            (
                "2026/11/30 12:30:01 [emerg] 7#7: bind() to [::]:80 failed (98: Address already in use)",
                Some(80),
            ),
            ("nginx: [emerg] bind() to unix:/run/a.sock failed (98: Address already in use)", None),
            (
                "(98)Address already in use: AH00072: make_sock: could not bind to address [::]:8080",
                Some(8080),
            ),
            (
                "[ALERT] Starting frontend web: cannot bind socket (Address already in use) [0.0.0.0:8404]",
                Some(8404),
            ),
            ("Error: Os { code: 98, kind: AddrInUse, message: \"Address already in use\" }", None),
            (
                "thread 'main' panicked at src/main.rs:7:50:\ncannot bind 127.0.0.1:3000: Address in use (os error 98)",
                Some(3000),
            ),
            (
                "java.net.BindException: Address already in use\n\tat java.base/sun.nio.ch.Net.bind0(Native Method)",
                None,
            ),
            ("java.io.IOException: Failed to bind to 0.0.0.0/0.0.0.0:8080", None),
            ("Web server failed to start. Port 8080 was already in use.", Some(8080)),
            (
                "bind(2): Address already in use - bind(2) for \"127.0.0.1\" port 9292 (Errno::EADDRINUSE)",
                Some(9292),
            ),
            ("Error: listen EADDRINUSE: address already in use :::3000\n  port: 3000", Some(3000)),
            (
                "Unhandled exception. System.IO.IOException: Failed to bind to address http://127.0.0.1:5000: address already in use.",
                Some(5000),
            ),
            (
                "[Mon Nov 30 12:30:01 2026] Failed to listen on localhost:8000 (reason: Address already in use)",
                Some(8000),
            ),
            ("could not bind IPv4 address \"127.0.0.1\": Address already in use", None),
            ("Failed to start server. Is port 3000 in use?", Some(3000)),
            ("** (EXIT) :eaddrinuse", None),
            (
                "{\"level\":\"fatal\",\"error\":\"listen tcp :9090: bind: address already in use\"}",
                Some(9090),
            ),
        ] {
            let expected = port.map_or_else(|| "its address".to_owned(), |port: u16| format!("port {port}"));
            let is_unknown = lines.contains("Failed to bind to 0.0.0.0/");
            assert_eq!(address(lines), (!is_unknown).then_some(expected), "{lines}");
        }
    }

    #[test]
    fn the_last_line_that_names_a_port_counts() {
        let lines = "listen :3000: address already in use\nlisten :3001: address already in use\nEADDRINUSE";
        assert_eq!(address(lines).unwrap(), "port 3001");
    }

    #[test]
    fn other_messages_are_not_recognised() {
        for lines in [
            "",
            "memory in use: 300 MB",
            "the report of usage is in use",
            "connect ECONNREFUSED 127.0.0.1:5432",
            "bind: permission denied on port 80",
            "port 80 needs privileges that are not granted here, a token is in use",
            "exports are in use",
            "Error: email address already in use",
        ] {
            assert_eq!(address_in_use(lines), None, "{lines}");
        }
    }

    #[test]
    fn a_number_that_is_no_port_is_not_a_port() {
        for line in [
            "12:30:01 address already in use",
            "2026-11-30T12:30:01.5Z address already in use",
            "server.js:12:5 address already in use",
            "pid 1234: address already in use",
            "port 99999: address already in use",
            "port 0: address already in use",
            "ü:ä:1ü address already in use",
        ] {
            assert_eq!(address(line).unwrap(), "its address", "{line}");
        }
    }
}
