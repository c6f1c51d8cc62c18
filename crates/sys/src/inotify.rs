//! Events of directories by inotify(7), and the file systems that have no such events.

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

/// File systems whose files can change without an event on this machine, by the magic number of statfs(2): NFS, SMB 1
/// to 3, 9p, Ceph, AFS, vboxsf and FUSE.
const REMOTE_FILE_SYSTEMS: [i64; 10] = [
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

/// File systems of the kernel itself: proc, sysfs, cgroup 1 and 2, devpts, debugfs, tracefs, securityfs, bpf,
/// configfs, mqueue, pstore, efivarfs, fusectl.
const PSEUDO_FILE_SYSTEMS: [i64; 14] = [
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

/// An inotify instance.
#[derive(Debug)]
pub struct Inotify(inotify::Inotify);

/// An event of a watched directory.
#[derive(Debug)]
pub struct InotifyEvent {
    /// The watch. Undefined for [`Flags::IN_Q_OVERFLOW`].
    pub watch: WatchId,
    /// The kind of event.
    pub mask: Flags,
    /// The name of the entry in the directory. `None`: the event is about the directory itself.
    pub name: Option<OsString>,
}

impl Inotify {
    /// Creates an instance without watches.
    ///
    /// # Errors
    ///
    /// The error of inotify_init1(2): EMFILE at `fs.inotify.max_user_instances`.
    pub fn new() -> io::Result<Self> {
        Ok(Self(inotify::Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?))
    }

    /// Watches a directory for these events, in addition to those of earlier calls. A directory has one watch id,
    /// whatever path leads to it.
    ///
    /// # Errors
    ///
    /// The error of inotify_add_watch(2): ENOSPC at `fs.inotify.max_user_watches`, ENOTDIR.
    pub fn add(&self, directory: &Path, events: Flags) -> io::Result<WatchId> {
        let how = Flags::from_bits_retain(libc::IN_MASK_ADD | libc::IN_EXCL_UNLINK) | Flags::IN_ONLYDIR;
        Ok(self.0.add_watch(directory, events | how)?)
    }

    /// Removes a watch. The kernel removes the watch of a deleted directory itself.
    pub fn remove(&self, watch: WatchId) {
        let _ = self.0.rm_watch(watch);
    }

    /// Reads pending events without waiting, a few dozen in one call. An empty list means that there are none left.
    ///
    /// # Errors
    ///
    /// The error of read(2).
    pub fn read(&self) -> io::Result<Vec<InotifyEvent>> {
        match self.0.read_events() {
            Ok(events) => Ok(events
                .into_iter()
                .map(|event| InotifyEvent { watch: event.wd, mask: event.mask, name: event.name })
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

/// The kind of file system that holds a path, by its support of inotify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystemKind {
    /// inotify reports all changes. Also if the kind is unknown.
    Watchable,
    /// Other machines or processes can change files without an event.
    Remote,
    /// A file system of the kernel without ordinary files, such as /proc and /sys.
    Pseudo,
}

/// The kind of file system that holds `path`, by statfs(2).
pub fn file_system_kind(path: &Path) -> FileSystemKind {
    let Ok(found) = statfs(path) else { return FileSystemKind::Watchable };
    let FsType(kind) = found.filesystem_type();
    match kind & 0xFFFF_FFFF {
        kind if REMOTE_FILE_SYSTEMS.contains(&kind) => FileSystemKind::Remote,
        kind if PSEUDO_FILE_SYSTEMS.contains(&kind) => FileSystemKind::Pseudo,
        _ => FileSystemKind::Watchable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_has_one_id_and_its_events() {
        let dir = tempfile::tempdir().unwrap();
        let inotify = Inotify::new().unwrap();
        let id = inotify.add(dir.path(), Flags::IN_CLOSE_WRITE).unwrap();
        assert_eq!(inotify.add(&dir.path().join("."), Flags::IN_DELETE).unwrap(), id);
        assert!(inotify.read().unwrap().is_empty());
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let events = inotify.read().unwrap();
        assert!(
            matches!(&events[..], [one] if one.watch == id && one.name.as_deref() == Some("file".as_ref()))
        );
    }

    #[test]
    fn file_systems_have_their_kinds() {
        assert_eq!(file_system_kind(Path::new("/proc/self")), FileSystemKind::Pseudo);
        assert_eq!(file_system_kind(Path::new("/sys")), FileSystemKind::Pseudo);
        assert_eq!(file_system_kind(tempfile::tempdir().unwrap().path()), FileSystemKind::Watchable);
        assert_eq!(file_system_kind(Path::new("/no/such/path")), FileSystemKind::Watchable);
    }
}
