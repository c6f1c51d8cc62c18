//! Lists of names on the command line.

/// The names in `a,b` and `a b`.
pub(super) fn names(values: &[&str]) -> Vec<String> {
    let words = values.iter().flat_map(|value| value.split([',', ' ']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
