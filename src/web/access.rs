//! Which client may do what, decided from the address of the server and the headers of a request.
//!
//! | address | probes, metrics | dashboard's files | reads | changes |
//! |---|---|---|---|---|
//! | unix socket | yes | yes | yes | yes |
//! | loopback | yes | yes | yes | with the token |
//! | any other | yes | if a token is set | with the token | with the token |

use std::{
    ffi::OsStr,
    hint::black_box,
    net::{IpAddr, Ipv6Addr},
    os::unix::ffi::OsStrExt as _,
};

use hyper::{HeaderMap, StatusCode, Version, header};

use super::problem::Problem;
use crate::spec::WebAddress;

/// The shortest token that cannot be guessed in a useful time.
const MIN_TOKEN: usize = 16;

/// The token in the value of a variable. A newline at its end comes from a file of a secret, and is not a part of it.
///
/// # Errors
/// What it must be: no header can have another one.
pub fn token(value: &OsStr) -> Result<Option<String>, String> {
    let bytes = value.as_bytes();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if let Some(at) = bytes.iter().position(|byte| !byte.is_ascii_graphic()) {
        return Err(format!(
            "must have only visible ASCII characters, but the one at position {} is not",
            at + 1
        ));
    }
    match bytes.len() {
        0 => Ok(None),
        MIN_TOKEN.. => Ok(Some(bytes.iter().copied().map(char::from).collect())),
        length => Err(format!("must have at least {MIN_TOKEN} characters, but has {length}")),
    }
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The state of everything in a word, and figures.
    Probe,
    /// The files of the dashboard, which contain nothing of the applications.
    Page,
    /// Names, configuration, logs.
    Read,
    /// It changes something.
    Change,
}

/// Which clients can reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those that may open the socket's file.
    Unix,
    /// Programs in the same container or on the same machine, and pages in a browser there.
    Loopback,
    /// Any.
    Network,
}

/// The rules of a server.
#[derive(Debug, Clone)]
pub(super) struct Access {
    reach: Reach,
    token: Option<String>,
}

impl Access {
    pub(super) fn new(address: &WebAddress, token: Option<String>) -> Self {
        let reach = match address {
            WebAddress::Unix(_) => Reach::Unix,
            WebAddress::Tcp(address) if address.ip().to_canonical().is_loopback() => Reach::Loopback,
            WebAddress::Tcp(_) => Reach::Network,
        };
        Self { reach, token }
    }

    /// Whether a request may do what it needs.
    pub(super) fn check(&self, need: Need, headers: &HeaderMap) -> Result<(), Problem> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = text(header::HOST);
        if self.reach == Reach::Loopback
            && let Some(host) = host
            && !host_name(host).is_some_and(is_local)
        {
            // A page of another site whose name leads to this address would read everything.
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host header names another host than this one",
            )
            .hint("use 127.0.0.1 or localhost in the URL"));
        }
        if need == Need::Change {
            check_origin(host, text(header::ORIGIN), headers)?;
        }
        let is_free = match (need, self.reach) {
            (Need::Probe, _)
            | (Need::Page | Need::Read, Reach::Unix | Reach::Loopback)
            | (Need::Change, Reach::Unix) => true,
            // A browser cannot send the token when it opens a page. The page requests it from its user.
            (Need::Page, Reach::Network) => self.token.is_some(),
            (Need::Read, Reach::Network) | (Need::Change, Reach::Loopback | Reach::Network) => false,
        };
        // A request that needs no token may have a wrong one, for another server behind the same proxy.
        if is_free {
            return Ok(());
        }
        let Some(token) = &self.token else {
            return Err(match need {
                Need::Change => Problem::new(StatusCode::FORBIDDEN, "changes need a token, and none is set")
                    .hint("set PROCRUN_WEB_TOKEN, or listen on a unix socket"),
                Need::Probe | Need::Page | Need::Read => Problem::new(
                    StatusCode::FORBIDDEN,
                    "without a token this address serves only probes and metrics",
                )
                .hint("set PROCRUN_WEB_TOKEN, or listen on 127.0.0.1 or a unix socket"),
            });
        };
        match text(header::AUTHORIZATION) {
            None => Err(unauthorized("this needs the token")),
            Some(credentials) => match bearer(credentials) {
                Some(presented) if is_equal(presented, token) => Ok(()),
                Some(_) => Err(unauthorized("the token is wrong")),
                None => Err(unauthorized("the Authorization header has another scheme than Bearer")),
            },
        }
    }

    /// Whether the server shows a client of this request more than figures and states.
    pub(super) fn may_read(&self, headers: &HeaderMap) -> bool {
        self.check(Need::Read, headers).is_ok()
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
        .hint("send `Authorization: Bearer TOKEN` with the value of PROCRUN_WEB_TOKEN")
        .header(header::WWW_AUTHENTICATE, "Bearer realm=\"procrun\"")
}

