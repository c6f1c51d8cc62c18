//! The known word a mistyped one is nearest to.

/// The known word nearest to `word`, if it is near enough to be what was meant: one slip, or one
/// in three letters.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, &known.to_lowercase()), known))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, _)| distance <= (length / 3).max(1))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let known = ["max_memory_restart", "max_restarts", "script"];
        assert_eq!(nearest("max_memory_restrat", known), Some("max_memory_restart"));
        assert_eq!(nearest("scirpt", known), Some("script"));
        assert_eq!(nearest("Script", known), Some("script"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
