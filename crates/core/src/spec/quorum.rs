//! How many instances make an application ready.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The number or share of its instances that must be ready before an application is (`ready_when`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// At least this number, or all instances if there are fewer.
    Count(u32),
    /// This number of that number, in proportion to the instances: `2 of 4` of eight instances is four.
    Of(u32, u32),
    /// This percentage, rounded up.
    Percent(u32),
}

impl Quorum {
    /// The largest number in a quorum.
    const MAX: u32 = 1000;

    /// The number of instances that must be ready. An application with instances needs at least one.
    pub fn required(self, instances: u32) -> u32 {
        let share = |part: u32, of: u32| {
            let required = (u64::from(instances) * u64::from(part)).div_ceil(u64::from(of.max(1)));
            u32::try_from(required).unwrap_or(u32::MAX)
        };
        let required = match self {
            Self::Count(count) => count,
            Self::Of(part, of) => share(part, of),
            Self::Percent(percent) => share(percent, 100),
        };
        required.max(1).min(instances)
    }
}

/// A text is not a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAQuorum;

impl FromStr for Quorum {
    type Err = NotAQuorum;

    fn from_str(text: &str) -> Result<Self, NotAQuorum> {
        let number = |text: &str| {
            let text = text.trim();
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| is_number && (1..=Self::MAX).contains(number));
            number.ok_or(NotAQuorum)
        };
        if let Some(percent) = text.trim().strip_suffix('%') {
            return number(percent)
                .and_then(|it| if it <= 100 { Ok(Self::Percent(it)) } else { Err(NotAQuorum) });
        }
        match text.split_once(" of ") {
            Some((part, of)) => {
                let (part, of) = (number(part)?, number(of)?);
                if part <= of { Ok(Self::Of(part, of)) } else { Err(NotAQuorum) }
            }
            None => number(text).map(Self::Count),
        }
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Of(part, of) => write!(f, "{part} of {of}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_a_number_a_proportion_or_a_percentage() {
        for (text, quorum) in [
            ("2", Quorum::Count(2)),
            ("2 of 4", Quorum::Of(2, 4)),
            (" 75% ", Quorum::Percent(75)),
            ("100%", Quorum::Percent(100)),
        ] {
            assert_eq!(text.parse(), Ok(quorum), "{text}");
            assert_eq!(quorum.to_string().parse(), Ok(quorum));
        }
        for text in
            ["", "0", "0%", "101%", "5 of 4", "2 of", "two", "-1", "+2", "1.5", "1001", "2of4", "50 %%"]
        {
            assert_eq!(text.parse::<Quorum>(), Err(NotAQuorum), "{text}");
        }
    }

    #[test]
    fn a_quorum_is_rounded_up_and_never_more_than_the_instances() {
        for (quorum, instances, required) in [
            (Quorum::Count(2), 4, 2),
            (Quorum::Count(2), 1, 1),
            (Quorum::Of(2, 4), 4, 2),
            (Quorum::Of(2, 4), 8, 4),
            (Quorum::Of(2, 4), 3, 2),
            (Quorum::Percent(75), 4, 3),
            (Quorum::Percent(75), 5, 4),
            (Quorum::Percent(1), 4, 1),
            (Quorum::Percent(1), 0, 0),
        ] {
            assert_eq!(quorum.required(instances), required, "{quorum} of {instances}");
        }
    }
}
