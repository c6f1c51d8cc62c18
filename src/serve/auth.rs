//! Basic authentication (RFC 7617): compares the header with the one of the right credentials, in a time that does
//! not depend on how much of it is right.

use std::hint::black_box;

use hyper::header::HeaderValue;

use crate::spec::serve::Credentials;

/// The credentials that the client must send.
#[derive(Debug)]
pub(super) struct Expected(Vec<u8>);

impl Expected {
    pub(super) fn new(credentials: &Credentials) -> Self {
        Self(base64(format!("{}:{}", credentials.username, credentials.password).as_bytes()))
    }

    /// Whether `Authorization` holds the credentials.
    pub(super) fn is_met_by(&self, header: Option<&HeaderValue>) -> bool {
        let Some((scheme, given)) = header.and_then(|header| {
            let bytes = header.as_bytes();
            let space = bytes.iter().position(|byte| *byte == b' ')?;
            Some((&bytes[..space], bytes[space..].trim_ascii()))
        }) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"basic") && is_equal(&self.0, given)
    }
}

/// Compares every byte of the given value, in constant time.
fn is_equal(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = expected.len() ^ given.len();
    for (at, byte) in given.iter().enumerate() {
        let other = expected.get(at % expected.len().max(1)).copied().unwrap_or_default();
        difference |= usize::from(black_box(byte ^ other));
    }
    black_box(difference) == 0
}

/// The standard alphabet with padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * at) & 63).expect("six bits");
            text.push(if at <= chunk.len() { ALPHABET[digit] } else { b'=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("\u{ff}\u{3f}", "w78/"),
        ] {
            assert_eq!(String::from_utf8(base64(plain.as_bytes())).unwrap(), coded);
        }
    }

    #[test]
    fn only_the_complete_credentials_are_accepted() {
        let credentials = Credentials { username: "Aladdin".into(), password: "open:sesame".into() };
        let expected = Expected::new(&credentials);
        let met = |header: &'static str| expected.is_met_by(Some(&HeaderValue::from_static(header)));
        assert!(met("Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ=="));
        assert!(met("basic  QWxhZGRpbjpvcGVuOnNlc2FtZQ=="));
        for wrong in [
            "Basic",
            "Basic ",
            "Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ",
            "Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==QWxhZGRpbjpvcGVuOnNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVuOnNlc2FtZR==",
            "Bearer QWxhZGRpbjpvcGVuOnNlc2FtZQ==",
        ] {
            assert!(!met(wrong), "{wrong}");
        }
        assert!(!expected.is_met_by(None));
    }
}
