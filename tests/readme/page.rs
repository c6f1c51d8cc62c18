//! README.md as data: its fenced blocks, code spans, tables, headings and links. It knows as much of
//! Markdown as that page uses, and nothing of what the page says.

use std::{fs, path::PathBuf};

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    /// Of its first fence, counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The page, taken apart.
pub(crate) struct Page {
    pub(crate) blocks: Vec<Block>,
    /// What stands outside of the blocks.
    pub(crate) prose: String,
}

impl Page {
    pub(crate) fn read() -> Self {
        Self::of(&fs::read_to_string(repository().join("README.md")).expect("the README is there"))
    }

    fn of(text: &str) -> Self {
        let mut page = Self { blocks: Vec::new(), prose: String::new() };
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            let fence =
                line.trim_start().strip_prefix("```").or_else(|| line.trim_start().strip_prefix("~~~"));
            match (fence, &mut open) {
                (Some(language), None) => {
                    open = Some(Block {
                        language: language.trim().into(),
                        line: number + 1,
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => page.blocks.extend(open.take()),
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => page.prose.extend([line, "\n"]),
            }
        }
        assert_eq!(open, None, "a block without an end");
        page
    }

    /// What stands between backticks in the prose, tables included.
    pub(crate) fn code(&self) -> Vec<String> {
        self.prose.split("\n\n").flat_map(code).collect()
    }

    /// The rows below this table head, cell by cell.
    #[track_caller]
    pub(crate) fn table(&self, head: &str) -> Vec<Vec<String>> {
        let mut lines = self.prose.lines().skip_while(|line| *line != head);
        assert!(lines.next().is_some(), "README has no table `{head}`");
        let rows: Vec<Vec<String>> =
            lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
        assert!(!rows.is_empty(), "the table `{head}` is empty");
        rows
    }

    /// The one paragraph that begins like this.
    #[track_caller]
    pub(crate) fn paragraph(&self, beginning: &str) -> &str {
        let mut found = self.prose.split("\n\n").filter(|part| part.trim_start().starts_with(beginning));
        let paragraph = found.next().unwrap_or_else(|| panic!("no paragraph begins with `{beginning}`"));
        assert_eq!(found.next(), None, "two paragraphs begin with `{beginning}`");
        paragraph
    }

    /// What `[text](here)` points at.
    pub(crate) fn links(&self) -> Vec<&str> {
        let after = self.prose.split("](").skip(1);
        after.map(|rest| rest.split_once(')').expect("a link has an end").0).collect()
    }

    /// The anchors that GitHub makes of the headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.lines().filter(|line| line.starts_with('#'));
        headings.map(|heading| slug(heading.trim_start_matches('#').trim())).collect()
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
        "# A b-c: d\n\na `x\ny` [l](#l)\n```sh\nls # |\n```\n| k | v |\n|---|---|\n| `a\\|b` | 1 |\n",
    );
    assert_eq!(page.blocks, [Block { language: "sh".into(), line: 5, text: "ls # |\n".into() }]);
    assert_eq!(page.code(), ["x y", "a|b"]);
    assert_eq!(page.table("| k | v |"), [["`a|b`", "1"]]);
    assert_eq!(page.links(), ["#l"]);
    assert_eq!(page.anchors(), ["a-b-c-d"]);
}
