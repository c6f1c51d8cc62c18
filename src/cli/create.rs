//! New files that a command creates. An existing file is never replaced.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::failure::Failure;

/// Writes a new file with these permissions, less the umask. An existing file is not changed.
pub(super) fn create(path: &Path, text: &str, mode: u32, hint: &str) -> Result<(), Failure> {
    let shown = path.display();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|error| match error
            .kind()
        {
            io::ErrorKind::AlreadyExists => {
                Failure::not_done(format!("{shown} already exists and was not changed")).hint(hint)
            }
            _ => Failure::not_done(format!("cannot write {shown}: {error}")),
        })?;
    file.write_all(text.as_bytes()).map_err(|error| {
        // A half-written file is useless.
        let _ = std::fs::remove_file(path);
        Failure::not_done(format!("cannot write {shown}: {error}"))
    })
}
