//! Which of the offered media types a client prefers, by its Accept header.

/// The index of the offered type that a client prefers; the first one without a preference. `None`: it accepts none
/// of them. An offered type may have parameters: `text/plain;version=0.0.4`.
pub(super) fn preferred(accept: Option<&str>, offered: &[&str]) -> Option<usize> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Some(0) };
    let ranges: Vec<Range<'_>> = accept.split(',').map(Range::parse).collect();
    let mut best: Option<(usize, u32)> = None;
    for (at, media_type) in offered.iter().enumerate() {
        // The most specific range counts.
        let range = ranges.iter().filter_map(|range| Some((range.fits(media_type)?, range.quality)));
        let Some((_, quality)) = range.max_by_key(|(specificity, _)| *specificity) else { continue };
        if quality > best.map_or(0, |(_, quality)| quality) {
            best = Some((at, quality));
        }
    }
    best.map(|(at, _)| at)
}

/// One media range of the header.
struct Range<'a> {
    media_type: &'a str,
    parameters: Vec<&'a str>,
    /// In thousandths.
    quality: u32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (mut parameters, mut quality) = (Vec::new(), 1000);
        for part in parts {
            match part.split_once('=') {
                Some(("q" | "Q", value)) => quality = thousandths(value),
                // Both formats of metrics are UTF-8, and neither escapes names.
                Some(("charset" | "escaping", _)) => {}
                _ => parameters.push(part),
            }
        }
        Self { media_type, parameters, quality }
    }

    /// How specific the range is if it includes this type.
    fn fits(&self, offered: &str) -> Option<usize> {
        let mut parts = offered.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let of_offered: Vec<&str> = parts.collect();
        let group = media_type.split('/').next().unwrap_or_default();
        if self.media_type == "*/*" || self.media_type == "*" {
            Some(0)
        } else if self.media_type.strip_suffix("/*") == Some(group) {
            Some(1)
        } else if self.media_type.eq_ignore_ascii_case(media_type) {
            let has_all = self.parameters.iter().all(|it| of_offered.contains(it));
            has_all.then_some(2 + self.parameters.len())
        } else {
            None
        }
    }
}

fn thousandths(text: &str) -> u32 {
    let Ok(quality) = text.trim().parse::<f32>() else { return 0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let quality = (quality.clamp(0.0, 1.0) * 1000.0) as u32;
    quality
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_with_the_highest_quality_is_preferred() {
        let offered = ["text/html", "application/json"];
        for (accept, expected) in [
            (None, Some(0)),
            (Some(""), Some(0)),
            (Some("*/*"), Some(0)),
            (Some("application/json"), Some(1)),
            (Some("application/*"), Some(1)),
            (Some("text/html;q=0.5, application/json"), Some(1)),
            (Some("text/html;q=0, */*"), Some(1)),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Some(0)),
            (Some("image/png"), None),
            (Some("application/json;q=0"), None),
            (Some("application/json;q=x"), None),
        ] {
            assert_eq!(preferred(accept, &offered), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_version_of_a_format_counts() {
        let offered = ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"];
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(preferred(Some(prometheus), &offered), Some(1));
        assert_eq!(preferred(Some("text/plain"), &offered), Some(0));
        assert_eq!(preferred(Some("text/plain;version=2.0.0"), &offered), None);
        assert_eq!(preferred(Some("text/html, */*;q=0.1"), &offered), Some(0));
    }
}
