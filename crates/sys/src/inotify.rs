//! inotify(7): the kernel's news about directories, and where it has none.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        inotify::{self, InitFlags},
        statfs::{FsType, statfs},
    },
};

pub use nix::sys::inotify::{AddWatchFlags as Flags, WatchDescriptor as WatchId};

/// File systems whose files change without this kernel's knowledge, by statfs(2)'s magic number: NFS, SMB 1 to
/// 3, 9p, Ceph, AFS, VirtualBox's, and everything behind FUSE.
const ELSEWHERE: [i64; 10] = [
    0x6969,
    0x517B,
    0xFF53_4D42,
    0xFE53_4D42,
    0x0102_1997,
    0x00C3_6400,
    0x5346_414F,
    0x786F_4256,
    0x6573_5546,
    0x0BAD_1DEA,
];

/// Those of the kernel itself: proc, sysfs, cgroup 1 and 2, devpts, debugfs, tracefs, securityfs,
/// bpf, configfs, mqueue, pstore, efivarfs, fusectl.
const PSEUDO: [i64; 14] = [
    0x9FA0,
    0x6265_6572,
    0x0027_E0EB,
    0x6367_7270,
    0x1CD1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xCAFE_4A11,
    0x6265_6570,
    0x1980_0202,
    0x6165_676C,
    0xDE5E_81E4,
    0x6573_5543,
];

/// One inotify instance.
#[derive(Debug)]
pub struct Inotify(inotify::Inotify);

/// Something has happened in a watched directory.
#[derive(Debug)]
pub struct Noticed {
    /// The watch; without meaning for [`Flags::IN_Q_OVERFLOW`].
    pub watch: WatchId,
    /// What.
    pub what: Flags,
    /// To which of its entries; none is the directory itself.
    pub name: Option<OsString>,
}

impl Inotify {
    /// An instance without watches.
    ///
    /// # Errors
    /// The error of inotify_init1(2): EMFILE at `fs.inotify.max_user_instances`.
    pub fn new() -> io::Result<Self> {
        Ok(Self(inotify::Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?))
    }

    /// Watches a directory for these events, in addition to earlier ones. The same directory has the same id,
    /// whatever path leads to it.
    ///
    /// # Errors
    /// The error of inotify_add_watch(2): ENOSPC at `fs.inotify.max_user_watches`, ENOTDIR.
    pub fn add(&self, directory: &Path, what: Flags) -> io::Result<WatchId> {
        let how = Flags::from_bits_retain(libc::IN_MASK_ADD | libc::IN_EXCL_UNLINK) | Flags::IN_ONLYDIR;
        Ok(self.0.add_watch(directory, what | how)?)
    }

    /// Ends a watch. The watch of a removed directory ends by itself.
    pub fn remove(&self, watch: WatchId) {
        let _ = self.0.rm_watch(watch);
    }

    /// The pending events, without waiting: a few dozen, the rest with the next call. Empty: it is time to wait
    /// again.
    ///
    /// # Errors
    /// The error of read(2).
    pub fn read(&self) -> io::Result<Vec<Noticed>> {
        match self.0.read_events() {
            Ok(events) => Ok(events
                .into_iter()
                .map(|event| Noticed { watch: event.wd, what: event.mask, name: event.name })
                .collect()),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What kind of file system something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// inotify reports all changes. Also if that cannot be found out.
    Heard,
    /// Others can change it without a word from inotify.
    Elsewhere,
    /// It has no files: /proc, /sys and their like.
    Pseudo,
}

/// The kind of file system that `path` is on.
pub fn disk_of(path: &Path) -> Disk {
    let Ok(found) = statfs(path) else { return Disk::Heard };
    let FsType(kind) = found.filesystem_type();
    match kind & 0xFFFF_FFFF {
        kind if ELSEWHERE.contains(&kind) => Disk::Elsewhere,
        kind if PSEUDO.contains(&kind) => Disk::Pseudo,
        _ => Disk::Heard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_has_one_id_and_tells_what_happens_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let inotify = Inotify::new().unwrap();
        let id = inotify.add(dir.path(), Flags::IN_CLOSE_WRITE).unwrap();
        assert_eq!(inotify.add(&dir.path().join("."), Flags::IN_DELETE).unwrap(), id);
        assert!(inotify.read().unwrap().is_empty());
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let noticed = inotify.read().unwrap();
        assert!(
            matches!(&noticed[..], [one] if one.watch == id && one.name.as_deref() == Some("file".as_ref()))
        );
    }

    #[test]
    fn disks_are_told_apart() {
        assert_eq!(disk_of(Path::new("/proc/self")), Disk::Pseudo);
        assert_eq!(disk_of(Path::new("/sys")), Disk::Pseudo);
        assert_eq!(disk_of(tempfile::tempdir().unwrap().path()), Disk::Heard);
        assert_eq!(disk_of(Path::new("/no/such/path")), Disk::Heard);
    }
}
