//! The files whose changes do not count. Pure: the content of .gitignore files is an argument.
//!
//! From the strongest to the weakest: procrun's own files (logs, pid files), `ignore_watch`, the .gitignore files
//! (the deepest first), and the defaults: dot files, `node_modules`, `__pycache__`, compiled Python, and the
//! copies that editors create. As in git, files below an ignored directory are not checked.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    glob::{Pattern, alternatives},
    own_files::OwnFiles,
};

/// The ignore rules of one application.
#[derive(Debug)]
pub(super) struct Ignore {
    own: Arc<OwnFiles>,
    /// The patterns of `ignore_watch`, relative to the root of the file system.
    from_config: Vec<Pattern>,
    layers: Vec<Layer>,
    /// The script. No .gitignore excludes it or a directory that contains it, because it may be a build product.
    script: Option<PathBuf>,
}

/// The patterns of one .gitignore.
#[derive(Debug)]
struct Layer {
    directory: PathBuf,
    patterns: Vec<Pattern>,
}

impl Ignore {
    /// Rules without any .gitignore. Relative patterns of `ignore_watch` start at `cwd`.
    pub(super) fn new(
        from_config: &[String],
        cwd: &Path,
        script: Option<PathBuf>,
        own: Arc<OwnFiles>,
    ) -> Self {
        let from_config =
            from_config.iter().flat_map(|text| alternatives(text)).flat_map(|text| patterns(&text, cwd));
        Self { own, from_config: from_config.collect(), layers: Vec::new(), script }
    }

    /// Adds the .gitignore of a directory.
    pub(super) fn add_layer(&mut self, directory: &Path, text: &[u8]) {
        if self.layers.iter().any(|layer| layer.directory == directory) {
            return;
        }
        let patterns: Vec<Pattern> = text.split(|byte| *byte == b'\n').filter_map(Pattern::parse).collect();
        if !patterns.is_empty() {
            self.layers.push(Layer { directory: directory.to_owned(), patterns });
            self.layers.sort_by_key(|layer| std::cmp::Reverse(layer.directory.as_os_str().len()));
        }
    }

    /// Removes the .gitignore files of a directory and of those below it.
    pub(super) fn remove_layers(&mut self, directory: &Path) {
        self.layers.retain(|layer| !layer.directory.starts_with(directory));
    }

    /// Whether a .gitignore in `directory` would exclude everything in `root`, which is below it.
    pub(super) fn would_hide(directory: &Path, text: &[u8], root: &Path) -> bool {
        let patterns: Vec<Pattern> = text.split(|byte| *byte == b'\n').filter_map(Pattern::parse).collect();
        root.ancestors().take_while(|below| *below != directory).any(|below| {
            below.strip_prefix(directory).is_ok_and(|path| decision(&patterns, path, true) == Some(true))
        })
    }

    /// Whether changes of this absolute path, or below it, do not count.
    pub(super) fn is_ignored(&self, path: &Path, is_directory: bool) -> bool {
        if self.own.has(path) {
            return true;
        }
        let relative = path.strip_prefix("/").unwrap_or(path);
        if !self.from_config.is_empty()
            && let Some(ignored) = decision(&self.from_config, relative, is_directory)
        {
            return ignored;
        }
        let holds_script = self.script.as_ref().is_some_and(|script| script.starts_with(path));
        if !holds_script {
            let of_layer = |layer: &Layer| {
                let path = path.strip_prefix(&layer.directory).ok()?;
                decision(&layer.patterns, path, is_directory)
            };
            // A `!x` there includes only what another .gitignore excludes.
            if self.layers.iter().find_map(of_layer) == Some(true) {
                return true;
            }
        }
        path.file_name().is_some_and(|name| is_ignored_by_default(name.as_bytes()))
    }
}

/// Files that are ignored by default.
fn is_ignored_by_default(name: &[u8]) -> bool {
    name.starts_with(b".")
        || name == b"node_modules"
        || name == b"__pycache__"
        || name.ends_with(b"~")
        || name.ends_with(b".pyc")
        || name.ends_with(b".swp")
        || name.ends_with(b"___jb_tmp___")
        || name.ends_with(b"___jb_old___")
}

