//! JSON strings and objects as bytes, without building a tree.
//!
//! It never fails: bytes that are not UTF-8 become a literal `\xNN` in the string.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::put::Put;

/// Appends `bytes` as the inside of a JSON string.
pub(super) fn escape(bytes: &[u8], to: &mut impl Put) {
    for chunk in bytes.utf8_chunks() {
        escape_text(chunk.valid().as_bytes(), to);
        for byte in chunk.invalid() {
            to.put(br"\\x");
            to.put(&hex(*byte));
        }
    }
}

fn escape_text(text: &[u8], to: &mut impl Put) {
    let mut clean = 0;
    for (at, byte) in text.iter().enumerate() {
        let short: &[u8] = match byte {
            b'"' => br#"\""#,
            b'\\' => br"\\",
            b'\n' => br"\n",
            b'\r' => br"\r",
            b'\t' => br"\t",
            0x08 => br"\b",
            0x0C => br"\f",
            0x00..0x20 => b"",
            _ => continue,
        };
        to.put(&text[clean..at]);
        clean = at + 1;
        if short.is_empty() {
            to.put(br"\u00");
            to.put(&hex(*byte));
        } else {
            to.put(short);
        }
    }
    to.put(&text[clean..]);
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// The keys of PM2's record that an application may have written itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Timestamp = 1,
    Type = 2,
    ProcessId = 4,
    AppName = 8,
    /// Any other key.
    Other = 0,
}

/// The keys of PM2's record that an application's own JSON object has at its top level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    known: u8,
    empty: bool,
}

impl Object {
    /// Parses `line` if it is one JSON object and nothing else (white space aside).
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        if line.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        // Not `from_slice`: it accepts a skipped string that is not UTF-8.
        serde_json::from_str(str::from_utf8(line).ok()?).ok()
    }

    /// Whether the object has this key.
    pub(super) fn has(self, key: Key) -> bool {
        self.known & key as u8 != 0
    }

    /// Whether the object has no key at all.
    pub(super) fn is_empty(self) -> bool {
        self.empty
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object { known: 0, empty: true };
                while let Some((key, IgnoredAny)) = map.next_entry::<Key, _>()? {
                    object.known |= key as u8;
                    object.empty = false;
                }
                Ok(object)
            }
        }
        from.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "timestamp" => Key::Timestamp,
                    "type" => Key::Type,
                    "process_id" => Key::ProcessId,
                    "app_name" => Key::AppName,
                    _ => Key::Other,
                })
            }
        }
        from.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Key, Object, escape};

    fn quoted(bytes: &[u8]) -> Vec<u8> {
        let mut text = b"\"".to_vec();
        escape(bytes, &mut text);
        text.push(b'"');
        text
    }

    proptest! {
        #[test]
        fn a_string_reads_back(text in any::<String>()) {
            let back: String = serde_json::from_slice(&quoted(text.as_bytes())).unwrap();
            prop_assert_eq!(back, text);
        }

        #[test]
        fn any_bytes_make_a_valid_string(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            serde_json::from_slice::<String>(&quoted(&bytes)).unwrap();
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_readable() {
        let back: String = serde_json::from_slice(&quoted(b"a\xff\x00\xc3")).unwrap();
        assert_eq!(back, "a\\xff\0\\xc3");
    }

    #[test]
    fn only_the_keys_at_the_top_level_count() {
        let object = Object::read(br#" {"a":{"type":1},"app_name":"x","t\u0079pe":2} "#).unwrap();
        assert!(object.has(Key::AppName) && object.has(Key::Type));
        assert!(!object.has(Key::Timestamp) && !object.has(Key::ProcessId));
        assert!(Object::read(b"{}").unwrap().is_empty());
        for line in [&b"[1]"[..], b"{", b"{} x", b"text", b"", b"{\"a\":\"\xff\"}", b"{\"a\":1}{}"] {
            assert_eq!(Object::read(line), None, "{}", line.escape_ascii());
        }
    }
}
