//! What a client sends over the control socket: nothing panics, nothing is kept without bound, and how
//! the bytes were cut makes no difference. The first byte says where to cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use procrun::control::{
    Hello, Request,
    framing::{LineBuffer, MAX_HELLO, decode},
};

/// The messages until one is too long, which ends the conversation.
fn read(pieces: &[&[u8]]) -> Vec<Result<Request, String>> {
    let mut lines = LineBuffer::default();
    let mut messages = Vec::new();
    for piece in pieces {
        lines.feed(piece);
        loop {
            match lines.next(MAX_HELLO) {
                Ok(Some(line)) => {
                    let _ = decode::<Hello>(line);
                    messages.push(decode(line));
                }
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(read(&[first, second]), read(&[bytes]));
});
