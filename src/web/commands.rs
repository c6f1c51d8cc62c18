//! Requests that change something: commands to the supervisor and their progress.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Request, StatusCode,
    body::{Body as _, Bytes, Incoming},
    header,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use super::{
    accept::preferred,
    answer::{Answer, JSON},
    event_json::with_text,
    link::{Connector, Link},
    problem::Problem,
    queries::refused,
    query::bad,
    sse::{self, Messages},
};
use crate::{
    control::{self, Action, Count, EncodedEvent},
    spec::Signal,
};

/// Maximum bytes of a request's body.
const MAX_BODY: usize = 64 * 1024;
/// Time for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The last events of an operation that are part of its answer.
const MAX_STEPS: usize = 1000;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// An action without further values.
    Act(Action, String),
    Signal(String),
    Flush(String),
    Scale(String),
    Apply,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalBody {
    signal: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScaleBody {
    instances: Number,
}

/// `4`, `"4"`, `"+1"` or `"-1"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u32),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyBody {
    #[serde(default)]
    dry_run: bool,
}

impl Command {
    /// The request to the supervisor. The body has the values of some commands.
    fn request(self, body: &[u8]) -> Result<control::Request, Problem> {
        match self {
            Self::Act(action, target) => {
                parsed::<Empty>(body, "{}")?;
                Ok(control::Request::Act { action, targets: vec![target] })
            }
            Self::Flush(target) => {
                parsed::<Empty>(body, "{}")?;
                Ok(control::Request::Flush { targets: vec![target] })
            }
            Self::Signal(target) => {
                let SignalBody { signal } = parsed(body, "{\"signal\":\"SIGUSR1\"}")?;
                let signal = Signal::parse(&signal)
                    .ok_or_else(|| bad("`signal` must be the name of a signal such as SIGUSR1"))?;
                Ok(control::Request::Act { action: Action::Signal(signal), targets: vec![target] })
            }
            Self::Scale(app) => {
                let ScaleBody { instances } = parsed(body, "{\"instances\":4}")?;
                let text = match instances {
                    Number::Number(number) => number.to_string(),
                    Number::Text(text) => text,
                };
                let count: Count = text
                    .parse()
                    .map_err(|_| bad("`instances` must be a number, or a difference such as \"+1\""))?;
                Ok(control::Request::Scale { app, count })
            }
            Self::Apply => {
                let ApplyBody { dry_run } =
                    if body.is_empty() { ApplyBody::default() } else { parsed(body, "{\"dry_run\":true}")? };
                Ok(control::Request::Apply { file: None, dry_run })
            }
        }
    }
}

/// A body without values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

fn parsed<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is wrong: {error}")).hint(format!("example: {example}")))
}

/// Carries out a command. A client that accepts `text/event-stream` gets its events as they happen.
pub(super) async fn carry_out(
    command: Command,
    request: Request<Incoming>,
    connector: &Connector,
    place: impl Send + 'static,
) -> Result<Answer, Problem> {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let streams = preferred(accept, &[JSON, "text/event-stream"]) == Some(1);
    let body = body(request).await?;
    let unreachable = |error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the supervisor has not answered: {error}"))
    };
    let link = connector.ask(&command.request(&body)?).await.map_err(unreachable)?;
    if streams {
        let (sender, answer) = sse::stream();
        tokio::spawn(async move {
            let _place = place;
            pass_on(link, &sender).await;
        });
        return Ok(answer);
    }
    complete(link).await
}

/// The body of a request, within its limits.
async fn body(request: Request<Incoming>) -> Result<Bytes, Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_owned());
    let is_json = media_type
        .as_ref()
        .and_then(|it| it.split(|byte| *byte == b';').next())
        .is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes()));
    if !request.body().is_end_stream() && !is_json {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
            .hint("send `Content-Type: application/json`"));
    }
    match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {MAX_BODY} bytes, or was not sent completely"),
        )),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body was not sent in time")),
    }
}

