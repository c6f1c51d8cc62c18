//! Memory limits of applications, and the OOM guard.
//!
//! These are the configured values. Bytes are computed by `monitor`, which knows the limit of the container.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ByteSize;

/// A part of a whole, from 0.01% to 100%.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share(u16);

impl Share {
    /// A share in percent, rounded to hundredths. `None`: it is not above 0, or it is above 100.
    pub fn percent(percent: f64) -> Option<Self> {
        if !(percent > 0.0 && percent <= 100.0) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10,000")]
        let hundredths = (percent * 100.0).round().max(1.0) as u16;
        Some(Self(hundredths))
    }

    /// Whether it is in its range. A share that was deserialised can be any number.
    pub fn is_possible(self) -> bool {
        (1..=10_000).contains(&self.0)
    }

    /// This share of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.0) / 10_000;
        // Never more than the whole.
        u64::try_from(part).unwrap_or(whole)
    }
}

/// `80%`, `37.5%`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 100.0)
    }
}

/// The memory limit of an instance's process tree (`max_memory_restart`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryLimit {
    /// This number of bytes, more than 0.
    Bytes(u64),
    /// This share of the container's limit; without one, of the machine's memory.
    Share(Share),
}

impl MemoryLimit {
    /// No process works with less than 1 MiB: it is a mistake, such as `300` for 300 MB.
    pub const MIN_BYTES: u64 = 1 << 20;
}

/// As in a configuration file: `300M`, `80%`.
impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&ByteSize(*bytes).exact()),
            Self::Share(share) => share.fmt(f),
        }
    }
}

/// The share of the container's limit at which a worker restarts, before the kernel kills a process (`oom_guard`).
/// Without such a limit there is no guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomGuard {
    /// At this share.
    At(Share),
    /// No guard: the kernel kills a process.
    Off,
}

impl Default for OomGuard {
    fn default() -> Self {
        Self::At(Share(9500))
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryLimit, Share};

    #[test]
    fn a_share_is_at_most_the_whole() {
        let share = |percent| Share::percent(percent).unwrap();
        assert_eq!(share(80.0).of(1 << 30), (1 << 30) / 10 * 8 + 3);
        assert_eq!(share(100.0).of(u64::MAX), u64::MAX);
        assert_eq!(share(37.5).of(800), 300);
        assert_eq!(share(0.001).of(1_000_000), 100, "the smallest share");
        assert_eq!(share(37.5).to_string(), "37.5%");
        assert_eq!(MemoryLimit::Share(share(80.0)).to_string(), "80%");
        let texts =
            [300 << 20, 2 << 30, 1_500_000, 1_536_000].map(|bytes| MemoryLimit::Bytes(bytes).to_string());
        assert_eq!(texts, ["300M", "2G", "1500000", "1500K"]);
        for wrong in [0.0, -1.0, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::percent(wrong), None);
        }
    }
}
