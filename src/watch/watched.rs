//! The applications that watch.

use std::{path::PathBuf, sync::Arc};

use super::{change::Change, ignore::Ignore, own_files::OwnFiles};
use crate::{
    shown::printable,
    spec::{AppSpec, Plan, WatchSpec},
};

/// An application that watches, and everything that its watching depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) cwd: PathBuf,
    /// The script, which may be outside of the watched directories.
    pub(super) script: PathBuf,
    pub(super) spec: WatchSpec,
    pub(super) own: Arc<OwnFiles>,
}

impl Watched {
    pub(super) fn ignore(&self) -> Ignore {
        Ignore::new(&self.spec.ignore, &self.cwd, Some(self.script.clone()), self.own.clone())
    }

    /// A change for messages.
    pub(super) fn describe(&self, change: &Change) -> String {
        match change {
            Change::Path(path) => {
                let shown = path.strip_prefix(&self.cwd).ok().filter(|path| !path.as_os_str().is_empty());
                let text = shown.unwrap_or(path).to_string_lossy();
                printable(&text).into_owned()
            }
            Change::Removed => "a file was removed".to_owned(),
            Change::Overflow => "very many files".to_owned(),
        }
    }
}

/// The applications of a plan that watch.
pub(super) fn all_watched(plan: &Plan) -> Vec<Arc<Watched>> {
    if plan.apps.iter().all(|app| app.watch.is_none()) {
        return Vec::new();
    }
    let own = Arc::new(OwnFiles::of(plan));
    let watched = |app: &AppSpec| {
        let spec = WatchSpec::clone(app.watch.as_ref()?);
        let (cwd, script) = (app.exec.cwd.clone(), app.exec.cwd.join(&app.exec.script));
        Some(Arc::new(Watched { name: app.name.clone(), cwd, script, spec, own: own.clone() }))
    };
    plan.apps.iter().filter_map(|app| watched(app)).collect()
}
