//! The files that procrun itself writes for its applications: their changes do not count.

use std::path::{Path, PathBuf};

use crate::spec::{Plan, placeholder};

/// The log and pid files of all applications, as their specs contain them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OwnFiles(Vec<PathBuf>);

impl OwnFiles {
    /// The files of all applications of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        let files = plan.apps.iter().flat_map(|app| {
            let logs = &app.logs.files;
            let all = [&logs.out, &logs.error, &logs.combined, &app.pid_file];
            // Only placeholders that differ from instance to instance are left.
            all.into_iter().flatten().map(|path| match path.to_str() {
                Some(text) => PathBuf::from(placeholder::in_path(
                    text,
                    &app.name,
                    placeholder::INSTANCE,
                    placeholder::ID,
                )),
                None => path.clone(),
            })
        });
        Self(files.collect())
    }

    /// Whether this is one of them: the file of an instance, one of its rotated files, or a file that is being
    /// compressed.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.iter().any(|own| is_in_same_directory(own, path) && is_name_of(own, path).unwrap_or(false))
    }
}

/// Whether both are in the same directory, whose name may contain placeholders.
fn is_in_same_directory(own: &Path, path: &Path) -> bool {
    let text = |path: &Path| path.parent().and_then(Path::to_str).map(str::to_owned);
    match (text(own), text(path)) {
        (Some(own), Some(path)) => after(&own, &path) == Some(""),
        _ => own.parent() == path.parent(),
    }
}

/// The rest of `text` after `pattern`, whose placeholders stand for digits.
fn after<'t>(pattern: &str, text: &'t str) -> Option<&'t str> {
    let (mut pattern, mut text) = (pattern, text);
    loop {
        let next = [placeholder::INSTANCE, placeholder::ID].map(|word| (pattern.find(word), word.len()));
        let next = next.into_iter().filter_map(|(at, length)| Some((at?, length))).min();
        let Some((at, length)) = next else { return text.strip_prefix(pattern) };
        let rest = text.strip_prefix(&pattern[..at])?;
        text = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if text.len() == rest.len() {
            return None;
        }
        pattern = &pattern[at + length..];
    }
}

fn is_name_of(own: &Path, path: &Path) -> Option<bool> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = after(own.file_stem()?.to_str()?, path.file_name()?.to_str()?)?;
    let extension = own.extension().map_or_else(String::new, |end| format!(".{}", end.to_string_lossy()));
    // `-<id>` is inserted before the extension when each instance has a file of its own.
    let rest = match rest.strip_prefix('-') {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let rest = rest.strip_prefix(extension.as_str())?;
    let Some(rotated) = rest.strip_prefix('.') else { return Some(rest.is_empty()) };
    Some(digits(rotated.strip_suffix(".gz").unwrap_or(rotated)) || rotated == "gz.tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_files_are_recognised_by_all_their_names() {
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
        let own = OwnFiles(vec!["/app/{instance}/out-{id}.log".into(), "/app/x-{id}.pid".into()]);
        assert!(own.has(Path::new("/app/0/out-12.log.1")) && own.has(Path::new("/app/x-3.pid")));
        assert!(!own.has(Path::new("/app/a/out-12.log")) && !own.has(Path::new("/app/0/out-.log")));
    }
}
