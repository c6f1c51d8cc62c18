//! The JSON Schema that `procrun schema` prints, tried with a validator that is no part of procrun: it accepts every
//! example, and it refuses the files of tests/corpus that the decoder refuses.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    page::{Pages, repository},
    support::{Launch, tool},
};

/// Errors of the decoder that a schema cannot express, by the names of the cases in tests/corpus.
const DECODER_ONLY: &[(&str, &str)] = &[
    ("bad-alias-twice", "two names of one key"),
    ("bad-critical", "two keys that contradict each other"),
    ("bad-date-for-text", "JSON has no dates: the validator gets a string"),
    ("bad-depends-on-circle", "a dependency cycle"),
    ("bad-env-file-missing", "a file that does not exist"),
    ("bad-flag-values", "options of the command line"),
    ("bad-include", "the content of other files"),
    ("bad-include-nothing", "the content of other files"),
    ("bad-listen-for-two", "two apps with one socket"),
    ("bad-log-clash", "two apps with one log file"),
    ("bad-name-for-two", "options of the command line"),
    ("bad-oneshot", "two keys that contradict each other"),
    ("bad-only-unknown", "options of the command line"),
    ("bad-pm2-cron", "the grammar of cron patterns"),
    ("bad-position-after-umlauts", "a variable that is not set"),
    ("bad-quote", "the grammar of a shell line"),
    ("bad-same-name", "two apps of one name"),
    ("bad-same-name-from-script", "two apps of one name"),
    ("bad-variable-unset", "a variable that is not set"),
    ("bad-yaml-key-twice", "the validator's YAML parser takes the last one of two equal keys"),
];

/// Cases of PM2's formats with a value that the schema marks although procrun accepts it without a notice.
const SCHEMA_ONLY: &[(&str, &str)] = &[
    ("pm2-filter-env", "an empty string in a list"),
    ("pm2-json-empty-values", "an empty string, which unsets a key in PM2's formats"),
];

/// Its aliases expand without bound. procrun's parser refuses that; a schema is not involved.
const YAML_BOMB: &str = "bad-yaml-bomb";

/// The errors of each file.
fn validate(files: &[PathBuf]) -> BTreeMap<PathBuf, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let schema = Launch::new(dir.path(), &["schema"]).run();
    assert_eq!(schema.status.code(), Some(0));
    let path = dir.path().join("procrun.schema.json");
    fs::write(&path, schema.stdout).unwrap();
    let python = repository().join("target/python/bin/python");
    let script = repository().join("tests/schema.py");
    let args = [&script, &path].into_iter().chain(files).map(|path| path.to_str().expect("names of ours"));
    let args: Vec<&str> = args.collect();
    let answer = tool(python.to_str().expect("a name of ours"), &args, dir.path());
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    serde_json::from_slice(&answer.stdout).expect("the script prints JSON")
}

fn is_ecosystem_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["toml", "json", "yaml", "yml"].iter().any(|extension| name == format!("ecosystem.{extension}"))
}

#[test]
fn every_example_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for example in fs::read_dir(repository().join("examples")).unwrap() {
        let entries = fs::read_dir(example.unwrap().path()).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| is_ecosystem_file(path)));
    }
    assert!(files.len() > 1, "{files:?}");
    let pages = Pages::for_users();
    for (number, block) in pages.blocks().filter(|block| block.language == "toml").enumerate() {
        let path = dir.path().join(format!("{number}-{}.toml", block.place.replace('/', "-")));
        fs::write(&path, &block.text).unwrap();
        files.push(path);
    }
    for format in ["toml", "json", "yaml"] {
        for args in [&["ecosystem", "--format", format][..], &["ecosystem", "simple", "--format", format]] {
            let path = dir.path().join(format!("{}-{format}", args.len()));
            fs::create_dir(&path).unwrap();
            assert_eq!(Launch::new(&path, args).run().status.code(), Some(0));
            files.push(path.join(format!("ecosystem.{format}")));
        }
    }
    let mut errors = validate(&files);
    errors.retain(|_, errors| !errors.is_empty());
    assert!(errors.is_empty(), "{errors:#?}");
}

/// A case of tests/corpus.
struct Case {
    name: String,
    file: PathBuf,
    is_refused: bool,
    has_notice: bool,
    /// What `procrun check` prints.
    expected: String,
}

fn cases() -> Vec<Case> {
    let corpus = fs::read_dir(repository().join("tests/corpus")).unwrap();
    let mut cases: Vec<Case> = corpus
        .filter_map(|entry| {
            let dir = entry.unwrap().path();
            if dir.ends_with(YAML_BOMB) {
                return None;
            }
            let mut entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
            // Modules are evaluated first: an editor cannot know their values.
            let file = entries.find(|path| is_ecosystem_file(path))?;
            let expected = fs::read_to_string(dir.join("expected")).unwrap();
            Some(Case {
                name: dir.file_name().unwrap().to_str().unwrap().to_owned(),
                file,
                is_refused: !expected.starts_with("exit code 0\n"),
                has_notice: expected.lines().any(|line| line.starts_with("notice: ")),
                expected,
            })
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

#[test]
fn the_schema_and_the_decoder_agree() {
    let cases = cases();
    let errors = validate(&cases.iter().map(|case| case.file.clone()).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    let (mut decoder_only, mut schema_only) = (Vec::new(), Vec::new());
    for Case { name, file, is_refused, has_notice, expected } in &cases {
        let marked = &errors[file];
        match (is_refused, marked.is_empty()) {
            (true, true) => decoder_only.push((name.as_str(), expected.clone())),
            (false, false) if !has_notice => schema_only.push((name.as_str(), marked.join("\n"))),
            _ => {}
        }
    }
    for (found, known) in [(decoder_only, DECODER_ONLY), (schema_only, SCHEMA_ONLY)] {
        let is_known = |name: &str| known.iter().any(|(known, _)| *known == name);
        wrong.extend(
            found.iter().filter(|(name, _)| !is_known(name)).map(|(name, why)| format!("{name}:\n{why}")),
        );
        let is_found = |name: &str| found.iter().any(|(found, _)| *found == name);
        wrong.extend(
            known.iter().filter(|(name, _)| !is_found(name)).map(|(name, _)| format!("{name}: no exception")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let refused = cases.iter().filter(|case| case.is_refused && !errors[&case.file].is_empty()).count();
    assert!(refused > 30, "the schema refuses {refused} files");
}
