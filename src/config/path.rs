//! Paths as PM2 resolves them: by their text alone, and with `~` for the home directory.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
};

/// `path` relative to the absolute directory `base`, without `.` and `..`, like Node's `path.resolve`.
pub fn resolve(base: &Path, path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => resolved.push(component),
        }
    }
    resolved
}

/// Replaces a leading `~/`, or `~` alone, with `$HOME` of this environment.
pub(super) fn expand_home(path: &str, environment: &BTreeMap<OsString, OsString>) -> PathBuf {
    let rest = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => return PathBuf::from(path),
    };
    match environment.get(OsStr::new("HOME")) {
        Some(home) if !home.is_empty() => Path::new(home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// The last part of a path without its extension (`app` for `src/app.js`): PM2's default name of an application.
pub(super) fn stem(script: &str) -> &str {
    let base = script.trim_end_matches('/');
    let base = base.rsplit('/').next().unwrap_or(base);
    match base.rfind('.') {
        Some(dot) if dot > 0 => &base[..dot],
        _ => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_by_their_text() {
        for (path, resolved) in [
            ("", "/srv/app"),
            ("x", "/srv/app/x"),
            ("./x/../y", "/srv/app/y"),
            ("/x", "/x"),
            ("../../../..", "/"),
        ] {
            assert_eq!(resolve(Path::new("/srv/app"), Path::new(path)), Path::new(resolved), "{path}");
        }
    }

    #[test]
    fn the_home_directory_comes_from_the_environment() {
        let environment = BTreeMap::from([("HOME".into(), "/home/me".into())]);
        assert_eq!(expand_home("~/x", &environment), Path::new("/home/me/x"));
        assert_eq!(expand_home("~", &environment), Path::new("/home/me/"));
        assert_eq!(expand_home("~x", &environment), Path::new("~x"));
        assert_eq!(expand_home("~/x", &BTreeMap::new()), Path::new("~/x"));
    }

    #[test]
    fn an_app_is_named_after_its_script() {
        for (script, name) in [
            ("dist/main.js", "main"),
            ("app", "app"),
            (".hidden", ".hidden"),
            ("a.b.c", "a.b"),
            ("python xx.py --ok", "python xx"),
            ("dir/", "dir"),
        ] {
            assert_eq!(stem(script), name, "{script}");
        }
    }
}