/// A change must not come from a page of another site.
fn check_origin(host: Option<&str>, origin: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    let is_same = match (origin, host) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host))
        }
        (Some(_), None) => false,
    };
    let site = headers.get("sec-fetch-site").map(header::HeaderValue::as_bytes);
    let is_from_here = site.is_none_or(|site| site == b"same-origin" || site == b"none");
    if is_same && is_from_here {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "the request comes from a page of another origin"))
}

/// The token in the value of an Authorization header. The name of the scheme has no case (RFC 9110).
fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Requires what RFC 9112 requires of the Host header: exactly one in HTTP/1.1, with a host and a port or without.
/// Two programs that read different parts of it would see different hosts.
pub(super) fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let detail = match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => return Ok(()),
        (None, _) => "the request has no Host header",
        (Some(_), Some(_)) => "the request has two Host headers",
        (Some(host), None) => match host.to_str().map(host_name) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) | Err(_) => "the Host header is not a host with an optional port",
        },
    };
    Err(Problem::new(StatusCode::BAD_REQUEST, detail).hint("send one Host header such as `127.0.0.1:9615`"))
}

/// The name or address in the value of a Host header, without brackets. `None`: it is not one.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<Ipv6Addr>().ok()?;
            (name, port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = port.strip_prefix(':').or(port.is_empty().then_some(""))?;
    let is_name = |byte: u8| byte.is_ascii_graphic() && !b"/?#@[]\\\"<>^`{|},".contains(&byte);
    let is_valid = port.bytes().all(|byte| byte.is_ascii_digit()) && name.bytes().all(is_name);
    is_valid.then_some(name)
}

/// Whether a name is one of this machine: no other site can have it.
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

