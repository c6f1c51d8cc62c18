//! What has changed.

use std::path::PathBuf;

/// A changed path, or a loss of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A file or directory, absolute.
    Path(PathBuf),
    /// A file whose name is not known was removed.
    Removed,
    /// The kernel's queue has overflowed.
    Overflow,
}
