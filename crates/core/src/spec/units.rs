//! Sizes and durations as text. There are four forms for four purposes:
//!
//! | form | size | duration | shown in |
//! |---|---|---|---|
//! | `Display` | `35 MB` | `1.5 s` | log lines and errors |
//! | `exact` | `36700160` | `1500ms` | values of keys, which a file can contain again |
//! | `short` | `35M` | `3d4h` | `monit`, where columns are narrow |
//! | `pm2` | `35.0mb` | `3D` | `list`, in PM2's words |
//!
//! Sizes are in powers of 1024, as PM2's and the kernel's.

use std::{fmt, time::Duration};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// `300 KB`, `1.5 MB`, `300 MB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0 {
            0..MIB => write!(f, "{} KB", self.0 / 1024),
            size @ MIB..10_485_760 if !size.is_multiple_of(MIB) => {
                let tenths = size / (MIB / 10);
                write!(f, "{}.{} MB", tenths / 10, tenths % 10)
            }
            size => write!(f, "{} MB", size / MIB),
        }
    }
}

impl ByteSize {
    /// The whole number with the largest unit that fits: `10M`, or `1000` without one.
    pub fn exact(self) -> String {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
        let Self(size) = self;
        UNITS
            .iter()
            .find(|(unit, _)| size >= *unit && size.is_multiple_of(*unit))
            .map_or_else(|| size.to_string(), |(unit, name)| format!("{}{name}", size / unit))
    }

    /// At most four characters up to 999 GB: `512B`, `1.5G`, `35M`.
    pub fn short(self) -> String {
        let mut number = self.as_f64();
        for unit in ["B", "K", "M", "G"] {
            if number < 999.5 {
                let digits = usize::from(number < 9.95 && unit != "B");
                return format!("{number:.digits$}{unit}");
            }
            number /= 1024.0;
        }
        format!("{number:.1}T")
    }

    /// As PM2's tables show it: `35.2mb`.
    pub fn pm2(self) -> String {
        if self.0 < 1024 {
            return format!("{}b", self.0);
        }
        let (mut number, mut unit) = (self.as_f64(), "b");
        for larger in ["kb", "mb", "gb", "tb"] {
            if number < 1024.0 {
                break;
            }
            (number, unit) = (number / 1024.0, larger);
        }
        format!("{number:.1}{unit}")
    }

    #[expect(clippy::cast_precision_loss, reason = "at most three digits are shown")]
    fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

/// A duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

/// `300 ms`, `1.5 s`, `5 min 3 s`, `3 h 20 min`.
impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, seconds) = (self.0.as_millis(), self.0.as_secs());
        match seconds {
            _ if millis < 1000 => write!(f, "{millis} ms"),
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

impl HumanDuration {
    /// This number of milliseconds.
    pub fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The exact value with the largest unit that fits: `1h`, `1.5s`, `1234ms`.
    pub fn exact(self) -> String {
        let ms = self.0.as_millis();
        match ms {
            0 => "0".to_owned(),
            _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
            _ if ms.is_multiple_of(100) && ms >= 1000 => format!("{}s", self.0.as_secs_f64()),
            _ => format!("{ms}ms"),
        }
    }

    /// The two largest units: `3d4h`, `5m3s`. From 1,000 days on only the days.
    pub fn short(self) -> String {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds}s"),
            (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
            (0, ..) => format!("{hours}h{}m", minutes % 60),
            (1..=999, ..) => format!("{days}d{}h", hours % 24),
            _ => format!("{days}d"),
        }
    }

    /// The largest unit, as PM2's tables show it: `59s`, `5m`, `2h`, `3D`.
    pub fn pm2(self) -> String {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => format!("{seconds}s"),
            60..3600 => format!("{}m", seconds / 60),
            3600..86_400 => format!("{}h", seconds / 3600),
            _ => format!("{}D", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, HumanDuration};

    #[test]
    fn a_size_has_a_form_for_each_purpose() {
        for (bytes, message, exact, short, pm2) in [
            (0, "0 KB", "0", "0B", "0b"),
            (1000, "0 KB", "1000", "1.0K", "1000b"),
            (1536, "1 KB", "1536", "1.5K", "1.5kb"),
            (1_536_000, "1.4 MB", "1500K", "1.5M", "1.5mb"),
            (10 << 20, "10 MB", "10M", "10M", "10.0mb"),
            (36_909_875, "35 MB", "36909875", "35M", "35.2mb"),
            (1536 << 20, "1536 MB", "1536M", "1.5G", "1.5gb"),
            (2 << 30, "2048 MB", "2G", "2.0G", "2.0gb"),
            (1 << 40, "1048576 MB", "1024G", "1.0T", "1.0tb"),
        ] {
            let size = ByteSize(bytes);
            assert_eq!(
                (size.to_string(), size.exact(), size.short(), size.pm2()),
                (message.into(), exact.into(), short.into(), pm2.into())
            );
        }
    }

    #[test]
    fn a_duration_has_a_form_for_each_purpose() {
        for (millis, message, exact, short, pm2) in [
            (0, "0 ms", "0", "0s", "0s"),
            (100, "100 ms", "100ms", "0s", "0s"),
            (1234, "1.2 s", "1234ms", "1s", "1s"),
            (1500, "1.5 s", "1.5s", "1s", "1s"),
            (8000, "8.0 s", "8s", "8s", "8s"),
            (59_999, "60.0 s", "59999ms", "59s", "59s"),
            (60_000, "1 min 0 s", "1m", "1m0s", "1m"),
            (303_000, "5 min 3 s", "303s", "5m3s", "5m"),
            (7_200_000, "2 h 0 min", "2h", "2h0m", "2h"),
            (200_000_000, "55 h 33 min", "200000s", "2d7h", "2D"),
            (1000 * 86_400_000, "24000 h 0 min", "24000h", "1000d", "1000D"),
        ] {
            let duration = HumanDuration::from_millis(millis);
            assert_eq!(
                (duration.to_string(), duration.exact(), duration.short(), duration.pm2()),
                (message.into(), exact.into(), short.into(), pm2.into())
            );
        }
    }
}
