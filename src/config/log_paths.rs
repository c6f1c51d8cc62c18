//! Conflicts of log files: one file that two apps rotate with different settings, and a file with the name of another
//! one's rotated file.
//!
//! Only names are compared, and the caller decides whether a conflict is an error. The files of several instances
//! have unique ids, and names with placeholders are not checked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{origin::AppSettings, problem::Problem};
use crate::spec::{AppSpec, Instances, NO_FILE, placeholder};

/// A log file of an app.
struct Written<'a> {
    app: &'a AppSpec,
    settings: &'a AppSettings,
    key: &'static str,
    path: &'a Path,
}

/// The conflicts in these apps. `settings` are those of `apps`, in the same order.
pub(super) fn clashes(apps: &[Arc<AppSpec>], settings: &[AppSettings]) -> Vec<Problem> {
    let written: Vec<Written<'_>> =
        apps.iter().zip(settings).flat_map(|(app, settings)| written(app, settings)).collect();
    let mut first: BTreeMap<&Path, &Written<'_>> = BTreeMap::new();
    for file in &written {
        first.entry(file.path).or_insert(file);
    }
    written
        .iter()
        .filter_map(|file| file.rotated_differently(&first).or_else(|| file.is_older(&first)))
        .collect()
}

fn written<'a>(app: &'a AppSpec, settings: &'a AppSettings) -> impl Iterator<Item = Written<'a>> {
    let files = &app.logs.files;
    let shared = files.merge || app.instances == Instances::Count(1);
    let all = [("out_file", &files.out), ("error_file", &files.error), ("log_file", &files.combined)];
    all.into_iter()
        .filter(move |(_, path)| !path.as_deref().and_then(Path::to_str).is_some_and(placeholder::is_in))
        .filter(move |(_, path)| shared && !app.logs.disabled && path.as_deref() != Some(Path::new(NO_FILE)))
        .filter_map(move |(key, path)| path.as_deref().map(|path| Written { app, settings, key, path }))
}

impl Written<'_> {
    fn rotated_differently(&self, first: &BTreeMap<&Path, &Written<'_>>) -> Option<Problem> {
        let other = first.get(self.path)?;
        let rotation = |app: &AppSpec| {
            let files = &app.logs.files;
            (files.max_size, files.keep, files.compress)
        };
        (rotation(self.app) != rotation(other.app)).then(|| {
            self.problem(&format!(
                "is also the `{}` of app `{}`, which rotates it differently",
                other.key, other.app.name
            ))
            .hint("set the same `log_max_size`, `log_keep` and `log_compress` for both, or use two files")
        })
    }

    fn is_older(&self, first: &BTreeMap<&Path, &Written<'_>>) -> Option<Problem> {
        let (base, number) = rotated(self.path)?;
        let other = first.get(base.as_path()).filter(|other| number <= other.app.logs.files.keep)?;
        let message = format!("has the name of a rotated `{}` of app `{}`", other.key, other.app.name);
        Some(self.problem(&message).hint("use another name"))
    }

    fn problem(&self, what: &str) -> Problem {
        Problem {
            place: self.settings.place_of(self.key),
            message: format!("`{}` in app `{}` {what}", self.key, self.app.name),
            hint: None,
        }
    }
}

/// `x.log` and 2 for `x.log.2` and `x.log.2.gz`.
fn rotated(path: &Path) -> Option<(PathBuf, u32)> {
    let name = path.file_name()?.to_str()?;
    let (base, number) = name.strip_suffix(".gz").unwrap_or(name).rsplit_once('.')?;
    let number = number.parse().ok().filter(|&number| number > 0)?;
    Some((path.with_file_name(base), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_files_are_recognized_by_their_names() {
        let rotated =
            |path: &str| rotated(Path::new(path)).map(|(base, number)| (base.display().to_string(), number));
        assert_eq!(rotated("/l/x.log.1"), Some(("/l/x.log".into(), 1)));
        assert_eq!(rotated("/l/x.log.12.gz"), Some(("/l/x.log".into(), 12)));
        for path in ["/l/x.log", "/l/x.log.0", "/l/x.gz", "/l/1", "/"] {
            assert_eq!(rotated(path), None, "{path}");
        }
    }
}
