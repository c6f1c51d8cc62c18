//! `include`: further ecosystem files, named by paths and patterns relative to the including file.
//!
//! An included file has apps, `defaults` for them, a `cwd` and further `include`s. Only the main file has procrun's
//! own settings.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    path::resolve,
    target::{Format, format_of},
    tree::{Node, Position, Value},
    value::{self, Decoded},
};

/// The maximum number of files of a plan.
pub(super) const MAX_FILES: usize = 1000;

/// A path or a pattern, and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Include {
    pub(super) pattern: String,
    pub(super) at: Option<Position>,
    /// What contains it, for messages: the key or the variable.
    pub(super) by: &'static str,
}

/// Decodes a path or pattern, or a list of them.
pub(super) fn includes(node: &Node) -> Decoded<Vec<Include>> {
    let patterns = value::texts(node)?;
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let include = |(pattern, item): (String, &Node)| Include { pattern, at: item.at, by: "`include`" };
    Ok(patterns.into_iter().zip(items).map(include).collect())
}

/// The files that `pattern` matches in `dir`, sorted by name. A pattern may match nothing. A path is returned whether
/// it exists or not.
///
/// # Errors
///
/// The reason, as a clause that follows the pattern.
pub(super) fn files(pattern: &str, dir: &Path) -> Result<Vec<PathBuf>, String> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![resolve(dir, Path::new(pattern))]);
    }
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let Some(dir) = dir.to_str() else {
        return Err("is below a directory whose name is not UTF-8".to_owned());
    };
    let whole = match pattern.strip_prefix('/') {
        Some(_) => pattern.to_owned(),
        None => format!("{}/{pattern}", glob::Pattern::escape(dir.trim_end_matches('/'))),
    };
    let found =
        glob::glob_with(&whole, options).map_err(|error| format!("is not a pattern: {}", error.msg))?;
    let mut files = Vec::new();
    for path in found {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => files.push(resolve(Path::new("/"), &path)),
            Err(error) => return Err(format!("cannot be searched: {}", error.error())),
        }
        if files.len() > MAX_FILES {
            return Err(format!("matches more than {MAX_FILES} files"));
        }
    }
    files.sort();
    Ok(files)
}

/// The format of an included file. The error has the reason and the hint.
pub(super) fn format(path: &Path) -> Result<Format, (&'static str, &'static str)> {
    match format_of(path.as_os_str()) {
        Some(Format::Script) => Err((
            "is a module, and an included file is not evaluated",
            "write it as TOML, JSON or YAML, or import it in a main file that is a module",
        )),
        Some(format) => Ok(format),
        None => Err((
            "is not an ecosystem file by its name",
            "`include` accepts .toml, .json, .yaml and .yml files: write `conf.d/*.toml`",
        )),
    }
}

/// The name of an included file in messages, relative like the name `by` of the including file in `dir`.
pub(super) fn display_name(path: &Path, by: &str, dir: &Path) -> Arc<str> {
    let Ok(below) = path.strip_prefix(dir) else { return path.to_string_lossy().into() };
    match Path::new(by).parent() {
        Some(parent) => parent.join(below).to_string_lossy().into(),
        None => below.to_string_lossy().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files_in_order_and_paths_name_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a[1]");
        std::fs::create_dir_all(root.join("conf.d/sub.toml")).unwrap();
        for name in ["conf.d/20-b.toml", "conf.d/10-a.toml", "conf.d/x.json", "conf.d/.hidden.toml"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let named = |pattern: &str| -> Vec<String> {
            let below = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            files(pattern, &root).unwrap().iter().map(below).collect()
        };
        assert_eq!(named("conf.d/*.toml"), ["conf.d/10-a.toml", "conf.d/20-b.toml"]);
        assert_eq!(named("conf.d/[1]*"), ["conf.d/10-a.toml"]);
        assert_eq!(named("**/*.json"), ["conf.d/x.json"]);
        assert_eq!(named("none.d/*.toml"), [""; 0]);
        assert_eq!(named("./none.toml"), ["none.toml"]);
        assert!(files("conf.d/[", &root).unwrap_err().starts_with("is not a pattern"));
    }

    #[test]
    fn an_included_file_is_named_like_its_including_file() {
        let dir = Path::new("/srv/etc");
        for (path, by, name) in [
            ("/srv/etc/conf.d/a.toml", "ecosystem.toml", "conf.d/a.toml"),
            ("/srv/etc/conf.d/a.toml", "etc/ecosystem.toml", "etc/conf.d/a.toml"),
            ("/srv/etc/a.toml", "/srv/etc/ecosystem.toml", "/srv/etc/a.toml"),
            ("/other/a.toml", "ecosystem.toml", "/other/a.toml"),
        ] {
            assert_eq!(&*display_name(Path::new(path), by, dir), name);
        }
    }
}
