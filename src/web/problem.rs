//! Errors as `application/problem+json` (RFC 9457).

use hyper::{StatusCode, header};
use serde_json::json;

use super::{answer::Answer, body::Body};

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// What failed and why.
    pub(super) detail: String,
    /// The next step.
    pub(super) hint: Option<String>,
    /// A header that belongs to the status.
    pub(super) header: Option<(header::HeaderName, &'static str)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), hint: None, header: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn header(self, name: header::HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Too many requests of a kind are in progress.
    pub(super) fn busy(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{what}: try again later"))
            .header(header::RETRY_AFTER, "1")
    }

    /// The supervisor refuses a request that only reads if its target selects nothing.
    pub(super) fn of_target(self) -> Self {
        match self.status {
            StatusCode::CONFLICT => Self { status: StatusCode::NOT_FOUND, ..self },
            _ => self,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
            .hint("GET /api/v1/openapi.json lists the paths")
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let Problem { status, detail, hint, header } = problem;
        let mut content = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": detail,
        });
        if let Some(hint) = hint {
            content["hint"] = hint.into();
        }
        let mut answer = Self::new(status, "application/problem+json", Body::complete(content.to_string()));
        if let Some((name, value)) = header {
            answer = answer.with(name, header::HeaderValue::from_static(value));
        }
        answer
    }
}
