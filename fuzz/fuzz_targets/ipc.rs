//! Node's IPC messages from a worker that says anything: nothing panics, and how the bytes were
//! cut makes no difference. The first byte says where to cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use procrun::node::cluster::wire::{Broken, Decoder, Message};

fn decode(pieces: &[&[u8]]) -> Vec<Result<Message, Broken>> {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.feed(piece, |message| messages.push(message));
    }
    messages
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(decode(&[first, second]), decode(&[bytes]));
});
