//! The specification of a log file: its path, size and owner.

use std::path::PathBuf;

#[cfg(doc)]
use crate::spec::LogFiles;
use crate::sys::file_rights::FileOwner;

/// One log file of one instance, with all placeholders resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Absolute path.
    pub path: PathBuf,
    /// See [`LogFiles::max_size`].
    pub max_size: u64,
    /// See [`LogFiles::keep`].
    pub keep: u32,
    /// See [`LogFiles::compress`].
    pub compress: bool,
    /// Created for procrun's own user alone (0600), whatever the umask. Must be a regular file and no symbolic
    /// link.
    pub private: bool,
    /// The user of the application, if it is not procrun's own. In a directory that this user controls, procrun
    /// accesses the file with the rights of this user.
    pub owner: Option<FileOwner>,
}
