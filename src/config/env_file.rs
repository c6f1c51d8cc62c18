//! `env_file`: files of variables, of which some may be missing.

use std::{collections::BTreeSet, path::Path};

use super::{
    build_context::{BuildContext, BuildOutput},
    dotenv, file,
    origin::{EnvVar, Origin},
    path::{expand_home, resolve},
    problem::Problem,
    tree::{Entry, Node, Position, SourceLocation, Value, shorten},
    value::{self, Complaint, Decoded, Dialect},
};
use crate::spec::UnreadFile;

/// An `env_file` as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvFile {
    pub(super) path: String,
    pub(super) at: Option<Position>,
    /// A missing file is an error.
    pub(super) required: bool,
}

const WANTED: &str = "a path, `{ path = PATH, required = false }` or a list of them";

/// Whether this table is an `env_file`. Any other table under `env_file` is the environment named `file`.
pub(super) fn is_file(entries: &[Entry]) -> bool {
    let is_known = |entry: &Entry| matches!(entry.key.as_str(), "path" | "required");
    entries.iter().any(|entry| entry.key == "path") && entries.iter().all(is_known)
}

/// Decodes a path, a table, or a list of them.
pub(super) fn env_files(node: &Node) -> Decoded<Vec<EnvFile>> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let (mut files, mut complaints) = (Vec::new(), Vec::new());
    for item in items {
        let at = item.at.or(node.at);
        match env_file(item, at) {
            Ok(file) => files.push(file),
            Err(more) => complaints.extend(more.into_iter().map(|it| Complaint { at: it.at.or(at), ..it })),
        }
    }
    if complaints.is_empty() { Ok(files) } else { Err(complaints) }
}

fn env_file(node: &Node, at: Option<Position>) -> Decoded<EnvFile> {
    let entries = match &node.value {
        Value::Text(_) => return Ok(EnvFile { path: value::full_text(node)?, at, required: true }),
        Value::Table(entries) => entries,
        _ => return value::must_be(WANTED, node),
    };
    let (mut path, mut required) = (None, true);
    for entry in entries {
        let within = |complaints: Vec<Complaint>| -> Vec<Complaint> {
            let within = |it: Complaint| Complaint {
                message: format!("has `{}`, which {}", entry.key, it.message),
                at: it.at.or(entry.node.at),
            };
            complaints.into_iter().map(within).collect()
        };
        match entry.key.as_str() {
            "path" => path = Some(value::full_text(&entry.node).map_err(within)?),
            "required" => required = value::switch(&entry.node, Dialect::Toml).map_err(within)?,
            other => {
                let message = format!("has no key `{}`; the keys are `path` and `required`", shorten(other));
                return Err(vec![Complaint { message, at: entry.at }]);
            }
        }
    }
    match path {
        Some(path) => Ok(EnvFile { path, at, required }),
        None => value::complain("has an entry without a `path`"),
    }
}

/// Why the variables of a file are not available at the start of an application.
#[derive(Debug)]
pub struct UnreadableEnvFile {
    /// The error, with the path.
    pub message: String,
    /// The cause is a shortage: the next start may succeed.
    pub is_shortage: bool,
}

/// Reads the variables of a file at the start of an application.
///
/// # Errors
///
/// The file cannot be read, or does not exist and is required.
pub fn variables(file: &UnreadFile) -> Result<Vec<(String, String)>, UnreadableEnvFile> {
    match file::read(&file.path) {
        Ok(text) => {
            Ok(dotenv::parse(&text).0.into_iter().map(|variable| (variable.name, variable.value)).collect())
        }
        Err(unreadable) if !file.required && !unreadable.is_shortage => Ok(Vec::new()),
        Err(unreadable) => Err(UnreadableEnvFile {
            message: format!("the `env_file` {} {}", file.path.display(), unreadable.why),
            is_shortage: unreadable.is_shortage,
        }),
    }
}

