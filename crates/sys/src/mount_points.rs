//! Finds the mount of a path by the path alone, because its file system may not respond.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Component, Path, PathBuf},
};

/// The mount points of this process.
#[derive(Debug, Default)]
pub struct MountPoints(Vec<PathBuf>);

impl MountPoints {
    /// Reads them from proc_pid_mountinfo(5). Empty without `/proc`.
    pub fn read() -> Self {
        Self::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// Parses proc_pid_mountinfo(5).
    fn parse(lines: &[u8]) -> Self {
        let point = |line: &[u8]| {
            let point = line.split(|byte| *byte == b' ').nth(4)?;
            Some(PathBuf::from(OsString::from_vec(unescape(point))))
        };
        Self(lines.split(|byte| *byte == b'\n').filter_map(point).collect())
    }

    /// The mount point that holds a path. Symbolic links in the path are not resolved.
    pub fn of(&self, path: &Path) -> &Path {
        let path = without_dots(path);
        let above = self.0.iter().filter(|point| path.starts_with(point));
        above.max_by_key(|point| point.as_os_str().len()).map_or(Path::new("/"), PathBuf::as_path)
    }
}

/// Decodes a path: the kernel writes space, tab, newline and backslash as `\` and three octal digits.
fn unescape(escaped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let [first, after @ ..] = rest {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    bytes
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_on_the_nearest_mount_above_it() {
        let lines = b"22 1 0:21 / / rw - ext4 /dev/sda1 rw\n\
            30 22 0:40 / /srv rw shared:1 - nfs host:/srv rw\n\
            31 30 0:41 / /srv/a\\040b rw - fuse hung rw\n";
        let mounts = MountPoints::parse(lines);
        for (path, mount) in [
            ("/srv/app/x.js", "/srv"),
            ("/srv/a b/x.js", "/srv/a b"),
            ("/srv/a b/../x.js", "/srv"),
            ("/srvx/x.js", "/"),
            ("/app/./x.js", "/"),
        ] {
            assert_eq!(mounts.of(Path::new(path)), Path::new(mount), "{path}");
        }
        assert_eq!(MountPoints::default().of(Path::new("/app")), Path::new("/"));
    }
}
