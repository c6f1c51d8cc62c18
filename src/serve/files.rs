//! Opens the files of one directory for the file server, and nothing outside it.
//!
//! The kernel keeps each look-up below the directory (`openat2` with `RESOLVE_BENEATH`), so there is no moment
//! between a check and the opening at which a link could be exchanged. A symbolic link that stays inside is
//! followed. A link that leads out, or is absolute, counts as missing. Where the kernel has no `openat2`
//! (before Linux 5.6, or in a sandbox that forbids it), no symbolic link is followed.

use std::{
    collections::HashSet,
    fs::{File, Metadata},
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sys::stat::Mode,
};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{self, Backend};

use super::output::log_error;

/// Maximum number of paths outside the directory that are logged, each once: clients choose the paths.
const MAX_REPORTED: usize = 100;

/// The files of a directory.
#[derive(Debug, Clone)]
pub(super) struct Files {
    directory: Arc<PathBuf>,
    /// The paths that lead out of the directory and were logged.
    reported: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Files {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory: Arc::new(directory), reported: Arc::default() }
    }

    /// Opens a file or directory to read it; `path` is relative to the directory.
    pub(super) fn read(&self, path: &Path) -> io::Result<File> {
        // A FIFO must not make the reader wait.
        self.open_with(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
    }

    fn stat(&self, path: &Path) -> io::Result<Metadata> {
        self.open_with(path, OFlag::O_PATH)?.metadata()
    }

    /// The message for a path with a link that leads out of the directory.
    fn symlink_escape_message(&self, path: PathBuf) -> Option<String> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= MAX_REPORTED || !reported.insert(path.clone()) {
            return None;
        }
        let more = if reported.len() == MAX_REPORTED { "; further such paths are not logged" } else { "" };
        Some(format!(
            "{}: not served, because a symbolic link leads out of the directory or is absolute{more}",
            self.directory.join(path).display()
        ))
    }

    fn open_with(&self, path: &Path, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC;
        // Opened for each request: a deployment may have changed a link on the way.
        let directory = open(
            self.directory.as_path(),
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let relative = relative(path)?;
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let opened = match openat2(&directory, &relative, OpenHow::new().flags(flags).resolve(resolve)) {
            Err(Errno::ENOSYS | Errno::EPERM) => without_links(directory, &relative, flags)?,
            Err(Errno::EXDEV) => {
                if let Some(line) = self.symlink_escape_message(relative) {
                    log_error(&line);
                }
                return Err(io::ErrorKind::NotFound.into());
            }
            opened => opened.map_err(as_missing)?,
        };
        let file = File::from(opened);
        let metadata = file.metadata()?;
        // Devices, FIFOs and sockets are not served.
        if metadata.is_file() || metadata.is_dir() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

/// The path without a leading `.`. A path with `..` counts as missing.
fn relative(path: &Path) -> io::Result<PathBuf> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => relative.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
    }
    if relative.as_os_str().is_empty() {
        relative.push(".");
    }
    Ok(relative)
}

/// Opens one part of the path after the other, none of which may be a link.
fn without_links(directory: OwnedFd, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let mut opened = directory;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let flags = match parts.peek() {
            Some(_) => OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            None => flags,
        };
        opened = openat(&opened, part.as_os_str(), flags | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(as_missing)?;
    }
    Ok(opened)
}

/// A name that cannot exist counts as missing.
fn as_missing(error: Errno) -> io::Error {
    match error {
        Errno::ELOOP | Errno::ENAMETOOLONG | Errno::ENOTDIR | Errno::ENXIO | Errno::EINVAL => {
            io::ErrorKind::NotFound.into()
        }
        error => error.into(),
    }
}

/// An open file in the form that the file server needs.
pub(super) struct OpenFile(tokio::fs::File);

type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl Backend for Files {
    type File = OpenFile;
    type Metadata = Metadata;
    type OpenFuture = BoxedFuture<'static, OpenFile>;
    type MetadataFuture = BoxedFuture<'static, Metadata>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let files = self.clone();
        Box::pin(async move {
            let file = blocking(move || files.read(&path)).await?;
            Ok(OpenFile(tokio::fs::File::from_std(file)))
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let files = self.clone();
        Box::pin(async move { blocking(move || files.stat(&path)).await })
    }
}

/// Runs a closure on a thread that may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl fs::File for OpenFile {
    type Metadata = Metadata;
    type MetadataFuture<'a> = BoxedFuture<'a, Metadata>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        Box::pin(self.0.metadata())
    }
}

impl AsyncRead for OpenFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncSeek for OpenFile {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_outside_of_the_directory_is_opened() {
        let bed = tempfile::tempdir().unwrap();
        let site = bed.path().join("site");
        fs::create_dir_all(site.join("sub")).unwrap();
        fs::write(bed.path().join("secret"), "s").unwrap();
        fs::write(site.join("page"), "p").unwrap();
        symlink("page", site.join("inside")).unwrap();
        symlink("../page", site.join("sub/up-and-inside")).unwrap();
        symlink("../secret", site.join("outside")).unwrap();
        symlink(bed.path().join("secret"), site.join("absolute")).unwrap();
        symlink("loop", site.join("loop")).unwrap();
        nix::unistd::mkfifo(&site.join("fifo"), Mode::S_IRWXU).unwrap();
        let files = Files::new(site.clone());
        for existing in ["page", "./page", "inside", "sub/up-and-inside", "sub", "."] {
            assert!(files.read(Path::new(existing)).is_ok(), "{existing}");
            assert!(files.stat(Path::new(existing)).is_ok(), "{existing}");
        }
        let long = "x".repeat(300);
        for missing in [
            "outside",
            "absolute",
            "loop",
            "fifo",
            "../secret",
            "sub/../../secret",
            "/etc/passwd",
            "page/x",
            &long,
        ] {
            let error = files.read(Path::new(missing)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{missing}");
            assert!(files.stat(Path::new(missing)).is_err(), "{missing}");
        }
        let directory = || open(&site, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        let plain = |path: &str| without_links(directory(), Path::new(path), OFlag::O_RDONLY);
        assert!(plain("page").is_ok() && plain("sub").is_ok() && plain(".").is_ok());
        for link in ["inside", "outside", "absolute", "sub/up-and-inside"] {
            assert!(plain(link).is_err(), "{link}: without openat2 no link is followed");
        }
    }

    #[test]
    fn a_path_that_leads_out_is_reported_once_up_to_a_limit() {
        let files = Files::new(PathBuf::from("/site"));
        let message = files.symlink_escape_message(PathBuf::from("out/0")).unwrap();
        assert!(
            message.starts_with("/site/out/0: not served, because a symbolic link leads out"),
            "{message}"
        );
        let count = |from: usize| {
            (from..10 * MAX_REPORTED)
                .filter_map(|at| files.clone().symlink_escape_message(format!("out/{at}").into()))
                .count()
        };
        assert_eq!(count(0), MAX_REPORTED - 1);
        assert_eq!(count(0), 0);
    }
}
