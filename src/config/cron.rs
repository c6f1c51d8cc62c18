//! The cron patterns that PM2 takes → those of the `cron` crate.
//!
//! PM2: 5 fields, or 6 with seconds before them; Sunday is 0 or 7. The crate wants seconds always
//! and counts its days from 1, so the day of the week is rewritten as a list.

use std::{collections::BTreeSet, str::FromStr as _};

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Checks a pattern and gives it as the `cron` crate reads it; the error follows the key's name.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    const LONGEST: usize = 256;
    if pattern.len() > LONGEST {
        return Err("is too long for a cron pattern".to_owned());
    }
    let nickname = match pattern.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let mut fields: Vec<&str> = nickname.split_whitespace().collect();
    match fields.len() {
        5 => fields.insert(0, "0"),
        6 => {}
        count => {
            return Err(format!("must have 5 or 6 fields, not {count}"));
        }
    }
    let weekday = weekdays(fields[5])?;
    let translated = format!("{} {weekday}", fields[..5].join(" "));
    cron::Schedule::from_str(&translated)
        .map(|_| translated)
        .map_err(|_| format!("is no cron pattern: `{}`", super::tree::shorten(pattern)))
}

fn weekdays(field: &str) -> Result<String, String> {
    if matches!(field, "*" | "?") {
        return Ok("*".to_owned());
    }
    let wrong = || format!("has no days of the week in `{}`", super::tree::shorten(field));
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<usize>().ok().filter(|&step| step > 0).ok_or_else(wrong)?)
            }
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (weekday(first).ok_or_else(wrong)?, weekday(last).ok_or_else(wrong)?),
            None if matches!(range, "*" | "?") => (0, 6),
            None => {
                let day = weekday(range).ok_or_else(wrong)?;
                (day, if part.contains('/') { 6 } else { day })
            }
        };
        // `5-7` and `sat-mon` go over the end of the week.
        let last = if last < first { last + 7 } else { last };
        days.extend((first..=last).step_by(step).map(|day| day % 7));
    }
    Ok(days.into_iter().map(|day| DAYS[day]).collect::<Vec<_>>().join(","))
}

fn weekday(text: &str) -> Option<usize> {
    if let Ok(number) = text.parse::<usize>() {
        return (number <= 7).then_some(number);
    }
    DAYS.iter().position(|day| text.eq_ignore_ascii_case(day))
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn pm2s_patterns() {
        for (pattern, expected) in [
            ("0 3 * * *", "0 0 3 * * *"),
            ("2/3 * * * * *", "2/3 * * * * *"),
            ("*/5 * * * *", "0 */5 * * * *"),
            ("0 0 * * 0", "0 0 0 * * sun"),
            ("0 0 * * 7", "0 0 0 * * sun"),
            ("0 0 * * 1-5", "0 0 0 * * mon,tue,wed,thu,fri"),
            ("0 0 * * 5-7", "0 0 0 * * sun,fri,sat"),
            ("0 0 * * MON,Wed", "0 0 0 * * mon,wed"),
            ("0 0 * * */2", "0 0 0 * * sun,tue,thu,sat"),
            ("0 0 1 1 ?", "0 0 0 1 1 *"),
            ("@daily", "0 0 0 * * *"),
        ] {
            assert_eq!(translate(pattern).as_deref(), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for pattern in ["", "* * *", "61 * * * *", "* * * * 8", "a b c d e", "* * * * 1/0", "0 0 0 * * * *"] {
            assert!(translate(pattern).is_err(), "{pattern}");
        }
    }
}