/// The answer when the operation is over.
async fn complete(mut link: Link) -> Result<Answer, Problem> {
    let mut steps: Vec<EncodedEvent> = Vec::new();
    let mut plan = None;
    loop {
        match link.answer().await {
            Ok(control::Answer::Step(event)) => {
                if steps.len() == MAX_STEPS {
                    steps.remove(0);
                }
                steps.push(event);
            }
            Ok(control::Answer::Plan { changes, dry_run: true }) => {
                return Ok(Answer::json(&json!({ "changes": changes })));
            }
            Ok(control::Answer::Plan { changes, dry_run: false }) => plan = Some(changes),
            Ok(control::Answer::Done { ids }) => {
                let mut done = json!({ "ids": ids, "events": steps });
                if let Some(changes) = plan {
                    done["changes"] = json!(changes);
                }
                return Ok(Answer::json(&done));
            }
            Ok(control::Answer::Failed(error)) => return Err(refused(error)),
            Ok(_) => {
                return Err(Problem::new(
                    StatusCode::CONFLICT,
                    "the supervisor cannot carry this out by HTTP",
                ));
            }
            Err(error) => {
                return Err(Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("the supervisor has ended before the command was done: {error}"),
                ));
            }
        }
    }
}

/// Sends the events of an operation until it is over or the client is gone; the operation continues without it.
async fn pass_on(mut link: Link, sender: &mpsc::Sender<Bytes>) {
    loop {
        let Some(answer) = sse::next(link.answer(), sender).await else { return };
        let mut messages = Messages::default();
        let is_over = match answer {
            Ok(control::Answer::Step(event)) => {
                messages.add(None, None, &with_text(&event));
                false
            }
            Ok(control::Answer::Plan { changes, dry_run }) => {
                messages.add(None, Some("plan"), &json!({ "changes": changes }).to_string());
                dry_run
            }
            Ok(control::Answer::Done { ids }) => {
                messages.add(None, Some("done"), &json!({ "ids": ids }).to_string());
                true
            }
            Ok(control::Answer::Failed(error)) => {
                messages.add(None, Some("failed"), &json!(error).to_string());
                true
            }
            Ok(_) | Err(_) => {
                let error = json!({ "message": "the supervisor has ended", "hint": null });
                messages.add(None, Some("failed"), &error.to_string());
                true
            }
        };
        if sender.send(messages.into_bytes()).await.is_err() || is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_and_its_body_become_a_request() {
        let target = || "api".to_owned();
        for (command, body, expected) in [
            (
                Command::Act(Action::Restart, target()),
                "",
                control::Request::Act { action: Action::Restart, targets: vec![target()] },
            ),
            (
                Command::Signal(target()),
                r#"{"signal":"SIGUSR1"}"#,
                control::Request::Act { action: Action::Signal(Signal::USR1), targets: vec![target()] },
            ),
            (
                Command::Scale(target()),
                r#"{"instances":4}"#,
                control::Request::Scale { app: target(), count: Count::To(4) },
            ),
            (
                Command::Scale(target()),
                r#"{"instances":"+2"}"#,
                control::Request::Scale { app: target(), count: Count::By(2) },
            ),
            (Command::Apply, "", control::Request::Apply { file: None, dry_run: false }),
            (Command::Apply, r#"{"dry_run":true}"#, control::Request::Apply { file: None, dry_run: true }),
            (Command::Flush(target()), "{}", control::Request::Flush { targets: vec![target()] }),
        ] {
            assert_eq!(command.request(body.as_bytes()), Ok(expected), "{body}");
        }
        for (command, body) in [
            (Command::Act(Action::Stop, target()), r#"{"force":true}"#),
            (Command::Signal(target()), r#"{"signal":"SIGNONE"}"#),
            (Command::Signal(target()), ""),
            (Command::Scale(target()), r#"{"instances":"many"}"#),
            (Command::Scale(target()), r#"{"instances":-1.5}"#),
            (Command::Apply, r#"{"file":"/etc/passwd"}"#),
            (Command::Apply, "["),
        ] {
            let problem = command.request(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{body}");
        }
    }
}
