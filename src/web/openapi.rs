//! The description of the API.

/// An OpenAPI document. The tests compare its paths with those of the server.
pub(super) const TEXT: &str = include_str!("openapi.json");
