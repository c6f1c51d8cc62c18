//! The names of an instance's files: PM2 puts `-<id>` before the extension when several instances
//! would share one.

use std::path::{Path, PathBuf};

use crate::{
    logs::Sinks,
    machine::InstanceView,
    spec::{FileSpec, Instances},
};

/// Where the output of an instance goes besides stdout and stderr.
pub(super) fn sinks(view: &InstanceView<'_>) -> Sinks {
    let files = &view.spec.logs.files;
    let file = |path: &Option<PathBuf>| {
        path.as_ref().map(|path| FileSpec {
            path: if files.merge { path.clone() } else { own_name(path, view) },
            max_size: files.max_size,
            keep: files.keep,
            compress: files.compress,
        })
    };
    Sinks {
        spec: view.spec.logs.clone(),
        out: file(&files.out),
        error: file(&files.error),
        combined: file(&files.combined),
    }
}

/// The pid file of an instance.
pub(super) fn pid_file(view: &InstanceView<'_>) -> Option<PathBuf> {
    view.spec.pid_file.as_ref().map(|path| own_name(path, view))
}

/// `app.log` → `app-3.log` for the instance with the id 3, unless it is the only one of its kind.
fn own_name(path: &Path, view: &InstanceView<'_>) -> PathBuf {
    // A device is one and the same for all: `/dev/stdout`.
    if view.spec.instances == Instances::Count(1) || path.starts_with("/dev") {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{}", view.id.0));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
