//! How the pages hang together: links, the table of contents, and their length.

use std::collections::BTreeSet;

use super::page::{Pages, repository};

/// The table of contents of the book.
const SUMMARY: &str = "docs/SUMMARY.md";
/// The most that README.md may have, in bytes.
const MAX_README: usize = 12 * 1024;
/// The most words that any other page may have.
const MAX_WORDS: usize = 1500;

#[test]
fn every_link_leads_somewhere() {
    let pages = Pages::all();
    let mut followed = 0;
    for page in &pages.0 {
        for link in page.links().into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = page.target(link);
            assert!(repository().join(&file).exists(), "{}: there is no {file}", page.path);
            if let Some(anchor) = anchor {
                let target = pages.find(&file).unwrap_or_else(|| panic!("{}: {file} is no page", page.path));
                let known = target.anchors();
                assert!(known.iter().any(|known| known == anchor), "{}: {link} has no heading", page.path);
            }
            // The book has no other files.
            let is_in_book = file.starts_with("docs/");
            assert!(
                is_in_book || page.is_design() || page.path == "README.md",
                "{}: {file} is not in docs/, so the book has no such page",
                page.path
            );
            followed += 1;
        }
    }
    assert!(followed > 100, "{followed}");
}

#[test]
fn every_page_for_users_is_in_the_table_of_contents_once() {
    let pages = Pages::all();
    let summary = pages.find(SUMMARY).expect("it is there");
    let mut listed = BTreeSet::new();
    for link in summary.links() {
        assert!(listed.insert(summary.target(link).0), "{SUMMARY} lists {link} twice");
    }
    for page in pages.0.iter().filter(|page| !page.is_design()) {
        let needs_no_link = page.path == "README.md" || page.path == SUMMARY;
        assert!(needs_no_link || listed.contains(&page.path), "{SUMMARY} does not list {}", page.path);
    }
}

/// The words of a text; the lines and dashes of tables are none.
fn words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
}

#[test]
fn every_page_can_be_read_in_one_go() {
    let architecture = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("it is there");
    let count = words(&architecture);
    assert!(count <= MAX_WORDS, "ARCHITECTURE.md has {count} words");
    for page in &Pages::all().0 {
        if page.path == "README.md" {
            assert!(page.source.len() <= MAX_README, "README.md has {} bytes", page.source.len());
        }
        let count = words(&page.source);
        // A generated reference is as long as its table.
        assert!(page.is_generated() || count <= MAX_WORDS, "{} has {count} words", page.path);
    }
}
