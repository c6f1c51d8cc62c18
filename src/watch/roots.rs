//! The paths of `watch`: where watching begins, and which files below count.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::glob::{Pattern, alternatives};
use crate::spec::WatchSpec;

/// The paths of one application.
#[derive(Debug)]
pub(super) struct Roots {
    /// Files and directories: everything below counts.
    plain: Vec<PathBuf>,
    /// Files below one of these directories count if they match the pattern.
    globs: Vec<(PathBuf, Pattern)>,
}

impl Roots {
    /// Checks which of the paths exist as written; the others may be patterns.
    pub(super) fn of(spec: &WatchSpec) -> Self {
        let (mut plain, mut globs) = (Vec::new(), Vec::new());
        for path in &spec.paths {
            let text = path.to_string_lossy();
            if !text.contains(['*', '?', '[', '{']) || path.symlink_metadata().is_ok() {
                plain.push(path.clone());
                continue;
            }
            for text in alternatives(&text) {
                match Pattern::parse(text.as_bytes()) {
                    Some(pattern) if text.contains(['*', '?', '[']) => globs.push((base(&text), pattern)),
                    _ => plain.push(PathBuf::from(text)),
                }
            }
        }
        Self { plain, globs }
    }

    /// The files and directories at which watching begins.
    pub(super) fn starts(&self) -> impl Iterator<Item = &Path> {
        self.plain.iter().chain(self.globs.iter().map(|(base, _)| base)).map(PathBuf::as_path)
    }

    /// Whether this path itself is one of them.
    pub(super) fn is_start(&self, path: &Path) -> bool {
        self.starts().any(|start| start == path)
    }

    /// Whether a change of this file counts, if it is not ignored.
    pub(super) fn includes(&self, path: &Path) -> bool {
        self.plain.iter().any(|root| path.starts_with(root))
            || self.globs.iter().any(|(_, pattern)| {
                let names: Vec<&[u8]> = path.iter().skip(1).map(OsStrExt::as_bytes).collect();
                pattern.matches(&names, false)
            })
    }
}

/// The directory above the first name with a pattern.
fn base(pattern: &str) -> PathBuf {
    Path::new(pattern).iter().take_while(|name| !name.to_string_lossy().contains(['*', '?', '['])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(paths: &[&str]) -> Roots {
        let paths = paths.iter().map(PathBuf::from).collect();
        Roots::of(&WatchSpec { paths, ..WatchSpec::default() })
    }

    #[test]
    fn patterns_begin_at_the_directory_above_them() {
        let roots = roots(&["/no/such/src/**/*.{js,ts}", "/no/such/conf"]);
        let starts: Vec<_> = roots.starts().collect();
        assert_eq!(starts, ["/no/such/conf", "/no/such/src", "/no/such/src"].map(Path::new));
        for path in ["/no/such/src/a.js", "/no/such/src/a/b.ts", "/no/such/conf", "/no/such/conf/x"] {
            assert!(roots.includes(Path::new(path)), "{path}");
        }
        assert!(
            !roots.includes(Path::new("/no/such/src/a.css")) && !roots.includes(Path::new("/no/such/b.js"))
        );
    }

    #[test]
    fn an_existing_file_whose_name_is_a_pattern_is_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("[id].js");
        std::fs::write(&page, "").unwrap();
        let roots = roots(&[page.to_str().unwrap()]);
        assert_eq!(roots.starts().collect::<Vec<_>>(), [page.as_path()]);
    }
}
