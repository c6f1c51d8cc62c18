//! One pattern in the language of .gitignore: `*.log`, `/dist/`, `src/**/*.js`, `!keep`.
//!
//! It works on bytes, allocates nothing when it matches, and never reads the disk. An invalid pattern (`[a`)
//! matches nothing, as in git.
//!
//! gix-glob has the same language, but would add 14 crates (and 6 KB), and does not have PM2's braces.
//! The tests of `ignore` compare the decisions with those of git itself.

/// A pattern, split at its slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    segments: Box<[Box<[u8]>]>,
    /// Whether it reverses earlier patterns (`!`).
    pub(super) negated: bool,
    only_directories: bool,
    /// Whether it matches the whole path, and not the last name alone.
    anchored: bool,
}

impl Pattern {
    /// Parses a line of a .gitignore; `None` for a line without a pattern.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = trimmed(line.strip_suffix(b"\r").unwrap_or(line));
        if line.starts_with(b"#") {
            return None;
        }
        let (negated, line) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (only_directories, line) = match line.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let anchored = line.contains(&b'/');
        let line = line.strip_prefix(b"/").unwrap_or(line);
        if line.is_empty() {
            return None;
        }
        let mut segments: Vec<Box<[u8]>> = line.split(|byte| *byte == b'/').map(Box::from).collect();
        segments.dedup_by(|a, b| **a == *b"**" && a == b);
        Some(Self { segments: segments.into(), negated, only_directories, anchored })
    }

    /// The same pattern relative to the root of the file system, if it is for paths below `base`.
    pub(super) fn below(mut self, base: &[&[u8]]) -> Self {
        if self.anchored && *self.segments[0] != *b"**" {
            let base = base.iter().map(|name| literal(name));
            self.segments = base.chain(self.segments).collect();
        }
        self
    }

    /// Whether the pattern matches this path, split at its slashes and relative to the directory of the pattern.
    pub(super) fn matches(&self, path: &[&[u8]], is_directory: bool) -> bool {
        if self.only_directories && !is_directory {
            return false;
        }
        if self.anchored {
            return match_path(&self.segments, path);
        }
        path.last().is_some_and(|name| match_name(&self.segments[0], name))
    }
}

/// Without trailing spaces, unless they are escaped.
fn trimmed(line: &[u8]) -> &[u8] {
    let mut end = line.len();
    while end > 0 && line[end - 1] == b' ' && !(end > 1 && line[end - 2] == b'\\') {
        end -= 1;
    }
    &line[..end]
}

/// A pattern that matches only this name.
fn literal(name: &[u8]) -> Box<[u8]> {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    name.iter().flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}

/// `**` matches any number of segments; at the end at least one.
fn match_path(pattern: &[Box<[u8]>], path: &[&[u8]]) -> bool {
    let (mut at, mut name) = (0, 0);
    // Where to continue after a mismatch: after the last `**`, which then matches one name more.
    let mut retry = None;
    while name < path.len() {
        match pattern.get(at) {
            Some(segment) if **segment == *b"**" => {
                if at + 1 == pattern.len() {
                    return true;
                }
                at += 1;
                retry = Some((at, name));
            }
            Some(segment) if match_name(segment, path[name]) => {
                at += 1;
                name += 1;
            }
            _ => match retry {
                Some((start, taken)) => {
                    retry = Some((start, taken + 1));
                    (at, name) = (start, taken + 1);
                }
                None => return false,
            },
        }
    }
    at == pattern.len()
}