/// Appends the variables of a file. Returns the file if its file system does not respond. In PM2's formats a file
/// that cannot be read is a warning: PM2 has no `env_file`, and an app that starts there must start here.
pub(super) fn read(
    env_file: &EnvFile,
    app: &str,
    origin: &Origin,
    context: &BuildContext<'_>,
    output: &mut BuildOutput<'_>,
    variables: &mut Vec<EnvVar>,
) -> Option<UnreadFile> {
    let EnvFile { path: written, at, required } = env_file;
    let is_flag = matches!(origin, Origin::Flag(_));
    let base = if is_flag { context.caller_cwd } else { context.file_dir };
    let path = resolve(base, &expand_home(written, context.environment));
    let is_strict = is_flag || context.dialect == Dialect::Toml;
    let theirs = path.clone();
    let read = output.lookups.run(&path, move || file::read(&theirs));
    let mut unread = |why: &str| {
        let what = format!("reading its `env_file` {} {why}", path.display());
        output.unanswered(app, what, "it is read when the app starts");
        Some(UnreadFile { path: path.clone(), required: *required && is_strict, keeps: BTreeSet::new() })
    };
    let text = match read {
        None => return unread("timed out"),
        Some(Err(unreadable)) if unreadable.is_shortage => {
            return unread(&format!("failed: it {}", unreadable.why));
        }
        Some(Ok(text)) => text,
        Some(Err(unreadable)) if unreadable.why == file::MISSING && !required => return None,
        Some(Err(unreadable)) => {
            let place = origin
                .place()
                .map(|place| SourceLocation { position: at.or(place.position), ..place.clone() });
            let message = format!("the `env_file` {} {}", path.display(), unreadable.why);
            let problem = Problem { place, message, hint: unreadable.hint.map(str::to_owned) };
            if is_strict {
                let hint = "create the file, or write `env_file = { path = PATH, required = false }`";
                let missing = unreadable.why == file::MISSING && !is_flag;
                output.problems.push(if missing { problem.hint(hint) } else { problem });
            } else {
                output.notices.once(&format!("env_file {}", path.display()), || {
                    Problem { message: format!("{}: apps start without it", problem.message), ..problem }
                        .one_line()
                });
            }
            return None;
        }
    };
    let place = |line| SourceLocation::of(Path::new(written), Some(Position { line, column: 1 }));
    let (found, skipped) = dotenv::parse(&text);
    for line in skipped {
        // Reported once, even if several apps read the file.
        let topic = format!("{}:{line}", path.display());
        output.notices.once(&topic, || format!("{written}:{line}: not NAME=VALUE, line skipped"));
    }
    variables.extend(found.into_iter().map(|variable| EnvVar {
        name: variable.name,
        value: variable.value,
        origin: Origin::EnvFile(place(variable.line)),
    }));
    output.files_read.push(path);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, bool)>, String> {
        let (root, _) = crate::config::json::parse(text).unwrap();
        env_files(&root)
            .map(|files| files.into_iter().map(|file| (file.path, file.required)).collect())
            .map_err(|complaints| complaints[0].message.clone())
    }

    #[test]
    fn files_are_paths_tables_or_lists_of_them() {
        let file = |path: &str, required| (path.to_owned(), required);
        assert_eq!(parsed(r#"".env""#), Ok(vec![file(".env", true)]));
        assert_eq!(parsed(r#"{"path": "a", "required": false}"#), Ok(vec![file("a", false)]));
        assert_eq!(parsed(r#"["a", {"path": "b"}]"#), Ok(vec![file("a", true), file("b", true)]));
        assert_eq!(parsed("[]"), Ok(vec![]));
        assert!(parsed("3").unwrap_err().contains("must be a path"));
        assert!(
            parsed(r#"[{"path": "a", "optional": true}]"#).unwrap_err().contains("has no key `optional`")
        );
        assert!(parsed(r#"[{"required": true}]"#).unwrap_err().contains("without a `path`"));
        assert!(parsed(r#"{"path": "a", "required": 1}"#).unwrap_err().contains("has `required`, which"));
    }

    #[test]
    fn a_table_that_is_no_file_is_an_environment() {
        let is_file = |text: &str| is_file(crate::config::json::parse(text).unwrap().0.entries().unwrap());
        assert!(is_file(r#"{"path": "a"}"#) && is_file(r#"{"path": "a", "required": true}"#));
        assert!(!is_file(r#"{"PORT": 1}"#) && !is_file("{}") && !is_file(r#"{"path": "a", "x": 1}"#));
    }
}
