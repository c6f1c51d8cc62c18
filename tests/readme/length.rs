//! Pages that can be read in one go.

use super::page::{Pages, repository};

const MAX_WORDS: usize = 1_500;

/// The words of a text; the lines and dashes of tables are none.
fn words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
}

#[test]
fn no_page_is_long() {
    let architecture = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("it is there");
    let pages = Pages::all();
    let written = pages.0.iter().filter(|page| !page.is_generated());
    let pages = written.map(|page| (&*page.path, &*page.source)).chain([("ARCHITECTURE.md", &*architecture)]);
    let long: Vec<_> =
        pages.map(|(path, text)| (path, words(text))).filter(|(_, words)| *words > MAX_WORDS).collect();
    assert!(long.is_empty(), "more than {MAX_WORDS} words: {long:?}");
}
