//! The files that procrun itself writes for its applications: their changes say nothing.

use std::path::{Path, PathBuf};

use crate::spec::Plan;

/// The log and pid files of all applications, as they are written in their specs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OwnFiles(Vec<PathBuf>);

impl OwnFiles {
    /// Those of all applications of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        let files = plan.apps.iter().flat_map(|app| {
            let logs = &app.logs.files;
            // As a log file, the pid file of an instance has `-<id>` in its name.
            let pid_file = app.pid_file_of_instance("").map(|path| {
                let name = path.to_string_lossy().replace("-.", ".");
                PathBuf::from(name.strip_suffix('-').unwrap_or(&name))
            });
            [&logs.out, &logs.error, &logs.combined].into_iter().flatten().cloned().chain(pid_file)
        });
        Self(files.collect())
    }

    /// Whether this is one of them, that of one instance, one of their older files, or one that is
    /// being made.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.iter().any(|own| path.parent() == own.parent() && is_of(own, path).unwrap_or(false))
    }
}

fn is_of(own: &Path, path: &Path) -> Option<bool> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = path.file_name()?.to_str()?.strip_prefix(own.file_stem()?.to_str()?)?;
    let extension = own.extension().map_or_else(String::new, |end| format!(".{}", end.to_string_lossy()));
    // `-<id>` is put before the extension when each instance has a file of its own.
    let rest = match rest.strip_prefix('-') {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let rest = rest.strip_prefix(extension.as_str())?;
    let Some(older) = rest.strip_prefix('.') else { return Some(rest.is_empty()) };
    Some(digits(older.strip_suffix(".gz").unwrap_or(older)) || older == "gz.tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_files_are_known_by_all_their_names() {
        let own = OwnFiles(vec!["/app/logs/out.log".into(), "/app/pid".into()]);
        for name in
            ["out.log", "out.log.1", "out.log.12.gz", "out.log.gz.tmp", "out-12.log", "out-0.log.3.gz"]
        {
            assert!(own.has(&Path::new("/app/logs").join(name)), "{name}");
        }
        for name in ["out.logs", "out", "out.log.old", "out.log.", "out-x.log", "out.log.1.js", "main.js"] {
            assert!(!own.has(&Path::new("/app/logs").join(name)), "{name}");
        }
        assert!(own.has(Path::new("/app/pid")) && own.has(Path::new("/app/pid-3")));
        assert!(!own.has(Path::new("/app/out.log")));
    }
}
