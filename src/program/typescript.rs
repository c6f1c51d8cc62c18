//! Which version of Node can run TypeScript, and the options by which tsx makes it do so.

use std::{
    ffi::{OsStr, OsString},
    fmt::{self, Write as _},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::package::Package;
use crate::sys::regular_file::{self, known};

/// Maximum size of Node's header.
const MAX_HEADER: u64 = 64 * 1024;

/// The version of a Node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeVersion {
    /// The `20` of 20.19.1.
    pub major: u32,
    /// The `19` of 20.19.1.
    pub minor: u32,
    /// The `1` of 20.19.1.
    pub patch: u32,
}

impl fmt::Display for NodeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl NodeVersion {
    /// The version of this executable, without running it: Node's own archives, nvm, and the images
    /// and packages made of them have its headers beside it. `None` where there are none.
    ///
    /// # Errors
    /// A file system fails, or the kernel lacks memory or descriptors.
    pub fn of(node: &Path) -> io::Result<Option<Self>> {
        let node = known(fs::canonicalize(node))?;
        let header = node.and_then(|node| Some(node.parent()?.parent()?.join("include/node/node_version.h")));
        let Some(header) = header else { return Ok(None) };
        let text = known(regular_file::read_start(&header, MAX_HEADER))?;
        Ok(text.and_then(|text| Self::in_header(std::str::from_utf8(&text).ok()?)))
    }

    fn in_header(text: &str) -> Option<Self> {
        let number = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.trim().parse().ok())
        };
        Some(Self {
            major: number("NODE_MAJOR_VERSION ")?,
            minor: number("NODE_MINOR_VERSION ")?,
            patch: number("NODE_PATCH_VERSION ")?,
        })
    }

    /// Whether it removes types by default, or with [`STRIP_TYPES`].
    pub(super) fn typescript(self) -> TypeScript {
        match (self.major, self.minor) {
            (24.., _) | (23, 6..) | (22, 18..) => TypeScript::Native,
            (23, _) | (22, 6..) => TypeScript::Flag,
            _ => TypeScript::No,
        }
    }
}

/// The support of a Node for TypeScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeScript {
    Native,
    Flag,
    No,
}

/// Lets Node 22.6 and later run TypeScript.
pub(super) const STRIP_TYPES: &str = "--experimental-strip-types";

/// Whether an option makes Node load a module that may support TypeScript.
pub(super) fn loads(option: &[u8]) -> bool {
    let names: [&[u8]; 6] =
        [b"--import", b"--require", b"-r", b"--loader", b"--experimental-loader", STRIP_TYPES.as_bytes()];
    let name = option.split(|byte| *byte == b'=').next().unwrap_or_default();
    names.contains(&name)
}

/// The options with which tsx would start Node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loader {
    pub(super) options: Vec<OsString>,
    pub(super) vars: Vec<(OsString, OsString)>,
}

impl Loader {
    /// The same options for a Node that procrun starts itself, and the number of `words` that they come from. `words`
    /// are the arguments of tsx.
    ///
    /// # Errors
    /// The reason why that is not possible.
    pub(super) fn of_tsx(
        directory: &Path,
        package: &Package,
        words: &[String],
    ) -> Result<(Self, usize), String> {
        let file = |key: &str| {
            let name = package.export(key).ok_or("this version of tsx has an unknown loader")?;
            Ok::<_, String>(directory.join(name))
        };
        let mut loader = Self {
            options: vec![
                "--require".into(),
                file("./preflight")?.into_os_string(),
                "--import".into(),
                file_url(&file(".")?),
            ],
            vars: Vec::new(),
        };
        let mut consumed = 0;
        while let Some(word) = words.get(consumed).filter(|word| word.starts_with('-') || *word == "watch") {
            match (word.as_str(), word.strip_prefix("--tsconfig=")) {
                ("watch", _) => return Err("`tsx watch` runs the script in a child of its own".to_owned()),
                ("--no-cache", _) => loader.vars.push(("TSX_DISABLE_CACHE".into(), "1".into())),
                ("--tsconfig", _) => {
                    consumed += 1;
                    let file = words.get(consumed).map(OsString::from).unwrap_or_default();
                    loader.vars.push(("TSX_TSCONFIG_PATH".into(), file));
                }
                (_, Some(file)) => loader.vars.push(("TSX_TSCONFIG_PATH".into(), file.into())),
                (option, None) => loader.options.push(option.into()),
            }
            consumed += 1;
        }
        Ok((loader, consumed))
    }
}

/// A path in the form that Node's `--import` needs.
fn file_url(path: &Path) -> OsString {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'@' | b'+' => {
                url.push(char::from(*byte));
            }
            _ => write!(url, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    url.into()
}

/// Whether a file is TypeScript by its extension.
pub(super) fn is_typescript(extension: &OsStr) -> bool {
    ["ts", "cts", "mts", "tsx"].iter().any(|known| extension == *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_beside_the_executable() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("bin")).unwrap();
        fs::create_dir_all(at("include/node")).unwrap();
        fs::write(at("bin/node"), "").unwrap();
        assert_eq!(NodeVersion::of(&at("bin/node")).unwrap(), None);
        let header =
            "#define NODE_MAJOR_VERSION 22\n#define NODE_MINOR_VERSION 9\n#define NODE_PATCH_VERSION 0\n";
        fs::write(at("include/node/node_version.h"), header).unwrap();
        let version = NodeVersion::of(&at("bin/node")).unwrap().unwrap();
        assert_eq!((version.to_string(), version.typescript()), ("22.9.0".to_owned(), TypeScript::Flag));
    }

    #[test]
    fn typescript_runs_from_22_18_and_23_6_on() {
        for (major, minor, support) in [
            (20, 19, TypeScript::No),
            (22, 5, TypeScript::No),
            (22, 6, TypeScript::Flag),
            (22, 17, TypeScript::Flag),
            (22, 18, TypeScript::Native),
            (23, 5, TypeScript::Flag),
            (23, 6, TypeScript::Native),
            (24, 0, TypeScript::Native),
        ] {
            assert_eq!(NodeVersion { major, minor, patch: 0 }.typescript(), support, "{major}.{minor}");
        }
    }

    #[test]
    fn the_options_of_tsx_become_those_of_node() {
        let package: Package =
            serde_json::from_str(r#"{"exports": {".": "./l.mjs", "./preflight": "./p.cjs"}}"#).unwrap();
        let words: Vec<String> = ["--no-cache", "--tsconfig", "t.json", "--no-warnings", "main.ts", "--own"]
            .map(Into::into)
            .into();
        let (loader, consumed) = Loader::of_tsx(Path::new("/a b/tsx"), &package, &words).unwrap();
        assert_eq!(consumed, 4, "the script and what follows are the application's");
        let options =
            ["--require", "/a b/tsx/./p.cjs", "--import", "file:///a%20b/tsx/./l.mjs", "--no-warnings"];
        assert_eq!(loader.options, options);
        let names: Vec<_> = loader.vars.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["TSX_DISABLE_CACHE", "TSX_TSCONFIG_PATH"]);
        assert!(Loader::of_tsx(Path::new("/"), &package, &["watch".to_owned()]).is_err());
    }
}
