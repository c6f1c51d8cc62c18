//! The rights with which procrun opens a file for an application.
//!
//! procrun often runs as root, its applications as other users. A file that procrun writes for an application is in a
//! directory that the application's user may control. There the user can replace the file with a symbolic link, and
//! root's rights would append to, truncate or create any file of the system. So procrun acts on such a path with the
//! rights of the user ([`FileRights::act_as`]), and reaches only what the user can reach anyway. A path keeps
//! procrun's own rights if root or procrun's user controls every part of it (`is_trusted`).

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Component, Path, PathBuf},
    sync::OnceLock,
};

use nix::libc;

/// The owner of a file that procrun writes for an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOwner {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// The maximum number of symbolic links in a path (path_resolution(7): 40).
const MAX_LINKS: u32 = 40;

/// While this exists, the thread accesses files with the rights of another user.
#[derive(Debug)]
pub struct FileRights {
    /// procrun's supplementary groups, which are restored. `None`: nothing was changed.
    own_groups: Option<Vec<libc::gid_t>>,
}

impl FileRights {
    /// Acts on `path` for an application that runs as `owner`: with the rights of `owner` if a user other than root
    /// and procrun's own controls a part of the path, otherwise and without an owner with procrun's own.
    pub fn on(path: &Path, owner: Option<&FileOwner>) -> Self {
        match owner {
            Some(owner) if !is_trusted(path) => Self::act_as(owner),
            _ => Self { own_groups: None },
        }
    }

    /// Acts on a file that procrun writes for itself, at a configured path: with the rights of the user that controls
    /// the directory, if that is another user. Returns false if another user controls a part of the path. Then the
    /// caller must check that the opened file is neither a symbolic nor a hard link.
    pub fn on_own(path: &Path) -> (Self, bool) {
        if is_trusted(path) {
            return (Self { own_groups: None }, true);
        }
        let directory = path.parent().and_then(|directory| fs::metadata(directory).ok());
        let rights = match directory.filter(|directory| !is_own(directory.uid())) {
            Some(directory) => {
                Self::act_as(&FileOwner { uid: directory.uid(), gid: directory.gid(), groups: Vec::new() })
            }
            None => Self { own_groups: None },
        };
        (rights, false)
    }

    /// Acts with the rights of this user: user id, group id and supplementary groups (credentials(7)).
    pub fn act_as(owner: &FileOwner) -> Self {
        was_dumpable();
        let own_groups = own_groups();
        set_groups(&owner.groups);
        set_ids(owner.uid, owner.gid);
        Self { own_groups: Some(own_groups) }
    }
}

