//! Whether a file that a client names is the supervisor's own ecosystem file.
//!
//! That file may be reached by symbolic links that change, as those of a ConfigMap do, so they are followed
//! for each request. Requests that arrive while links are followed wait for the next look-up: the links may
//! have changed since this one began.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{helper_threads::HelperThreads, lookup::SingleLookup};
use crate::{
    control::{AddRequest, ClientId},
    sys::shortage::is_shortage,
};

/// Time for a look-up of the links.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// A request whose answer depends on whether it names the supervisor's own file.
#[derive(Debug)]
pub(super) enum FileRequest {
    /// Adds the applications of a file.
    Add(Box<AddRequest>),
    /// Applies a file. `None`: the supervisor's own.
    Apply { file: Option<PathBuf>, dry_run: bool },
    /// Requests the environment with which a file is read.
    Environment { file: PathBuf },
}

impl FileRequest {
    /// The file that it names, if it names one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Add(request) => request.file.as_deref().map(Path::new),
            Self::Apply { file, .. } => file.as_deref(),
            Self::Environment { file } => Some(file),
        }
    }
}

/// The look-ups of the links of the supervisor's own file.
#[derive(Debug, Default)]
pub(super) struct OwnFile {
    lookup: SingleLookup,
    is_under_way: bool,
    /// Requests for the next look-up.
    waiting: Vec<(ClientId, FileRequest)>,
}

impl OwnFile {
    /// Adds a request to those that wait for the next look-up.
    pub(super) fn add(&mut self, client: ClientId, request: FileRequest) {
        self.waiting.push((client, request));
    }

    /// The requests for a look-up that can begin now.
    pub(super) fn take_waiting(&mut self) -> Vec<(ClientId, FileRequest)> {
        if self.is_under_way { Vec::new() } else { std::mem::take(&mut self.waiting) }
    }

    /// Begins to follow the links of the supervisor's own file. `None`: the last look-up hangs, or there is no
    /// thread.
    pub(super) fn follow_links(
        &mut self,
        own: &Path,
        helpers: &HelperThreads,
    ) -> Option<oneshot::Receiver<io::Result<PathBuf>>> {
        let own = own.to_owned();
        let followed = self.lookup.begin(helpers, move || own.canonicalize())?;
        self.is_under_way = true;
        Some(followed)
    }

    /// The look-up has ended.
    pub(super) fn end(&mut self) {
        self.is_under_way = false;
    }
}

/// The path without links; `None` if the file is gone. An error: it is not known.
pub(super) fn resolved(own: Option<io::Result<PathBuf>>) -> Result<Option<PathBuf>, String> {
    match own {
        Some(Ok(own)) => Ok(Some(own)),
        Some(Err(error)) if is_shortage(&error) => Err(format!("failed: {error}")),
        Some(Err(_)) => Ok(None),
        None => Err("timed out".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn a_file_system_that_does_not_answer_says_nothing_of_the_file() {
        let failed = |errno| Some(Err(io::Error::from_raw_os_error(errno)));
        assert_eq!(resolved(Some(Ok("/a".into()))), Ok(Some("/a".into())));
        assert_eq!(resolved(failed(libc::ENOENT)), Ok(None));
        assert_eq!(resolved(None), Err("timed out".to_owned()));
        assert!(resolved(failed(libc::EIO)).unwrap_err().starts_with("failed: "));
    }
}
