//! Whether a file that a client names is the supervisor's own ecosystem file.
//!
//! That file may be reached by symbolic links that change, as those of a ConfigMap do, so they are followed
//! for each request. Requests that come while links are followed wait for the next look-up: the links may
//! have changed since this one began.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{actor::Supervisor, lookup::SingleLookup};
use crate::{
    config::UNANSWERED_HINT,
    control::{Answer, ClientId, RequestError},
    sys::shortage::is_shortage,
};

/// Time for a look-up of the links.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How a request continues once it is known whether it names the supervisor's own file.
type Continuation = Box<dyn FnOnce(&mut Supervisor<'_>, bool) -> Result<Option<Answer>, RequestError> + Send>;

/// The look-ups of the links of the supervisor's own file.
#[derive(Default)]
pub(super) struct OwnFile {
    lookup: SingleLookup,
    is_under_way: bool,
    /// Requests for the next look-up.
    waiting: Vec<Waiting>,
}

/// A request that waits for a look-up.
struct Waiting {
    client: ClientId,
    file: PathBuf,
    then: Continuation,
}

impl Supervisor<'_> {
    /// Continues with whether this is the supervisor's own ecosystem file. Without an answer of the file system
    /// the request fails: any other file would be read with the environment of the client.
    pub(super) fn with_own_file(
        &mut self,
        client: ClientId,
        file: Option<&Path>,
        then: impl FnOnce(&mut Supervisor<'_>, bool) -> Result<Option<Answer>, RequestError> + Send + 'static,
    ) -> Result<Option<Answer>, RequestError> {
        let (Some(own), Some(file)) = (self.source.file(), file) else { return then(self, false) };
        if own == file {
            return then(self, true);
        }
        let waiting = Waiting { client, file: file.to_owned(), then: Box::new(then) };
        self.own_file.waiting.push(waiting);
        if !self.own_file.is_under_way {
            self.follow_links();
        }
        Ok(None)
    }

    /// Follows the links for the requests that wait.
    fn follow_links(&mut self) {
        let requests = std::mem::take(&mut self.own_file.waiting);
        let Some(own) = self.source.file().filter(|_| !requests.is_empty()).map(Path::to_owned) else {
            return;
        };
        let helpers = self.workers.helpers();
        let Some(followed) = self.own_file.lookup.ask(helpers, move || own.canonicalize()) else {
            return self.continue_with(requests, None);
        };
        self.own_file.is_under_way = true;
        self.deferred.add_answer(helpers, followed, TIMEOUT, move |supervisor, own| {
            supervisor.own_file.is_under_way = false;
            supervisor.continue_with(requests, own);
            supervisor.follow_links();
        });
    }

    /// Continues requests with the path of the file; `None`: the file system has not answered.
    fn continue_with(&mut self, requests: Vec<Waiting>, own: Option<io::Result<PathBuf>>) {
        let own = resolved(own);
        for Waiting { client, file, then } in requests {
            let answer = match &own {
                Ok(own) => then(self, own.as_ref() == Some(&file)),
                Err(why) => Err(RequestError {
                    message: format!("following the links of {} {why}", self.source.name()),
                    hint: Some(UNANSWERED_HINT.to_owned()),
                }),
            };
            self.answer(client, answer);
        }
    }
}

/// The path without links; `None` if the file is gone. An error: it is not known.
fn resolved(own: Option<io::Result<PathBuf>>) -> Result<Option<PathBuf>, String> {
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
