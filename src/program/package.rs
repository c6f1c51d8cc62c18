//! The facts of a package.json: the main file of a directory, and the package of a file.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::sys::regular_file::{self, known};

/// A larger package.json is not read.
const MAX_PACKAGE: u64 = 1024 * 1024;
/// Maximum number of directories above a file in which its package.json is searched.
const MAX_LEVELS: usize = 8;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Package {
    #[serde(default)]
    pub(super) name: Option<serde_json::Value>,
    #[serde(default)]
    main: Option<serde_json::Value>,
    #[serde(default)]
    exports: Option<serde_json::Value>,
}

impl Package {
    fn read(directory: &Path) -> io::Result<Option<Self>> {
        let text = known(regular_file::read_start(&directory.join("package.json"), MAX_PACKAGE))?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// The file that one of its `exports` names, if that is a plain string.
    pub(super) fn export(&self, key: &str) -> Option<&str> {
        self.exports.as_ref()?.get(key)?.as_str()
    }
}

/// The nearest package.json above a file, and its directory. The path of the file must have no links.
///
/// # Errors
/// A file system fails, or the kernel lacks memory or descriptors.
pub(super) fn of(file: &Path) -> io::Result<Option<(PathBuf, Package)>> {
    for directory in file.ancestors().skip(1).take(MAX_LEVELS) {
        if let Some(package) = Package::read(directory)? {
            return Ok(Some((directory.to_owned(), package)));
        }
    }
    Ok(None)
}

/// The file that Node runs when it is given a directory: `main` of its package.json, else `index`.
///
/// # Errors
/// A file system fails, or the kernel lacks memory or descriptors.
pub fn main_of(directory: &Path) -> io::Result<Option<PathBuf>> {
    let main = Package::read(directory)?.and_then(|package| package.main);
    let main = main.as_ref().and_then(serde_json::Value::as_str).filter(|main| !main.is_empty());
    if let Some(main) = main.map(|main| directory.join(main)) {
        let module = as_module(&main)?;
        let found = if module.is_some() { module } else { index(&main)? };
        if found.is_some() {
            return Ok(found);
        }
    }
    index(directory)
}

fn as_module(path: &Path) -> io::Result<Option<PathBuf>> {
    let with = |extension: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    for path in ["", ".js", ".json", ".node"].map(with) {
        if regular_file::exists(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn index(directory: &Path) -> io::Result<Option<PathBuf>> {
    Ok(as_module(&directory.join("index"))?.filter(|index| index.extension().is_some()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_leads_to_its_main_as_in_node() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for file in ["a/index.js", "b/lib/main.js", "c/lib/index.js", "d/index.js", "e/lib.js", "f/readme"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        for (package, main) in [("b", "lib/main"), ("c", "./lib"), ("d", "gone.js"), ("e", "lib.js")] {
            fs::write(root.join(package).join("package.json"), format!(r#"{{"main": "{main}"}}"#)).unwrap();
        }
        fs::write(root.join("a/package.json"), r#"{"main": false}"#).unwrap();
        for (package, main) in [
            ("a", Some("a/index.js")),
            ("b", Some("b/lib/main.js")),
            ("c", Some("c/lib/index.js")),
            ("d", Some("d/index.js")),
            ("e", Some("e/lib.js")),
            ("f", None),
            ("none", None),
        ] {
            let found = main_of(&root.join(package)).unwrap();
            assert_eq!(found, main.map(|main| root.join(main)), "{package}");
        }
    }
}
