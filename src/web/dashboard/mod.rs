//! The dashboard: a page for browsers, and the files that it loads.
//!
//! The files contain nothing of the applications. The page reads the API, as any other client.

use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};

use super::{
    answer::{Answer, TEXT},
    body::Body,
};

/// Scripts, styles and requests come from this server alone; the page has no inline script, and no script of it can
/// turn a string into markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file in the binary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Its path after `/dashboard/`.
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// The page at `/`.
pub(super) static PAGE: File = File { path: "", media_type: HTML, text: include_str!("index.html") };

macro_rules! files {
    ($($path:literal: $media_type:expr,)*) => {
        &[$(File { path: $path, media_type: $media_type, text: include_str!($path) },)*]
    };
}

static FILES: &[File] = files! {
    "actions.js": SCRIPT,
    "ansi.js": SCRIPT,
    "api.js": SCRIPT,
    "app_page.js": SCRIPT,
    "chart.js": SCRIPT,
    "dom.js": SCRIPT,
    "event_rows.js": SCRIPT,
    "events_page.js": SCRIPT,
    "format.js": SCRIPT,
    "history.js": SCRIPT,
    "icon.svg": SVG,
    "instance_table.js": SCRIPT,
    "keys.js": SCRIPT,
    "logs_page.js": SCRIPT,
    "main.js": SCRIPT,
    "node_figures.js": SCRIPT,
    "overview_page.js": SCRIPT,
    "sparkline.js": SCRIPT,
    "sse.js": SCRIPT,
    "settings.js": SCRIPT,
    "status.js": SCRIPT,
    "store.js": SCRIPT,
    "style.css": CSS,
    "theme.js": SCRIPT,
    "vendor/uplot.LICENSE": TEXT,
    "vendor/uplot.css": CSS,
    "vendor/uplot.js": SCRIPT,
    "virtual_list.js": SCRIPT,
};

/// The file at `/dashboard/{path}`.
pub(super) fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// Sends a file. A browser requests it again at each visit, since another version of procrun has other files.
pub(super) fn answer(file: &'static File) -> Answer {
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Answer::new(StatusCode::OK, file.media_type, Body::complete(file.text)).with(policy.0, policy.1)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_directory_is_served() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/dashboard");
        let names = |directory: &Path| -> Vec<String> {
            let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
            entries.map(|name| name.into_string().unwrap()).collect()
        };
        let is_served = |name: &str| [".js", ".css", ".svg"].iter().any(|ending| name.ends_with(ending));
        for name in names(&directory).iter().filter(|name| is_served(name)) {
            assert!(file(name).is_some(), "{name}");
        }
        for name in names(&directory.join("vendor")).iter().filter(|name| is_served(name)) {
            assert!(file(&format!("vendor/{name}")).is_some(), "{name}");
        }
        assert!(file("").is_none() && file("mod.rs").is_none() && file("../mod.rs").is_none());
    }

    #[test]
    fn the_page_has_no_inline_script_or_style_and_loads_only_its_files() {
        for forbidden in ["style=", "<style", "onclick", "onload", "javascript:", "//"] {
            assert!(!PAGE.text.contains(forbidden), "{forbidden}");
        }
        let loaded = PAGE.text.split('"').filter_map(|part| part.strip_prefix("/dashboard/"));
        let loaded: Vec<&str> = loaded.collect();
        assert!(loaded.len() >= 4, "{loaded:?}");
        for path in loaded {
            assert!(file(path).is_some(), "{path}");
        }
    }

    #[test]
    fn no_script_makes_markup_of_strings() {
        let own = FILES.iter().filter(|file| file.media_type == SCRIPT && !file.path.starts_with("vendor/"));
        for file in own {
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            let sinks = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("];
            for forbidden in sinks.iter().chain(&["http:", "https:"]) {
                assert!(!text.contains(forbidden), "{}: {forbidden}", file.path);
            }
        }
    }
}