/// Compares in a time that does not depend on where the first difference is.
fn is_equal(presented: &str, token: &str) -> bool {
    let (presented, token) = (presented.as_bytes(), token.as_bytes());
    let mut difference = presented.len() ^ token.len();
    for (at, byte) in token.iter().enumerate() {
        difference |= usize::from(byte ^ presented.get(at).copied().unwrap_or(0));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(address: &str, token: Option<&str>) -> Access {
        let address = match address.strip_prefix("unix:") {
            Some(path) => WebAddress::Unix(path.into()),
            None => WebAddress::Tcp(address.parse().unwrap()),
        };
        Access::new(&address, token.map(str::to_owned))
    }

    fn status(access: &Access, need: Need, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        access.check(need, &map).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn reads_are_free_on_loopback_and_changes_need_the_token() {
        let bearer = format!("Bearer {TOKEN}");
        let token = [("authorization", bearer.as_str())];
        let wrong = [("authorization", "Bearer 0123456789abcdeF")];
        for (address, set, need, headers, expected) in [
            ("127.0.0.1:9615", None, Need::Probe, &[][..], 200),
            ("127.0.0.1:9615", None, Need::Read, &[], 200),
            ("127.0.0.1:9615", None, Need::Change, &[], 403),
            ("[::1]:9615", Some(TOKEN), Need::Read, &[], 200),
            ("127.0.0.1:9615", Some(TOKEN), Need::Change, &[], 401),
            ("127.0.0.1:9615", Some(TOKEN), Need::Change, &wrong, 401),
            ("127.0.0.1:9615", Some(TOKEN), Need::Change, &token, 200),
            ("127.0.0.1:9615", None, Need::Change, &token, 403),
            ("0.0.0.0:9615", None, Need::Probe, &[], 200),
            ("0.0.0.0:9615", None, Need::Read, &[], 403),
            ("0.0.0.0:9615", None, Need::Change, &token, 403),
            ("0.0.0.0:9615", None, Need::Page, &[], 403),
            ("0.0.0.0:9615", Some(TOKEN), Need::Page, &[], 200),
            ("127.0.0.1:9615", None, Need::Page, &[], 200),
            ("0.0.0.0:9615", Some(TOKEN), Need::Probe, &[], 200),
            ("0.0.0.0:9615", Some(TOKEN), Need::Read, &[], 401),
            ("0.0.0.0:9615", Some(TOKEN), Need::Read, &token, 200),
            ("0.0.0.0:9615", Some(TOKEN), Need::Change, &token, 200),
            ("[::ffff:127.0.0.1]:9615", None, Need::Read, &[], 200),
            ("unix:/run/web.sock", None, Need::Change, &[], 200),
            ("unix:/run/web.sock", Some(TOKEN), Need::Change, &[], 200),
            // What needs no token is not refused for a wrong one.
            ("0.0.0.0:9615", Some(TOKEN), Need::Probe, &wrong, 200),
            ("127.0.0.1:9615", Some(TOKEN), Need::Read, &wrong, 200),
            ("unix:/run/web.sock", Some(TOKEN), Need::Change, &wrong, 200),
        ] {
            assert_eq!(
                status(&access(address, set), need, headers),
                expected,
                "{address} {need:?} {headers:?} {set:?}"
            );
        }
    }

    #[test]
    fn the_host_of_a_loopback_server_is_an_address_or_localhost() {
        let server = access("127.0.0.1:9615", Some(TOKEN));
        for host in ["127.0.0.1:9615", "localhost:9615", "LOCALHOST", "[::1]:80", "app.localhost", "10.1.2.3"]
        {
            assert_eq!(status(&server, Need::Read, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9615",
            "localhost.evil.example:9615",
            "",
            "notlocalhost",
            "localhost..",
            "[::1]evil.example",
            "[::1]:80.evil.example",
            "127.0.0.1:9615:1",
        ] {
            assert_eq!(status(&server, Need::Read, &[("host", host)]), 421, "{host}");
        }
        // A name is usual there, and nothing is free.
        assert_eq!(status(&access("0.0.0.0:9615", None), Need::Probe, &[("host", "pod.example")]), 200);
    }

    #[test]
    fn a_request_has_one_host() {
        let problem = |version, hosts: &[&str]| {
            let mut map = HeaderMap::new();
            for host in hosts {
                map.append(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            check_host(version, &map).map_or_else(|problem| problem.status.as_u16(), |()| 200)
        };
        let valid = ["127.0.0.1:9615", "[::1]:80", "[fe80::1]", "api.example", "api.example:", "a_b", ""];
        for host in valid {
            assert_eq!(problem(Version::HTTP_11, &[host]), 200, "{host}");
        }
        for host in ["[::1]evil.example", "[::1", "[evil]", "a:b", "a b", "a/b", "a,b", "u@a", "::1"] {
            assert_eq!(problem(Version::HTTP_11, &[host]), 400, "{host}");
        }
        assert_eq!(problem(Version::HTTP_11, &["127.0.0.1", "evil.example"]), 400);
        assert_eq!((problem(Version::HTTP_11, &[]), problem(Version::HTTP_10, &[])), (400, 200));
    }

    #[test]
    fn a_token_is_one_that_a_header_can_have() {
        let read = |text: &str| token(OsStr::new(text));
        for text in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("{TOKEN}\r\n")] {
            assert_eq!(read(&text), Ok(Some(TOKEN.to_owned())), "{text:?}");
        }
        assert_eq!((read(""), read("\n")), (Ok(None), Ok(None)));
        for text in [
            "short",
            "0123456789 abcdef",
            "0123456789abcdef\n\n",
            " 0123456789abcdef",
            "0123456789abcdefü",
            "\t",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        for credentials in ["Bearer x", "bearer x", "BEARER  x ", " Bearer x"] {
            assert_eq!(bearer(credentials), Some("x"), "{credentials:?}");
        }
        assert_eq!((bearer("Basic x"), bearer("Bearer"), bearer("Bearerx")), (None, None, None));
    }

    #[test]
    fn a_change_comes_from_the_same_origin_or_from_no_page() {
        let bearer = format!("Bearer {TOKEN}");
        let server = access("127.0.0.1:9615", Some(TOKEN));
        for (origin, site, expected) in [
            ("http://127.0.0.1:9615", "same-origin", 200),
            ("http://127.0.0.1:9615", "cross-site", 403),
            ("http://evil.example", "same-origin", 403),
            ("http://127.0.0.1:9616", "same-site", 403),
            ("null", "none", 403),
        ] {
            let headers = [
                ("host", "127.0.0.1:9615"),
                ("authorization", bearer.as_str()),
                ("origin", origin),
                ("sec-fetch-site", site),
            ];
            assert_eq!(status(&server, Need::Change, &headers), expected, "{origin} {site}");
        }
        let unix = access("unix:/run/web.sock", None);
        assert_eq!(status(&unix, Need::Change, &[("origin", "http://evil.example"), ("host", "x")]), 403);
    }

    #[test]
    fn tokens_are_equal_only_if_each_byte_is() {
        assert!(is_equal(TOKEN, TOKEN));
        for other in ["", "0", "0123456789abcde", "0123456789abcdef0", "1123456789abcdef"] {
            assert!(!is_equal(other, TOKEN), "{other}");
        }
    }
}