impl Drop for FileRights {
    fn drop(&mut self) {
        if let Some(groups) = &self.own_groups {
            set_ids(nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
            set_groups(groups);
            // The change of user has made procrun undumpable, which closes /proc/1/fd to root (proc(5)).
            if was_dumpable() {
                let _ = nix::sys::prctl::set_dumpable(true);
            }
        }
    }
}

/// Whether procrun was dumpable before it first acted as another user (prctl(2), `PR_GET_DUMPABLE`).
fn was_dumpable() -> bool {
    static BEFORE: OnceLock<bool> = OnceLock::new();
    *BEFORE.get_or_init(|| nix::sys::prctl::get_dumpable().unwrap_or(false))
}

fn own_groups() -> Vec<libc::gid_t> {
    // SAFETY: with a size of 0 it only counts.
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: there is room for `count` groups; a larger set is refused and leaves the list as it is.
    let count = unsafe { libc::getgroups(count, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(count).unwrap_or(0));
    groups
}

/// A bare system call: glibc's wrapper changes the groups of all threads.
fn set_groups(groups: &[libc::gid_t]) {
    // SAFETY: the list is valid for its length; without the right to change groups nothing happens.
    unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
}

fn set_ids(uid: u32, gid: u32) {
    // SAFETY: both take an integer and concern this thread only (setfsuid(2)).
    unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
    }
}

/// Whether only root and procrun's user can replace `path`: no directory on the way, symbolic links included, belongs
/// to another user or is writable for another user by mode or access control list (acl(5)).
///
/// procrun itself creates a part that does not exist yet. So a missing part matters only in a sticky directory, where
/// another user can create it first.
fn is_trusted(path: &Path) -> bool {
    let mut links = 0;
    is_every_part_trusted(path, &mut links).unwrap_or(false)
}

/// An error: the path cannot be examined, or has too many links.
fn is_every_part_trusted(path: &Path, links: &mut u32) -> io::Result<bool> {
    let mut at = PathBuf::new();
    // In a sticky directory that others can write to, they can replace their own files and create missing ones
    // (inode(7)).
    let mut in_sticky = false;
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        match part {
            Component::ParentDir => {
                at.pop();
                continue;
            }
            Component::CurDir => continue,
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => at.push(part),
        }
        let found = match fs::symlink_metadata(&at) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(!in_sticky),
            Err(error) => return Err(error),
        };
        if in_sticky && !is_own(found.uid()) {
            return Ok(false);
        }
        if found.is_symlink() {
            *links += 1;
            if *links > MAX_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            // The directory is trusted, so the link is intended.
            let target = fs::read_link(&at)?;
            at.pop();
            let rest: PathBuf = parts.collect();
            return is_every_part_trusted(&at.join(target).join(rest), links);
        }
        in_sticky = false;
        if found.is_dir() {
            // With an access control list, the group bits of the mode are the maximum that the list grants.
            let others_write = found.mode() & 0o002 != 0
                || found.mode() & 0o020 != 0
                    && (found.gid() != 0 && found.gid() != nix::unistd::getegid().as_raw() || has_acl(&at));
            in_sticky = others_write && found.mode() & 0o1000 != 0;
            if !is_own(found.uid()) || others_write && !in_sticky {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether the file has an access control list in addition to its mode.
fn has_acl(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return true };
    // SAFETY: both are C strings; with a size of 0 the call only returns the needed size.
    let size = unsafe {
        libc::lgetxattr(path.as_ptr(), c"system.posix_acl_access".as_ptr(), std::ptr::null_mut(), 0)
    };
    size > 0
}

/// Whether the user is root or procrun's own.
fn is_own(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{OpenOptions, Permissions},
        os::unix::fs::{PermissionsExt, chown, lchown, symlink},
    };

    use super::*;

    const USER: u32 = 65534;

    fn owner(groups: &[u32]) -> FileOwner {
        FileOwner { uid: USER, gid: USER, groups: groups.to_vec() }
    }

    /// A directory that only root can write to, with these directories and owners in it.
    fn tree(parts: &[(&str, u32, u32, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        for (name, uid, gid, mode) in parts {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
            chown(&path, Some(*uid), Some(*gid)).unwrap();
        }
        dir
    }

    #[test]
    fn a_directory_of_the_user_in_the_path_is_not_trusted() {
        let dir = tree(&[
            ("root", 0, 0, 0o755),
            ("root/logs", 0, 0, 0o755),
            ("user", USER, USER, 0o755),
            ("user/logs", 0, 0, 0o755),
            ("group", 0, 4242, 0o775),
            ("sticky/root", 0, 0, 0o755),
            ("sticky", 0, 0, 0o1777),
        ]);
        let at = |name: &str| dir.path().join(name);
        symlink(at("user/logs"), at("root/to-user")).unwrap();
        symlink("/dev/stdout", at("root/out.log")).unwrap();
        symlink(at("root/logs/other.log"), at("sticky/user.log")).unwrap();
        lchown(at("sticky/user.log"), Some(USER), Some(USER)).unwrap();
        for (path, trusted) in [
            ("root/logs/app.log", true),
            ("root/missing/app.log", true),
            ("root/out.log", true),
            ("user/app.log", false),
            ("user/logs/app.log", false),
            ("root/to-user/app.log", false),
            ("sticky/app.log", false),
            ("sticky/root/app.log", true),
            ("sticky/user.log", false),
            ("group/app.log", false),
        ] {
            assert_eq!(is_trusted(&at(path)), trusted, "{path}");
        }
        symlink(at("root/loop"), at("root/loop")).unwrap();
        assert!(!is_trusted(&at("root/loop/app.log")), "an unknown part is not trusted");
    }

    /// `user::rwx, user:USER:rwx, group::r-x, mask::rwx, other::r-x` in the format of the kernel.
    fn acl_for_user() -> Vec<u8> {
        const NONE: u32 = u32::MAX;
        let entries = [(1_u16, 7_u16, NONE), (2, 7, USER), (4, 5, NONE), (16, 7, NONE), (32, 5, NONE)];
        let entry = |(tag, rights, id): &(u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [2_u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
    }

    #[test]
    fn a_writer_by_access_control_list_is_not_trusted() {
        // Some file systems have no access control lists.
        let set = |base: &str| {
            let dir = tempfile::tempdir_in(base).ok()?;
            fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).ok()?;
            assert!(is_trusted(&dir.path().join("app.log")));
            let (path, acl) = (CString::new(dir.path().as_os_str().as_bytes()).unwrap(), acl_for_user());
            // SAFETY: two C strings and bytes of their length.
            let result = unsafe {
                libc::setxattr(
                    path.as_ptr(),
                    c"system.posix_acl_access".as_ptr(),
                    acl.as_ptr().cast(),
                    acl.len(),
                    0,
                )
            };
            (result == 0).then_some(dir)
        };
        let dir =
            ["/tmp", "/dev/shm", "/var/tmp"].into_iter().find_map(set).expect("a file system with lists");
        assert!(!is_trusted(&dir.path().join("app.log")));
    }

    #[test]
    fn with_the_rights_of_the_user_a_link_leads_nowhere_else() {
        let dir = tree(&[("secret", 0, 0, 0o700), ("user", USER, USER, 0o755)]);
        let (secret, log) = (dir.path().join("secret/file"), dir.path().join("user/app.log"));
        fs::write(&secret, "mine").unwrap();
        symlink(&secret, &log).unwrap();
        let open = || OpenOptions::new().append(true).create(true).open(&log);
        {
            let _rights = FileRights::on(&log, Some(&owner(&[])));
            assert_eq!(open().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            fs::remove_file(&log).unwrap();
            assert_eq!(open().unwrap().metadata().unwrap().uid(), USER);
        }
        // procrun has its own rights again, and root can open its descriptors.
        assert!(nix::sys::prctl::get_dumpable().unwrap());
        assert!(fs::read_to_string(&secret).is_ok());
    }
}
