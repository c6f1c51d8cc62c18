//! Text of a worker in messages.

use crate::shown::{cut, log_line};

/// Text of a worker on one line of limited length.
pub(super) fn clean(bytes: &[u8]) -> String {
    /// In terminal columns.
    const MAX_REASON_LENGTH: usize = 200;
    cut(&log_line(String::from_utf8_lossy(bytes).trim()), MAX_REASON_LENGTH).into_owned()
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn text_of_a_worker_is_one_bounded_line() {
        assert_eq!(clean(b"  a\x1b[31mb\nc\xff \xe2\x80\xae. "), "ab·c\u{fffd} ·.");
        assert_eq!(clean(&[b'x'; 1000]).chars().count(), 200);
    }
}
