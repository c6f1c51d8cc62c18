//! README.md and the pages of docs/ as data: their fenced blocks, code spans, tables, headings and links. It
//! knows as much of Markdown as these pages use, and nothing of what they say.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    /// The page and the line of its first fence: `README.md:12`.
    pub(crate) place: String,
    pub(crate) text: String,
}

/// A page, taken apart.
pub(crate) struct Page {
    /// Relative to the repository: `docs/how-to/docker.md`.
    pub(crate) path: String,
    pub(crate) source: String,
    pub(crate) blocks: Vec<Block>,
    /// What stands outside of the blocks.
    pub(crate) prose: String,
}

impl Page {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(repository().join(path));
        Self::of(path, &text.unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    fn of(path: &str, text: &str) -> Self {
        let mut page =
            Self { path: path.into(), source: text.into(), blocks: Vec::new(), prose: String::new() };
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            let fence =
                line.trim_start().strip_prefix("```").or_else(|| line.trim_start().strip_prefix("~~~"));
            match (fence, &mut open) {
                (Some(language), None) => {
                    open = Some(Block {
                        language: language.trim().into(),
                        place: format!("{path}:{}", number + 1),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => page.blocks.extend(open.take()),
                (None, Some(block)) => block.text.extend([line, "\n"]),
                // A note for people who edit the page.
                (None, None) if line.starts_with("<!--") => {}
                (None, None) => page.prose.extend([line, "\n"]),
            }
        }
        assert_eq!(open, None, "{path}: a block without an end");
        if page.is_generated() {
            // Text of the help, which a test compares with the code.
            page.blocks.retain(|block| block.language != "text");
        }
        page
    }

    /// What stands between backticks in the prose, tables included.
    pub(crate) fn code(&self) -> Vec<String> {
        self.prose.split("\n\n").flat_map(code).collect()
    }

    /// The rows of all tables with this head, cell by cell; `None`: the page has no such table.
    fn table(&self, head: &str) -> Option<Vec<Vec<String>>> {
        let mut lines = self.prose.lines();
        let mut rows = None;
        while lines.by_ref().any(|line| line == head) {
            let table = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
            rows.get_or_insert_with(Vec::new).extend(table.map(cells));
        }
        rows
    }

    /// What `[text](here)` points at.
    pub(crate) fn links(&self) -> Vec<&str> {
        let after = self.prose.split("](").skip(1);
        after.map(|rest| rest.split_once(')').expect("a link has an end").0).collect()
    }

    /// The file that a relative link of this page leads to, relative to the repository, and the anchor in it.
    pub(crate) fn target<'a>(&self, link: &'a str) -> (String, Option<&'a str>) {
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        if file.is_empty() {
            return (self.path.clone(), anchor);
        }
        let mut parts: Vec<&str> = self.path.split('/').collect();
        parts.pop();
        for part in file.split('/') {
            match part {
                "." => {}
                ".." => assert!(parts.pop().is_some(), "{}: {link} leaves the repository", self.path),
                part => parts.push(part),
            }
        }
        (parts.join("/"), anchor)
    }

    /// The anchors that GitHub and mdBook make of the headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.lines().filter(|line| line.starts_with('#'));
        headings.map(|heading| slug(heading.trim_start_matches('#').trim())).collect()
    }

    /// Whether it is written by a test from the tables in the code.
    pub(crate) fn is_generated(&self) -> bool {
        self.source.contains("Do not edit. -->")
    }

    /// Whether it describes how procrun is made, for contributors. What such a page names need not be a key, an
    /// option or a command.
    pub(crate) fn is_design(&self) -> bool {
        self.path.starts_with("docs/design/")
    }
}

/// Several pages.
pub(crate) struct Pages(pub(crate) Vec<Page>);

impl Pages {
    /// README.md and every page below docs/.
    pub(crate) fn all() -> Self {
        let mut paths = vec!["README.md".to_owned()];
        find_pages(Path::new("docs"), &mut paths);
        paths.sort();
        assert!(paths.len() > 20, "{paths:?}");
        Self(paths.iter().map(|path| Page::read(path)).collect())
    }

    /// Those for users.
    pub(crate) fn for_users() -> Self {
        Self(Self::all().0.into_iter().filter(|page| !page.is_design()).collect())
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.0.iter().flat_map(|page| &page.blocks)
    }

    /// What stands between backticks in the prose, tables included.
    pub(crate) fn code(&self) -> Vec<String> {
        self.0.iter().flat_map(Page::code).collect()
    }

    /// The rows below this table head, which exactly one page has.
    #[track_caller]
    pub(crate) fn table(&self, head: &str) -> Vec<Vec<String>> {
        let mut found = self.0.iter().filter_map(|page| page.table(head));
        let rows = found.next().unwrap_or_else(|| panic!("no page has a table `{head}`"));
        assert_eq!(found.next(), None, "two pages have a table `{head}`");
        assert!(!rows.is_empty(), "the table `{head}` is empty");
        rows
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Page> {
        self.0.iter().find(|page| page.path == path)
    }
}

/// The Markdown files below a directory of the repository.
fn find_pages(dir: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(repository().join(dir)).expect("docs/ is there") {
        let entry = entry.expect("an entry");
        let path = dir.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            find_pages(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path.to_str().expect("names of ours").to_owned());
        }
    }
}

/// What stands between backticks.
pub(crate) fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ").replace("\\|", "|")).collect()
}

fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\0");
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
}

#[test]
fn a_page_is_taken_apart() {
    let page = Page::of(
        "docs/how-to/a.md",
        "# A b-c: d\n\na `x\ny` [l](../b.md#l)\n```sh\nls # |\n```\n| k | v |\n|---|---|\n| `a\\|b` | 1 |\n",
    );
    let block = Block { language: "sh".into(), place: "docs/how-to/a.md:5".into(), text: "ls # |\n".into() };
    assert_eq!(page.blocks, [block]);
    assert_eq!(page.code(), ["x y", "a|b"]);
    assert_eq!(page.table("| k | v |").expect("it is there"), [["`a|b`", "1"]]);
    assert_eq!(page.table("| v | k |"), None);
    assert_eq!(page.links(), ["../b.md#l"]);
    assert_eq!(page.target("../b.md#l"), ("docs/b.md".into(), Some("l")));
    assert_eq!(page.target("#a"), ("docs/how-to/a.md".into(), Some("a")));
    assert_eq!(page.anchors(), ["a-b-c-d"]);
}
