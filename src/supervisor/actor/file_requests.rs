//! Requests that name an ecosystem file: whether it is the supervisor's own decides how they are answered.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    super::own_file::{self, FileRequest, resolved},
    Supervisor,
};
use crate::{
    config::UNANSWERED_HINT,
    control::{Answer, ClientId, RequestError, sendable_environment},
};

impl Supervisor<'_> {
    /// Handles a request that may name the supervisor's own ecosystem file. Without an answer of the file system
    /// the request fails: any other file would be read with the environment of the client.
    pub(super) fn handle_file_request(
        &mut self,
        client: ClientId,
        request: FileRequest,
    ) -> Result<Option<Answer>, RequestError> {
        let (Some(own), Some(file)) = (self.source.file(), request.file()) else {
            return self.answer_file_request(client, request, false);
        };
        if own == file {
            return self.answer_file_request(client, request, true);
        }
        self.own_file.add(client, request);
        self.follow_links();
        Ok(None)
    }

    /// Follows the links for the requests that wait.
    fn follow_links(&mut self) {
        let requests = self.own_file.take_waiting();
        let Some(own) = self.source.file().filter(|_| !requests.is_empty()) else { return };
        let Some(followed) = self.own_file.follow_links(own, self.workers.helpers()) else {
            return self.answer_file_requests(requests, None);
        };
        self.when_answered(followed, own_file::TIMEOUT, move |supervisor, own| {
            supervisor.own_file.end();
            supervisor.answer_file_requests(requests, own);
            supervisor.follow_links();
        });
    }

    /// Answers requests with the path of the own file; `None`: the file system has not answered.
    fn answer_file_requests(
        &mut self,
        requests: Vec<(ClientId, FileRequest)>,
        own: Option<io::Result<PathBuf>>,
    ) {
        let own = resolved(own);
        for (client, request) in requests {
            let answer = match &own {
                Ok(own) => {
                    let is_own_file = own.as_deref() == request.file();
                    self.answer_file_request(client, request, is_own_file)
                }
                Err(why) => Err(RequestError {
                    message: format!("following the links of {} {why}", self.source.name()),
                    hint: Some(UNANSWERED_HINT.to_owned()),
                }),
            };
            self.answer(client, answer);
        }
    }

    fn answer_file_request(
        &mut self,
        client: ClientId,
        request: FileRequest,
        is_own_file: bool,
    ) -> Result<Option<Answer>, RequestError> {
        match request {
            FileRequest::Add(request) => self.add(client, *request, is_own_file, None).map(|()| None),
            // The client applies any other file itself.
            FileRequest::Apply { file: Some(file), .. } if !is_own_file => {
                Ok(Some(Answer::FileEnvironment(self.environment_of_file(&file, is_own_file))))
            }
            FileRequest::Apply { dry_run, .. } => self.apply_file(client, dry_run).map(|()| None),
            FileRequest::Environment { file } => {
                Ok(Some(Answer::FileEnvironment(self.environment_of_file(&file, is_own_file))))
            }
        }
    }

    /// The environment with which an ecosystem file was read: by a command, or as the supervisor's own. So
    /// a file that has not changed reads the same for every command.
    fn environment_of_file(&self, file: &Path, is_own_file: bool) -> Option<BTreeMap<String, String>> {
        let by_command = self.added.environment_of_file(file);
        by_command.or_else(|| is_own_file.then(|| sendable_environment(self.source.environment())))
    }
}