/// One segment: `*`, `?`, `[a-z]`, `[!a-z]` and `\x`.
fn match_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut byte) = (0, 0);
    let mut retry = None;
    while byte < name.len() {
        let step = match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, byte));
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => match class(&pattern[at..], name[byte]) {
                Some((length, true)) => Some(length),
                Some((_, false)) => None,
                // An unterminated class matches nothing.
                None => return false,
            },
            Some(b'\\') => (pattern.get(at + 1) == Some(&name[byte])).then_some(2),
            Some(plain) => (*plain == name[byte]).then_some(1),
            None => None,
        };
        match (step, retry) {
            (Some(length), _) => {
                at += length;
                byte += 1;
            }
            (None, Some((start, taken))) => {
                retry = Some((start, taken + 1));
                (at, byte) = (start, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

/// The length of the class at the beginning of `pattern` and whether `byte` is in it; `None` if it is not
/// terminated.
fn class(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let mut at = 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let begin = at;
    let mut found = false;
    loop {
        let mut low = *pattern.get(at)?;
        if low == b']' && at > begin {
            break;
        }
        if low == b'\\' {
            at += 1;
            low = *pattern.get(at)?;
        }
        at += 1;
        let mut high = low;
        if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|next| *next != b']') {
            at += 1;
            if pattern[at] == b'\\' {
                at += 1;
            }
            high = *pattern.get(at)?;
            at += 1;
        }
        found |= (low..=high).contains(&byte);
    }
    Some((at + 1, found != negated))
}

/// `a.{js,ts}` → `a.js`, `a.ts`: PM2's patterns have braces, .gitignore has not. At most 64.
pub(super) fn alternatives(pattern: &str) -> Vec<String> {
    const MAX_ALTERNATIVES: usize = 64;
    let (mut done, mut todo) = (Vec::new(), vec![pattern.to_owned()]);
    while let Some(next) = todo.pop() {
        match braces(&next) {
            Some((open, close, commas)) if done.len() + todo.len() < MAX_ALTERNATIVES => {
                let ends = commas.iter().copied().chain([close]);
                let begins = [open].into_iter().chain(commas.iter().copied());
                let parts: Vec<String> = begins
                    .zip(ends)
                    .map(|(begin, end)| {
                        format!("{}{}{}", &next[..open], &next[begin + 1..end], &next[close + 1..])
                    })
                    .collect();
                todo.extend(parts.into_iter().rev());
            }
            _ => done.push(next),
        }
    }
    done
}

/// The first braces with a comma between them: their positions, and their commas.
fn braces(text: &str) -> Option<(usize, usize, Vec<usize>)> {
    let bytes = text.as_bytes();
    let (mut depth, mut open, mut commas) = (0, 0, Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'{' => {
                if depth == 0 {
                    (open, commas) = (at, Vec::new());
                }
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' if depth == 1 && !commas.is_empty() => return Some((open, at, commas)),
            b'}' if depth > 0 => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let is_directory = path.ends_with('/');
        let path: Vec<&[u8]> = path.trim_end_matches('/').split('/').map(str::as_bytes).collect();
        Pattern::parse(pattern.as_bytes()).is_some_and(|pattern| pattern.matches(&path, is_directory))
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        for (pattern, path) in [
            ("*.log", "a/b/x.log"),
            ("node_modules", "a/node_modules/"),
            ("node_modules/", "node_modules/"),
            ("/dist", "dist"),
            ("src/*.js", "src/a.js"),
            ("**/logs", "logs"),
            ("**/logs", "a/b/logs"),
            ("**/logs/debug.log", "build/logs/debug.log"),
            ("a/**/b", "a/b"),
            ("a/**/b", "a/x/y/b"),
            ("abc/**", "abc/x/y"),
            ("file[0-9].txt", "file7.txt"),
            ("file[!0-9]", "filex"),
            ("[]]", "]"),
            ("[a\\]b]", "]"),
            ("\\!keep", "!keep"),
            ("\\#x", "#x"),
            ("a\\*b", "a*b"),
            ("*a*b*c", "xxaxxbxxc"),
            ("x\\ ", "x "),
            ("x   ", "x"),
            ("x\r", "x"),
            ("foo/", "a/foo/"),
        ] {
            assert!(matches(pattern, path), "{pattern} ~ {path}");
        }
        for (pattern, path) in [
            ("*.log", "x.logs"),
            ("node_modules/", "node_modules"),
            ("/dist", "a/dist"),
            ("src/*.js", "src/a/b.js"),
            ("src/*.js", "x/src/a.js"),
            ("abc/**", "abc/"),
            ("a/**/b", "a/xb"),
            ("file[0-9]", "filex"),
            ("[a", "a"),
            ("[a", "[a"),
            ("a\\", "a"),
            ("a\\*b", "axb"),
            ("# text", "# text"),
            ("", ""),
            ("/", "a"),
            ("foo/*", "foo/a/b"),
        ] {
            assert!(!matches(pattern, path), "{pattern} !~ {path}");
        }
    }

    #[test]
    fn braces_are_alternatives() {
        assert_eq!(alternatives("*.{js,ts}"), ["*.js", "*.ts"]);
        assert_eq!(alternatives("{a,b{c,d}}x"), ["ax", "bcx", "bdx"]);
        assert_eq!(alternatives("{a},{b"), ["{a},{b"]);
        assert_eq!(alternatives("\\{a,b}"), ["\\{a,b}"]);
        assert!(alternatives(&"{a,b}".repeat(40)).len() <= 80);
    }

    /// Matches `*` and classes in every possible way: slow and obviously correct.
    fn slow_name(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|taken| slow_name(rest, &name[taken..])),
            ([b'?', rest @ ..], [_, others @ ..]) => slow_name(rest, others),
            ([plain, rest @ ..], [byte, others @ ..]) => plain == byte && slow_name(rest, others),
            _ => false,
        }
    }

    fn slow_path(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**"], _) => !path.is_empty(),
            (["**", rest @ ..], _) => (0..=path.len()).any(|taken| slow_path(rest, &path[taken..])),
            ([segment, rest @ ..], [name, others @ ..]) => {
                slow_name(segment.as_bytes(), name.as_bytes()) && slow_path(rest, others)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_an_exhaustive_search(
            pattern in prop::collection::vec("\\*\\*|[ab*?]{1,4}", 1..5),
            path in prop::collection::vec("[ab]{1,3}", 1..6),
        ) {
            let mut segments: Vec<&str> = pattern.iter().map(String::as_str).collect();
            segments.dedup_by(|a, b| a == b && *a == "**");
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            let expected = slow_path(&segments, &names);
            prop_assert_eq!(matches(&format!("/{}", pattern.join("/")), &path.join("/")), expected);
        }

        #[test]
        fn no_line_causes_a_panic(line: Vec<u8>, path in "[a\\[\\]*-]{1,5}") {
            if let Some(pattern) = Pattern::parse(&line) {
                pattern.matches(&[path.as_bytes()], false);
            }
        }
    }
}
