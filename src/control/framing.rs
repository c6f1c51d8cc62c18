//! The framing of the control socket: each message is a line of JSON, and both sides send a [`Hello`] first.
//!
//! The two fields of the hello never change, so that different versions can always report the difference. Every line
//! has a maximum length: a client that exceeds it gets one answer and is disconnected.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version of the messages except [`Hello`]. It increases when the meaning of a message changes.
pub const PROTOCOL: u32 = 2;
/// The maximum size of a request in bytes: a whole environment fits.
pub const MAX_REQUEST: usize = 1024 * 1024;
/// The maximum size in bytes of a line before the client's hello.
pub const MAX_HELLO: usize = 1024;
/// The maximum size of an answer in bytes: all details of some thousand processes fit.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The first message of both sides, the same in all versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u32,
    /// The version of the sender.
    pub procrun: String,
}

impl Hello {
    /// The hello of this program.
    pub fn own() -> Self {
        Self { protocol: PROTOCOL, procrun: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// A message as a line.
///
/// # Panics
///
/// Never: the keys of all maps are strings.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages are made of strings, numbers and lists");
    line.push(b'\n');
    line
}

/// Decodes a line.
///
/// # Errors
///
/// The reason why the line is not such a message.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// Splits received bytes into lines, and keeps an incomplete line.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// The length of the lines that `next` has returned.
    consumed: usize,
    /// The length of the part without a line end.
    searched: usize,
}

/// A line exceeds its maximum length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTooLong;

impl LineBuffer {
    /// Appends received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.consumed);
        self.searched = self.searched.saturating_sub(self.consumed);
        self.consumed = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete line, without its end.
    ///
    /// # Errors
    ///
    /// [`LineTooLong`] if it exceeds `max` bytes. Then the bytes that follow have no meaning.
    pub fn next(&mut self, max: usize) -> Result<Option<&[u8]>, LineTooLong> {
        let from = self.searched;
        let end = memchr::memchr(b'\n', &self.bytes[from..]).map(|at| from + at);
        self.searched = self.bytes.len();
        if end.unwrap_or(self.bytes.len()) - self.consumed > max {
            return Err(LineTooLong);
        }
        let Some(end) = end else { return Ok(None) };
        let line = self.consumed..end;
        self.consumed = end + 1;
        self.searched = self.consumed;
        Ok(Some(&self.bytes[line]))
    }

    /// The number of stored bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no bytes are stored.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether bytes follow the last complete line.
    pub fn has_more(&self) -> bool {
        self.consumed < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]], max: usize) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut lines = LineBuffer::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.feed(piece);
            while let Some(line) = lines.next(max)? {
                found.push(line.to_vec());
            }
        }
        Ok(found)
    }

    #[test]
    fn lines_do_not_depend_on_the_chunks_in_which_they_arrive() {
        let text = b"one\n\ntwo\nthree";
        let whole = cut(&[text], 5).unwrap();
        assert_eq!(whole, [&b"one"[..], b"", b"two"]);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]], 5).unwrap(), whole, "{at}");
        }
    }

    #[test]
    fn a_line_has_a_maximum_also_before_its_end_arrives() {
        assert_eq!(cut(&[b"12345\n"], 5).unwrap().len(), 1);
        assert_eq!(cut(&[b"123456\n"], 5), Err(LineTooLong));
        assert_eq!(cut(&[b"123", b"456"], 5), Err(LineTooLong));
        assert_eq!(cut(&[b"1\n23", b"45"], 5).unwrap().len(), 1);
    }

    #[test]
    fn a_hello_of_any_version_is_understood() {
        let hello: Hello = decode(br#"{"protocol":1,"procrun":"0.1.0","later":true}"#).unwrap();
        assert_eq!(hello, Hello { protocol: 1, procrun: "0.1.0".into() });
    }
}
