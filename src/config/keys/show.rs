//! Values as `check` and `describe` print them.

use std::{path::Path, time::Duration};

use crate::spec::{AppSpec, HumanDuration, PrincipalRef};

#[expect(clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "the form of `Key::show`")]
pub(super) fn shown(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// `true`, or nothing.
pub(super) fn only_true(on: bool) -> Option<String> {
    on.then(|| "true".to_owned())
}

/// A list of strings; nothing if it is empty.
pub(super) fn quoted(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| format!("{words:?}"))
}

/// `1500` ms as `1.5s`.
pub(in crate::config) fn readable(duration: Duration) -> String {
    HumanDuration(duration).exact()
}

pub(super) fn principal(principal: Option<&PrincipalRef>) -> Option<String> {
    principal.map(|principal| match principal {
        PrincipalRef::Id(id) => id.to_string(),
        PrincipalRef::Name(name) => name.clone(),
    })
}

/// Whether `listen_timeout` applies.
pub(super) fn has_readiness(app: &AppSpec) -> bool {
    app.reload.wait_ready || app.can_overlap() || app.health.gate().is_some()
}

pub(super) fn has_log_files(app: &AppSpec) -> bool {
    let files = &app.logs.files;
    files.out.is_some() || files.error.is_some() || files.combined.is_some()
}

/// The name of a log file, with `<instance>` and `<id>` for the parts that differ between instances.
pub(super) fn log_name(app: &AppSpec, path: &Path) -> String {
    app.log_file_of_instance(path, "<instance>", "<id>").display().to_string()
}
