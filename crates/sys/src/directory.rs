//! The working directory under the name that the caller uses for it.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

/// The working directory. If the caller is in a symbolic link (`/srv/current`), it is the link and not its target:
/// the link remains when the next release replaces the target.
///
/// # Errors
///
/// The directory was removed, or procrun may not search it (getcwd(3)).
pub fn working() -> io::Result<PathBuf> {
    Ok(logical(env::var_os("PWD"), env::current_dir()?))
}

/// `$PWD` if it names the same directory as `physical`, by the rules of `pwd -L` in POSIX.
fn logical(pwd: Option<OsString>, physical: PathBuf) -> PathBuf {
    let identity = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let is_plain = |path: &PathBuf| {
        let mut components = path.components();
        let is_normal = |part: Component<'_>| matches!(part, Component::Normal(_));
        components.next() == Some(Component::RootDir) && components.all(is_normal)
    };
    let named = pwd.map(PathBuf::from).filter(is_plain);
    let is_same = |path: &PathBuf| identity(path).is_some_and(|it| Some(it) == identity(&physical));
    named.filter(is_same).unwrap_or(physical)
}

#[cfg(test)]
mod tests {
    use super::logical;

    #[test]
    fn a_link_is_kept_if_it_leads_to_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (release, other, link) = (root.join("r1"), root.join("r2"), root.join("current"));
        std::fs::create_dir(&release).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink("r1", &link).unwrap();
        let named = |pwd: &str| logical(Some(pwd.into()), release.clone());
        assert_eq!(named(link.to_str().unwrap()), link);
        for pwd in [other.to_str().unwrap(), "/none", "r1", "", "current"] {
            assert_eq!(named(pwd), release, "{pwd}");
        }
        assert_eq!(named(&format!("{}/../r1", link.display())), release);
        assert_eq!(logical(None, release.clone()), release);
    }
}
