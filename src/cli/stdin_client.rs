//! The standard input of a process, by way of its supervisor.

use super::{
    connect::{Supervisor, unexpected},
    failure::Failure,
};
use crate::control::{Answer, Request};

/// Maximum bytes of one request; a longer text is split into several.
const PIECE: usize = 32 * 1024;

/// The standard input of a process.
pub(super) struct StdinClient {
    pub(super) supervisor: Supervisor,
    pub(super) target: String,
}

impl StdinClient {
    /// Sends a text, waits until it is in the pipe of the process, and returns the id of the process.
    pub(super) fn send(&mut self, text: &str) -> Result<u32, Failure> {
        let mut rest = text;
        loop {
            let (piece, more) = rest.split_at(piece_end(rest));
            let request = Request::Input { target: self.target.clone(), text: piece.to_owned() };
            let id = match self.supervisor.request(&request)? {
                Answer::Done { ids } => ids.first().copied().unwrap_or_default(),
                other => return Err(unexpected(&other)),
            };
            if more.is_empty() {
                return Ok(id);
            }
            rest = more;
        }
    }
}

/// The length of the first request of a text, at a character boundary.
fn piece_end(text: &str) -> usize {
    (0..=PIECE.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ü".repeat(PIECE);
        let text = format!("a{text}");
        let (mut rest, mut pieces) = (text.as_str(), Vec::new());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(piece_end(rest));
            assert!(!piece.is_empty() && piece.len() <= PIECE);
            pieces.push(piece);
            rest = more;
        }
        assert_eq!(pieces.concat(), text);
        assert_eq!(piece_end("short"), 5);
    }
}
