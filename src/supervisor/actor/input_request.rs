//! The request to write to the standard input of a worker.

use super::{
    super::input::{MAX_TEXT_BYTES, NoInput, Undelivered},
    Supervisor,
};
use crate::control::{Answer, ClientId, RequestError};

impl Supervisor<'_> {
    /// Writes a text to the standard input of one worker. The answer comes when the text is in the pipe.
    pub(super) fn send_input(
        &mut self,
        client: ClientId,
        target: &str,
        text: String,
    ) -> Result<Option<Answer>, RequestError> {
        let id = match self.select(&[target])?[..] {
            [id] => id,
            ref several => {
                let ids: Vec<String> = self.pm_ids(several).iter().map(u32::to_string).collect();
                return Err(RequestError {
                    message: format!(
                        "`{target}` selects {} processes, but input goes to one process",
                        several.len()
                    ),
                    hint: Some(format!("name it by its id: {}", ids.join(", "))),
                });
            }
        };
        let view = self.machine.instance(id).expect("it was selected");
        let (instance, pm_id) = (view.subject().to_string(), view.pm_id);
        let input = match self.workers.input(id) {
            Ok(input) => input,
            Err(NoInput::NoProcess) => {
                return Err(RequestError {
                    message: format!("{instance} is not running, nothing was sent to its stdin"),
                    hint: Some(format!(
                        "`procrun start {pm_id}` starts it, `procrun describe {pm_id}` shows its last exits"
                    )),
                });
            }
            Err(NoInput::Null) => {
                return Err(RequestError {
                    message: format!(
                        "the standard input of {instance} is /dev/null: its configuration says `stdin = \"null\"`"
                    ),
                    hint: Some("set `stdin = \"open\"` for the app and restart it".to_owned()),
                });
            }
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(RequestError {
                message: format!(
                    "{} bytes of input are too long: the limit is {MAX_TEXT_BYTES} bytes",
                    text.len()
                ),
                hint: Some("send it in several lines, or let the app read a file".to_owned()),
            });
        }
        if text.is_empty() {
            return Ok(Some(Answer::Done { ids: vec![pm_id] }));
        }
        let length = text.len();
        let outcome = input.send(text.into_bytes());
        self.clients.answer_later(client, async move {
            let outcome = match outcome {
                Ok(outcome) => outcome.await.unwrap_or(Err(Undelivered::Closed)),
                Err(refused) => Err(refused),
            };
            match outcome {
                Ok(()) => Answer::Done { ids: vec![pm_id] },
                Err(undelivered) => undelivered.answer(&instance, length),
            }
        });
        Ok(None)
    }
}
