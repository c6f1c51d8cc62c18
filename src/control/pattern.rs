//! Patterns as targets: a regular expression for the names of applications, between slashes as in PM2 (`/^api-/`).
//! Pure.
//!
//! The supervisor matches patterns, so the work is bounded: the engine takes linear time, and the length of a pattern
//! and of its compiled program is limited.

use regex_lite::{Regex, RegexBuilder};

/// The maximum length of a pattern in bytes.
const MAX_PATTERN_LENGTH: usize = 256;
/// The maximum size of a compiled program in bytes, some hundred states: nested repetitions such as `(a{1000}){1000}`
/// are errors.
const MAX_PROGRAM_SIZE: usize = 16 * 1024;
/// The maximum nesting of groups.
const MAX_NESTING: u32 = 32;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

/// The result of parsing a target as a pattern.
#[derive(Debug)]
pub(super) enum Parsed {
    /// The target is not a pattern.
    NotAPattern,
    /// The pattern is not valid, for this reason.
    Invalid(String),
    /// A valid pattern.
    Pattern(Pattern),
}

impl Pattern {
    /// Parses `/EXPRESSION/` or `/EXPRESSION/i` (case-insensitive, as in JavaScript).
    pub(super) fn parse(word: &str) -> Parsed {
        let Some((expression, flags)) = parts(word) else { return Parsed::NotAPattern };
        if expression.len() > MAX_PATTERN_LENGTH {
            return Parsed::Invalid(format!("it is longer than {MAX_PATTERN_LENGTH} bytes"));
        }
        let mut builder = RegexBuilder::new(expression);
        builder.size_limit(MAX_PROGRAM_SIZE).nest_limit(MAX_NESTING).case_insensitive(flags == "i");
        match builder.build() {
            Ok(regex) => Parsed::Pattern(Self(regex)),
            Err(error) => Parsed::Invalid(error.to_string()),
        }
    }

    /// Whether the pattern matches a part of the name.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Whether a target is written as a pattern.
pub fn is_pattern(word: &str) -> bool {
    parts(word).is_some()
}

/// The expression and the flags. With another letter after the last slash the target is a path.
fn parts(word: &str) -> Option<(&str, &str)> {
    let (expression, flags) = word.strip_prefix('/')?.rsplit_once('/')?;
    (!expression.is_empty() && matches!(flags, "" | "i")).then_some((expression, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(word: &str, name: &str) -> bool {
        match Pattern::parse(word) {
            Parsed::Pattern(pattern) => pattern.matches(name),
            other => panic!("{word}: {other:?}"),
        }
    }

    #[test]
    fn a_pattern_matches_a_part_of_a_name() {
        assert!(matches("/^api-/", "api-1"));
        assert!(!matches("/^api-/", "web-api-1"));
        assert!(matches("/api/", "web-api-1"));
        assert!(matches(r"/^(api|web)-\d+$/", "web-12"));
        assert!(!matches("/^API/", "api"));
        assert!(matches("/^API/i", "api"));
        assert!(matches(r"/a\/b/", "a/b"), "an escaped slash, as JavaScript writes it");
        assert!(matches("/über$/", "Jüber"));
    }

    #[test]
    fn other_words_are_not_patterns() {
        for word in ["api", "/", "//", "/usr/bin/node", "/etc", "api/", "/x/g", "./a/"] {
            assert!(!is_pattern(word), "{word}");
            assert!(matches!(Pattern::parse(word), Parsed::NotAPattern), "{word}");
        }
    }

    #[test]
    fn expensive_patterns_are_errors() {
        let invalid = |word: &str| match Pattern::parse(word) {
            Parsed::Invalid(why) => why,
            other => panic!("{word}: {other:?}"),
        };
        assert!(invalid("/(/").contains("group"));
        assert!(invalid("/^(?!db)/").contains("look-around"));
        assert!(invalid(r"/(a)\1/").contains("backreferences"));
        assert!(invalid("/((a{200}){200}){200}/").contains("size limit"));
        assert!(invalid(&format!("/{}a{}/", "(".repeat(40), ")".repeat(40))).contains("nesting"));
        assert!(invalid(&format!("/{}/", "a".repeat(300))).contains("longer than 256 bytes"));
        // A backtracking engine would take exponential time here.
        assert!(!matches("/^(a+)+$/", &format!("{}b", "a".repeat(100))));
    }
}
