//! A request → an answer: access, the file, and the headers. tower-http's file server does the rest: ranges,
//! conditions, redirects of directories, content types.

use std::{io, path::Path};

use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use percent_encoding::percent_decode_str;
use tower_http::services::fs::{DefaultServeDirFallback, ServeDir, ServeFileSystemResponseBody};

use super::{
    auth::Expected,
    files::{Files, blocking},
    listing,
    output::log_error,
};
use crate::{http::server::Handler, spec::serve::ServeSettings};

type Answer = Response<Either<ServeFileSystemResponseBody, Full<Bytes>>>;

/// The page for missing files.
const NOT_FOUND_PAGE: &str = "/404.html";
/// Hidden directories that may be read (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// The files of a directory as a site.
pub(super) struct Site {
    files: Files,
    directory: ServeDir<DefaultServeDirFallback, Files>,
    settings: ServeSettings,
    expected: Option<Expected>,
}

impl Site {
    pub(super) fn new(directory: std::path::PathBuf, settings: ServeSettings) -> Self {
        let files = Files::new(directory);
        let expected = settings.credentials.as_ref().map(Expected::new);
        let directory = ServeDir::with_backend("", files.clone()).ignore_multi_range_requests(true);
        Self { files, directory, settings, expected }
    }

    async fn find(&self, method: &Method, path: &str, headers: HeaderMap) -> Answer {
        let mut headers = headers;
        let candidates = self.candidates(path);
        for candidate in &candidates {
            self.keep_valid_range(candidate, &mut headers).await;
            match self.file(method, candidate, headers.clone()).await {
                Ok(Some(answer)) => return answer,
                Ok(None) => {}
                Err(error) => {
                    log_error(&format!("{method} {candidate}: {error}"));
                    return text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n");
                }
            }
        }
        if self.settings.lists_directories && path.ends_with('/') && is_visible(path) {
            let (files, shown) = (self.files.clone(), decoded(path));
            let listing = blocking(move || {
                let relative = shown.trim_start_matches('/').to_owned();
                listing::page(&files, Path::new(&relative), &shown)
            });
            if let Ok(page) = listing.await {
                return page_of(StatusCode::OK, page);
            }
        }
        match self.file(&Method::GET, NOT_FOUND_PAGE, HeaderMap::new()).await {
            Ok(Some(mut answer)) if answer.status() == StatusCode::OK => {
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
            Ok(_) | Err(_) => text(StatusCode::NOT_FOUND, "404 Not Found\n"),
        }
    }

    /// The paths that are tried for a request, in order. In single-page mode PM2 searches the last part of the path at the
    /// root, where a page with relative links has its scripts, then uses the homepage.
    fn candidates(&self, path: &str) -> Vec<String> {
        let first = if path == "/" { self.settings.homepage.clone() } else { path.to_owned() };
        let mut candidates = vec![first];
        if self.settings.is_single_page {
            if let Some((before, last)) = path.rsplit_once('/')
                && !before.is_empty()
                && !last.is_empty()
            {
                candidates.push(format!("/{last}"));
            }
            candidates.push(self.settings.homepage.clone());
        }
        candidates
    }

    /// The answer of the file server; `None`: there is no such file.
    async fn file(&self, method: &Method, path: &str, headers: HeaderMap) -> io::Result<Option<Answer>> {
        let Ok(uri) = path.parse::<Uri>() else { return Ok(None) };
        if !is_visible(path) {
            return Ok(None);
        }
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        match self.directory.clone().try_call(request).await {
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => Ok(None),
            Ok(answer) => Ok(Some(answer.map(Either::Left))),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Removes the range if `If-Range` shows that the file has changed: then the whole file is sent. tower-http does not
    /// support this header.
    async fn keep_valid_range(&self, path: &str, headers: &mut HeaderMap) {
        let Some(condition) = headers.remove(header::IF_RANGE) else { return };
        let is_same = match self.file(&Method::HEAD, path, HeaderMap::new()).await {
            Ok(Some(now)) => {
                let matches = |name| now.headers().get(name) == Some(&condition);
                matches(header::ETAG) || matches(header::LAST_MODIFIED)
            }
            Ok(None) | Err(_) => false,
        };
        if !is_same {
            headers.remove(header::RANGE);
        }
    }
}

impl Handler for Site {
    type Body = Either<ServeFileSystemResponseBody, Full<Bytes>>;

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (request, _) = request.into_parts();
        let mut answer = if self
            .expected
            .as_ref()
            .is_some_and(|expected| !expected.is_met_by(request.headers.get(header::AUTHORIZATION)))
        {
            let mut answer = text(StatusCode::UNAUTHORIZED, "401 Unauthorized\n");
            let challenge = HeaderValue::from_static("Basic realm=\"procrun\", charset=\"UTF-8\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            answer
        } else if request.method != Method::GET && request.method != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            answer
        } else {
            // With two slashes, a redirect would lead to another host.
            let path = format!("/{}", request.uri.path().trim_start_matches('/'));
            let mut answer = self.find(&request.method, &path, request.headers).await;
            if let Some(query) = request.uri.query() {
                keep_query(answer.headers_mut(), query);
            }
            answer
        };
        finish(answer.headers_mut());
        answer
    }
}

/// Keeps the query in a redirect to a directory.
fn keep_query(headers: &mut HeaderMap, query: &str) {
    if let Some(location) = headers.get(header::LOCATION).and_then(|location| location.to_str().ok())
        && let Ok(location) = HeaderValue::try_from(format!("{location}?{query}"))
    {
        headers.insert(header::LOCATION, location);
    }
}

/// The headers of every answer.
fn finish(headers: &mut HeaderMap) {
    let mut insert = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    // A new version is served at once. An unchanged file is not sent again (304).
    insert(header::CACHE_CONTROL, "no-cache");
    insert(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // As PM2.
    insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    insert(header::ACCESS_CONTROL_ALLOW_METHODS, "GET");
    if let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok())
        && (kind.starts_with("text/") || kind == "application/javascript")
        && !kind.contains("charset")
        && let Ok(kind) = HeaderValue::try_from(format!("{kind}; charset=utf-8"))
    {
        headers.insert(header::CONTENT_TYPE, kind);
    }
}

/// Whether the path has no hidden part.
fn is_visible(path: &str) -> bool {
    decoded(path).split('/').all(|part| !part.starts_with('.') || part == WELL_KNOWN)
}

fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    with_body(status, "text/plain", Bytes::from_static(text.as_bytes()))
}

fn page_of(status: StatusCode, page: String) -> Answer {
    with_body(status, "text/html", page.into())
}

fn with_body(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Either::Right(Full::new(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
