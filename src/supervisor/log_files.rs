//! The files of an instance, by their full names.

use std::path::PathBuf;

use crate::{logs::Sinks, machine::InstanceView, spec::FileSpec};

/// Where the output of an instance goes besides stdout and stderr.
pub(super) fn sinks(view: &InstanceView<'_>) -> Sinks {
    let files = &view.spec.logs.files;
    let file = |path: &Option<PathBuf>| {
        path.as_ref().map(|path| FileSpec {
            private: files.private_below.as_ref().is_some_and(|home| path.starts_with(home)),
            path: if files.merge { path.clone() } else { view.spec.path_of_instance(path, view.pm_id) },
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
    view.spec.pid_file.as_ref().map(|path| view.spec.path_of_instance(path, view.pm_id))
}
