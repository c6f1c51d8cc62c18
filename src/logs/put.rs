//! Destinations for formatted bytes.

/// A destination for bytes.
pub(super) trait Put {
    /// Appends all of them.
    fn put(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
