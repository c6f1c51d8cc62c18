//! The list of a directory's files as a page (`PM2_SERVE_FTP`, `--ftp`).

use std::{fs, io, os::fd::AsRawFd as _, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::files::Files;

/// Maximum number of shown entries.
const MAX_ENTRIES: usize = 10_000;

/// Characters that stay unescaped in a path.
const UNESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The page. `shown` is the path in the form of the request. Blocks.
pub(super) fn page(files: &Files, path: &Path, shown: &str) -> io::Result<String> {
    let directory = files.read(path)?;
    if !directory.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    // The opened directory, even if its path leads elsewhere now.
    let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut entries: Vec<(bool, String, u64)> = Vec::new();
    let mut more = 0_usize;
    for entry in fs::read_dir(opened)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            more += 1;
            continue;
        }
        // Only files that a request can get.
        let Ok(found) = files.read(&path.join(&name)).and_then(|file| file.metadata()) else { continue };
        entries.push((found.is_dir(), name, found.len()));
    }
    entries.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let title = format!("Index of {}", escaped(shown));
    let mut page = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title></head><body>\n<h1>{title}</h1>\n<table>\n"
    );
    if shown != "/" {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td></tr>\n");
    }
    for (is_directory, name, size) in entries {
        let slash = if is_directory { "/" } else { "" };
        let size = if is_directory { String::new() } else { size.to_string() };
        let (link, name) = (utf8_percent_encode(&name, UNESCAPED), escaped(&name));
        let row = format!("<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a></td><td>{size}</td></tr>\n");
        page.push_str(&row);
    }
    if more > 0 {
        let row = format!("<tr><td>and {more} more</td><td></td></tr>\n");
        page.push_str(&row);
    }
    page.push_str("</table></body></html>\n");
    Ok(page)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_hidden_files_are_left_out() {
        let bed = tempfile::tempdir().unwrap();
        for name in ["b.txt", ".env", "<script>.html", "a b%.txt"] {
            fs::write(bed.path().join(name), "text").unwrap();
        }
        fs::create_dir(bed.path().join("zoo")).unwrap();
        let files = Files::new(bed.path().to_owned());
        let page = page(&files, Path::new("."), "/").unwrap();
        let links: Vec<&str> =
            page.lines().filter_map(|line| line.split("href=\"").nth(1)?.split('"').next()).collect();
        assert_eq!(links, ["./zoo/", "./%3Cscript%3E.html", "./a%20b%25.txt", "./b.txt"]);
        assert!(!page.contains("<script>") && !page.contains(".env") && !page.contains("../"), "{page}");
        assert!(super::page(&files, Path::new("b.txt"), "/b.txt").is_err());
    }
}
