//! Pages of docs/reference that are written from the tables in the code.
//!
//! `BLESS=1 cargo test --lib reference` writes the pages. Without it, the tests fail when a page differs.

use std::{fs, path::Path};

/// Text for a table cell.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
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
