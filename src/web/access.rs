//! Which client may do what, decided from the address of the server and the headers of a request.
//!
//! | address | probes, metrics | reads | changes |
//! |---|---|---|---|
//! | unix socket | yes | yes | yes |
//! | loopback | yes | yes | with the token |
//! | any other | yes | with the token | with the token |

use std::{hint::black_box, net::IpAddr};

use hyper::{HeaderMap, StatusCode, header};

use super::problem::Problem;
use crate::spec::WebAddress;

/// The shortest token that cannot be guessed in a useful time.
pub const MIN_TOKEN: usize = 16;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The state of everything in a word, and figures.
    Probe,
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
            && !is_local(host)
        {
            // A page of another site whose name leads to this address would read everything.
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host header names another host than this one",
            )
            .hint("use 127.0.0.1 or localhost in the URL"));
        }
        let presented = text(header::AUTHORIZATION).map(|value| value.strip_prefix("Bearer ").unwrap_or(""));
        let has_token = match (presented, &self.token) {
            (Some(presented), Some(token)) if !is_equal(presented.trim(), token) => {
                return Err(unauthorized("the token is wrong"));
            }
            (Some(_), Some(_)) => true,
            (_, None) | (None, Some(_)) => false,
        };
        if need == Need::Change {
            check_origin(host, text(header::ORIGIN), headers)?;
        }
        let is_free = match (need, self.reach) {
            (Need::Probe, _) | (Need::Read, Reach::Unix | Reach::Loopback) | (Need::Change, Reach::Unix) => {
                true
            }
            (Need::Read, Reach::Network) | (Need::Change, Reach::Loopback | Reach::Network) => false,
        };
        if is_free || has_token {
            return Ok(());
        }
        Err(match (&self.token, need) {
            (Some(_), _) => unauthorized("this needs the token"),
            (None, Need::Change) => {
                Problem::new(StatusCode::FORBIDDEN, "changes need a token, and none is set")
                    .hint("set PROCRUN_WEB_TOKEN, or listen on a unix socket")
            }
            (None, Need::Probe | Need::Read) => Problem::new(
                StatusCode::FORBIDDEN,
                "without a token this address serves only probes and metrics",
            )
            .hint("set PROCRUN_WEB_TOKEN, or listen on 127.0.0.1 or a unix socket"),
        })
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

/// Whether a Host header names this machine: no other site can have such a name.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
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
            ("0.0.0.0:9615", Some(TOKEN), Need::Probe, &[], 200),
            ("0.0.0.0:9615", Some(TOKEN), Need::Read, &[], 401),
            ("0.0.0.0:9615", Some(TOKEN), Need::Read, &token, 200),
            ("0.0.0.0:9615", Some(TOKEN), Need::Change, &token, 200),
            ("[::ffff:127.0.0.1]:9615", None, Need::Read, &[], 200),
            ("unix:/run/web.sock", None, Need::Change, &[], 200),
            ("unix:/run/web.sock", Some(TOKEN), Need::Change, &[], 200),
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
        for host in ["evil.example", "evil.example:9615", "localhost.evil.example:9615", "", "notlocalhost"] {
            assert_eq!(status(&server, Need::Read, &[("host", host)]), 421, "{host}");
        }
        // A name is usual there, and nothing is free.
        assert_eq!(status(&access("0.0.0.0:9615", None), Need::Probe, &[("host", "pod.example")]), 200);
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
