//! The files of an instance, by their full names.

use std::path::PathBuf;

use super::pid_file::PidFile;
use crate::{
    logs::{FileSpec, Sinks},
    machine::InstanceView,
    sys::{accounts::Credentials, file_rights::FileOwner},
};

/// The owner of the files of an instance.
pub(super) fn owner(credentials: Option<&Credentials>) -> Option<FileOwner> {
    let Credentials { uid, gid, groups, .. } = credentials?;
    Some(FileOwner { uid: *uid, gid: *gid, groups: groups.clone() })
}

/// Where the output of an instance that runs as `owner` goes besides stdout and stderr.
pub(super) fn sinks(view: &InstanceView<'_>, owner: Option<&FileOwner>) -> Sinks {
    let files = &view.spec.logs.files;
    let file = |path: &Option<PathBuf>| {
        path.as_ref().map(|path| FileSpec {
            private: files.private_below.as_ref().is_some_and(|home| path.starts_with(home)),
            path: view.spec.log_file_of_instance(path, view.number, view.pm_id),
            max_size: files.max_size,
            keep: files.keep,
            compress: files.compress,
            owner: owner.cloned(),
        })
    };
    Sinks {
        spec: view.spec.logs.clone(),
        out: file(&files.out),
        error: file(&files.error),
        combined: file(&files.combined),
    }
}

/// The pid file of an instance that runs as `owner`.
pub(super) fn pid_file(view: &InstanceView<'_>, owner: Option<&FileOwner>) -> Option<PidFile> {
    let path = view.spec.pid_file_of_instance(view.number, view.pm_id)?;
    Some(PidFile { path, owner: owner.cloned() })
}
