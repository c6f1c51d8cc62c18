//! Patterns as targets: a regular expression on the names of applications, between slashes as PM2 has it
//! (`/^api-/`). Pure.
//!
//! The supervisor matches, so the work is bounded: the engine takes linear time, and the pattern and the
//! program that it compiles to have a limit.

use regex_lite::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_PATTERN_LENGTH: usize = 256;
/// The largest compiled program, in bytes: some hundred states, so that counted repetitions such as
/// `(a{1000}){1000}` are refused.
const MAX_PROGRAM_SIZE: usize = 16 * 1024;
/// The deepest nesting of groups.
const MAX_NESTING: u32 = 32;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

/// What a target is as a pattern.
#[derive(Debug)]
pub(super) enum Parsed {
    /// It is not written as one.
    NotAPattern,
    /// It cannot be used, and why.
    Invalid(String),
    /// It can be matched.
    Pattern(Pattern),
}

impl Pattern {
    /// Reads `/EXPRESSION/` or `/EXPRESSION/i` (JavaScript's flag: upper and lower case are the same).
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

    /// Whether a part of the name matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Whether a target is written as a pattern.
pub fn is_pattern(word: &str) -> bool {
    parts(word).is_some()
}

/// The expression and the flags. Another letter behind the last slash makes it a path.
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
    fn other_words_are_no_patterns() {
        for word in ["api", "/", "//", "/usr/bin/node", "/etc", "api/", "/x/g", "./a/"] {
            assert!(!is_pattern(word), "{word}");
            assert!(matches!(Pattern::parse(word), Parsed::NotAPattern), "{word}");
        }
    }

    #[test]
    fn what_could_take_long_is_refused() {
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
        // A backtracking engine never comes to an end here.
        assert!(!matches("/^(a+)+$/", &format!("{}b", "a".repeat(100))));
    }
}
