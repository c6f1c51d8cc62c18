//! Pages of docs/reference that are written from the tables in the code.
//!
//! `BLESS=1 cargo test --lib reference` writes the pages. Without it, the tests fail when a page differs.

use std::{fs, path::Path};

/// Text for a table cell. Outside of code spans, a name such as `<NAME>` would be read as HTML and not be shown.
pub(crate) fn cell(text: &str) -> String {
    let mut is_code = false;
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        is_code ^= c == '`';
        match c {
            '|' => cell.push_str("\\|"),
            '<' if !is_code => cell.push_str("&lt;"),
            c => cell.push(c),
        }
    }
    cell
}

/// Compares the page with the file, or writes the file.
pub(crate) fn check(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, page).expect("the page can be written");
    }
    let file = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(file, page, "docs/reference/{name} differs: run `BLESS=1 cargo test --lib reference`");
}