/// The decision of the last pattern that matches `path`.
fn decision(patterns: &[Pattern], path: &Path, is_directory: bool) -> Option<bool> {
    let names: Vec<&[u8]> = path.iter().map(OsStrExt::as_bytes).collect();
    patterns
        .iter()
        .rev()
        .find(|pattern| pattern.matches(&names, is_directory))
        .map(|pattern| !pattern.negated)
}

/// The patterns of one entry of `ignore_watch`. An absolute path has two meanings: PM2's, and that of .gitignore.
fn patterns(text: &str, cwd: &Path) -> Vec<Pattern> {
    let (sign, text) = match text.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => ("", text),
    };
    let mut base = cwd;
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix("./").or_else(|| {
        let inner = rest.strip_prefix("../")?;
        base = base.parent().unwrap_or(base);
        Some(inner)
    }) {
        rest = inner;
    }
    // Once `./` is cut off, `./tmp` would be any `tmp`.
    let anchor = if rest == text || rest.starts_with('/') { "" } else { "/" };
    let names: Vec<&[u8]> = base.strip_prefix("/").unwrap_or(base).iter().map(OsStrExt::as_bytes).collect();
    let parsed = Pattern::parse(format!("{sign}{anchor}{rest}").as_bytes());
    let absolute = rest.starts_with('/').then(|| parsed.clone()).flatten();
    parsed.map(|pattern| pattern.below(&names)).into_iter().chain(absolute).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Write,
        process::{Command, Stdio},
    };

    use proptest::prelude::*;

    use super::*;

    fn ignore(from_config: &[&str]) -> Ignore {
        let from_config: Vec<String> = from_config.iter().map(|&text| text.to_owned()).collect();
        Ignore::new(&from_config, Path::new("/app"), Some("/app/dist/main.js".into()), Arc::default())
    }

    fn is_ignored(ignore: &Ignore, path: &str) -> bool {
        ignore.is_ignored(Path::new(path.trim_end_matches('/')), path.ends_with('/'))
    }

    #[test]
    fn defaults_are_ignored_unless_ignore_watch_includes_them() {
        let plain = ignore(&[]);
        for path in ["/app/node_modules/", "/app/.git/", "/app/src/.env", "/app/a.js~", "/app/x/__pycache__/"]
        {
            assert!(is_ignored(&plain, path), "{path}");
        }
        for path in ["/app/src/", "/app/a.js", "/app/modules/"] {
            assert!(!is_ignored(&plain, path), "{path}");
        }
        assert!(!is_ignored(&ignore(&["!.env"]), "/app/.env"));
    }

    #[test]
    fn ignore_watch_accepts_every_form_of_a_path() {
        for from_config in
            ["tmp", "tmp/", "./tmp", "/tmp", "/app/tmp", "../app/tmp", "t?p", "{tmp,x}", "**/tmp"]
        {
            assert!(is_ignored(&ignore(&[from_config]), "/app/tmp/"), "{from_config}");
        }
        assert!(is_ignored(&ignore(&["tmp"]), "/app/a/tmp/"));
        assert!(!is_ignored(&ignore(&["./tmp"]), "/app/a/tmp/"));
        assert!(is_ignored(&ignore(&["/etc/conf/x"]), "/etc/conf/x"));
        assert!(is_ignored(&ignore(&["../other/*.json"]), "/other/a.json"));
        assert!(is_ignored(&ignore(&["data/**/*.json", "!data/keep/*.json"]), "/app/data/a/b.json"));
        assert!(!is_ignored(&ignore(&["data/**/*.json", "!data/keep/*.json"]), "/app/data/keep/b.json"));
        // Old PM2 had regular expressions: they are not patterns here, and match nothing.
        assert!(!is_ignored(&ignore(&["[\\/\\\\]\\./"]), "/app/a.js"));
    }

    #[test]
    fn the_deepest_gitignore_wins_and_the_script_counts() {
        let mut ignore = ignore(&[]);
        ignore.add_layer(Path::new("/app"), b"*.json\ndist/\n# no\n/build\n");
        ignore.add_layer(Path::new("/app/src"), b"!a.json\r\n");
        assert!(is_ignored(&ignore, "/app/a.json") && !is_ignored(&ignore, "/app/src/a.json"));
        assert!(is_ignored(&ignore, "/app/build/") && is_ignored(&ignore, "/app/src/dist/"));
        assert!(!is_ignored(&ignore, "/app/dist/"), "the script is in it");
        ignore.remove_layers(Path::new("/app/src"));
        assert!(is_ignored(&ignore, "/app/src/a.json"));
    }

    #[test]
    fn a_gitignore_that_excludes_a_watched_directory_is_detected() {
        let hides =
            |text: &str, root| Ignore::would_hide(Path::new("/app"), text.as_bytes(), Path::new(root));
        assert!(hides("dist\n", "/app/dist") && hides("dist\n", "/app/dist/server"));
        assert!(!hides("dist\n", "/app/src") && !hides("app\n", "/app"));
    }

    /// A directory with files, and git's own decisions on its .gitignore files.
    struct Git(tempfile::TempDir);

    const TREE: [&str; 14] = [
        "a/",
        "a/b/",
        "a/b/c/",
        "b/",
        "b/a/",
        "c",
        "x.js",
        "a/x.js",
        "a/b/x.js",
        "a/b/c/x.js",
        "b/a/x.js",
        "b/y.log",
        "a/b/y.log",
        "a/b/c/a",
    ];

    impl Git {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in TREE {
                let path = dir.path().join(name);
                if name.ends_with('/') {
                    fs::create_dir_all(path).unwrap();
                } else {
                    fs::write(path, "").unwrap();
                }
            }
            let git = Self(dir);
            git.run(&["init", "-q"], "");
            git
        }

        #[expect(clippy::disallowed_methods, reason = "the test is the parent here")]
        fn run(&self, args: &[&str], stdin: &str) -> String {
            let mut git = Command::new("git")
                .args(args)
                .current_dir(self.0.path())
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .env("HOME", self.0.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("git is needed");
            git.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
            String::from_utf8(git.wait_with_output().unwrap().stdout).unwrap()
        }

        /// The paths that git ignores, with these .gitignore files at the top and in `a/b`.
        fn ignored(&self, top: &str, inner: &str) -> Vec<String> {
            fs::write(self.0.path().join(".gitignore"), top).unwrap();
            fs::write(self.0.path().join("a/b/.gitignore"), inner).unwrap();
            let paths = TREE.map(|name| name.trim_end_matches('/')).join("\n");
            let from_config = self.run(&["check-ignore", "--no-index", "--stdin"], &paths);
            from_config.lines().map(str::to_owned).collect()
        }

        fn ours(&self, top: &str, inner: &str) -> Vec<String> {
            let mut ignore = Ignore::new(&[], Path::new("/nowhere"), None, Arc::default());
            ignore.add_layer(self.0.path(), top.as_bytes());
            ignore.add_layer(&self.0.path().join("a/b"), inner.as_bytes());
            let is_ignored = |name: &&str| {
                // Paths below an ignored directory are never checked.
                let path = self.0.path().join(name.trim_end_matches('/'));
                let above = path.ancestors().skip(1).take_while(|above| *above != self.0.path());
                above.clone().any(|above| ignore.is_ignored(above, true))
                    || ignore.is_ignored(&path, name.ends_with('/'))
            };
            TREE.iter()
                .filter(|name| is_ignored(name))
                .map(|name| name.trim_end_matches('/').to_owned())
                .collect()
        }
    }

    /// Not `[a/b]`: git's matcher treats a class with a slash in it differently.
    fn pattern() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec![
            "a", "b", "c", "*", "**", "x.js", "*.js", "?", "[ab]", "[!a]", "*.*", "a*", "\\a", "y*",
        ]);
        (
            prop::bool::weighted(0.3),
            any::<bool>(),
            prop::collection::vec(segment, 1..4),
            prop::bool::weighted(0.3),
        )
            .prop_map(|(negated, anchored, segments, directory)| {
                let (sign, root, end) = (["", "!"], ["", "/"], ["", "/"]);
                let end = end[usize::from(directory)];
                format!(
                    "{}{}{}{end}",
                    sign[usize::from(negated)],
                    root[usize::from(anchored)],
                    segments.join("/")
                )
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn git_ignores_the_same(
            top in prop::collection::vec(pattern(), 0..5),
            inner in prop::collection::vec(pattern(), 0..3),
        ) {
            thread_local!(static GIT: Git = Git::new());
            let (top, inner) = (top.join("\n"), inner.join("\n"));
            let (git, ours) = GIT.with(|git| (git.ignored(&top, &inner), git.ours(&top, &inner)));
            prop_assert_eq!(git, ours, "{:?} and {:?}", top, inner);
        }
    }
}
