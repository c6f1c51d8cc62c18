//! JavaScript and TypeScript ecosystem files: the command that evaluates one, and the interpretation of its output.
//!
//! The child imports the file and writes its exports as JSON after a random marker, which separates them from output
//! of the file itself. It also reports the variables that the file has set in its environment
//! (`require('dotenv').config()`): PM2 evaluates the file in its own process, so its apps inherit them. As in PM2, a
//! function is not called and a promise is not awaited. This module starts no process: the supervisor does, and kills
//! the child's session at the deadline.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    file, json,
    loaded::{Loaded, UNANSWERED_HINT},
    problem::{EX_CONFIG, EX_IOERR, Problem, Problems},
    source::Source,
    target::{Format, SearchError, find_in_path},
    tree::{Entry, Node, Position, SourceLocation, Value, shorten},
};
use crate::spec::Signal;

const PROGRAM: &str = include_str!("evaluate.js");

/// The maximum size of the child's standard output in bytes, including output of the file itself.
const MAX_OUTPUT: usize = 4 * 1024 * 1024;

/// The hint with the required exports of a module.
const EXPORT_HINT: &str = "write `module.exports = { apps: [ … ] }` or `export default { apps: [ … ] }`";

/// A child that evaluates a file. It needs the caller's environment, `/dev/null` as its standard input, its own
/// session, and separate stdout and stderr.
#[derive(Debug)]
pub struct Evaluation {
    /// The absolute path of node, or of bun if there is no node.
    pub program: PathBuf,
    /// The arguments without `argv[0]`.
    pub args: Vec<OsString>,
    /// The working directory: the caller's, as in PM2.
    pub cwd: PathBuf,
    /// The time limit.
    pub deadline: Duration,
    /// The maximum size of each output in bytes.
    pub max_output: usize,
    source: Source,
    file: PathBuf,
    marker: String,
}

/// How the child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvaluationEnd {
    /// It exited with this code.
    Exited(u8),
    /// A signal terminated it.
    Signaled(Signal),
    /// It was killed at the deadline.
    TimedOut,
    /// It was killed because its output exceeded [`Evaluation::max_output`].
    TooMuchOutput,
    /// It could not be started, for this reason.
    SpawnFailed(String),
}

impl Evaluation {
    pub(super) fn new(source: Source, file: &Path) -> Result<Self, Problems> {
        let path = source.environment().get(std::ffi::OsStr::new("PATH"));
        let program = find_in_path("node", path).or_else(|_| find_in_path("bun", path)).map_err(|error| {
            let needs = format!("{} needs node or bun to be evaluated, and", source.name());
            match error {
                SearchError::NotFound(_) => {
                    let hint = "install one, or write the file as TOML, JSON or YAML";
                    let problem = Problem::new(format!("{needs} neither is in PATH"));
                    Problems::one(EX_CONFIG, problem.hint(hint))
                }
                SearchError::Unknown => {
                    let problem = Problem::new(format!("{needs} a directory of PATH cannot be searched"));
                    Problems::one(EX_IOERR, problem.hint(UNANSWERED_HINT))
                }
            }
        })?;
        // The hash keys of the standard library are random and never leave this process.
        let state = RandomState::new();
        let marker = format!("procrun:{:016x}{:016x}:", state.hash_one(1), state.hash_one(2));
        let constants =
            format!("const FILE_URL = '{}', MARKER = '{marker}', RESPAWNED = false;\n", file_url(file));
        let text = constants + PROGRAM;
        let quoted = serde_json::Value::from(text.as_str());
        let program_text = format!("const PROGRAM_TEXT = {quoted};\n{text}");
        let mut args = vec![OsString::from("-e"), program_text.into(), "--".into()];
        args.extend(source.0.command_line.iter().cloned());
        Ok(Self {
            program: program.into(),
            args,
            cwd: source.0.cwd.clone(),
            deadline: Duration::from_secs(10),
            max_output: MAX_OUTPUT,
            file: file.to_owned(),
            marker,
            source,
        })
    }

    /// Interprets the child's exit and output.
    ///
    /// # Errors
    ///
    /// The file thrown_error, did not end, or exported something else than a configuration; or the configuration has errors.
    pub fn finish(self, end: EvaluationEnd, stdout: &[u8], stderr: &[u8]) -> Result<Loaded, Problems> {
        // Output after the exports has no effect.
        let answer = match self.answer(stdout) {
            Some(Ok(answer)) => answer,
            Some(Err(flaw)) => {
                return Err(self.one(self.wrong(format!("exports a value that cannot be read: {flaw}"))));
            }
            None => return Err(self.no_answer(end, stderr)),
        };
        if let Some(value) = answer.get("value") {
            // CommonJS exports an empty object by default.
            if value.node.entries().is_some_and(<[Entry]>::is_empty) {
                let is_empty = file::read(&self.file).is_ok_and(|text| text.trim().is_empty());
                let problem = self.wrong(if is_empty { "the file is empty" } else { "exports nothing" });
                return Err(self.one(problem.hint(EXPORT_HINT)));
            }
            let root = value.node.clone().without_positions();
            let process_env = answer.get("env").map_or_else(Vec::new, |env| variables(&env.node));
            let none = Problems::none(EX_CONFIG);
            let mut loaded = self.source.load_file(&root, Format::Script, &process_env, none)?;
            let functions = functions(&answer);
            if let Some(conversion) = loaded.conversion.as_mut().filter(|_| !functions.is_empty()) {
                let name = self.source.name();
                conversion.notes.push(format!("{name}: functions are left out: {}", functions.join(", ")));
            }
            return Ok(loaded);
        }
        if let Some(thrown) = text_of(&answer, "thrown") {
            let stack = text_of(&answer, "stack").unwrap_or_default();
            return Err(self.thrown_error(thrown, stack, &String::from_utf8_lossy(stderr)));
        }
        if let Some(version) = text_of(&answer, "untyped") {
            let problem = self.wrong(format!("node {version} cannot read TypeScript"));
            return Err(
                self.one(problem.hint("use node 22.18 or later, or bun, or write the file in JavaScript"))
            );
        }
        let exports = text_of(&answer, "exports").unwrap_or("nothing");
        let problem = self.wrong(match exports {
            "function" => "exports a function, which is not called".to_owned(),
            "promise" => "exports a promise, which is not awaited".to_owned(),
            "undefined" => "exports nothing".to_owned(),
            "null" => "exports null".to_owned(),
            other => format!("must export a table of apps, not a {other}"),
        });
        Err(self.one(problem.hint(EXPORT_HINT)))
    }

    /// The complete line after the last marker.
    fn answer(&self, stdout: &[u8]) -> Option<Result<Node, String>> {
        let begin = memchr::memmem::rfind(stdout, self.marker.as_bytes())? + self.marker.len();
        let line = &stdout[begin..];
        let line = &line[..memchr::memchr(b'\n', line)?];
        let answer = json::parse(&String::from_utf8_lossy(line));
        Some(
            answer
                .map(|(answer, _)| answer)
                .map_err(|flaws| flaws.into_iter().next().map_or_else(String::new, |(_, what, _)| what)),
        )
    }

    fn no_answer(&self, end: EvaluationEnd, stderr: &[u8]) -> Problems {
        let problem = match end {
            EvaluationEnd::TimedOut => self
                .wrong(format!("was not evaluated within {} seconds", self.deadline.as_secs()))
                .hint("the evaluation must end: the file can neither wait nor loop"),
            EvaluationEnd::TooMuchOutput => {
                self.wrong(format!("prints more than {} MiB", self.max_output / (1024 * 1024)))
            }
            EvaluationEnd::SpawnFailed(why) => {
                self.wrong(format!("cannot be evaluated: {}: {why}", self.program.display()))
            }
            EvaluationEnd::Exited(code) => self.early_end(&format!("exit code {code}"), stderr),
            EvaluationEnd::Signaled(signal) => self.early_end(&signal.to_string(), stderr),
        };
        self.one(problem)
    }

    fn early_end(&self, how: &str, stderr: &[u8]) -> Problem {
        let problem = self.wrong(format!("ended its evaluation with {how} before it exported anything"));
        let stderr = String::from_utf8_lossy(stderr);
        match stderr.lines().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => problem.hint(format!("its output: {}", shorten(line))),
            None => problem.hint("it may call `process.exit`"),
        }
    }

    fn thrown_error(&self, thrown: &str, stack: &str, stderr: &str) -> Problems {
        let mut lines = thrown.lines();
        let message: String = match lines.next().map(str::trim) {
            None | Some("") => "an error without a message".to_owned(),
            Some(line) => line.chars().take(200).collect(),
        };
        let position = self.position_in(stack).or_else(|| self.position_in(stderr));
        let place = SourceLocation { file: self.source.name().into(), position };
        let excerpt = position.and_then(|position| self.excerpt(position)).unwrap_or_default();
        let problem = Problem::at(place, format!("cannot be evaluated: {message}{excerpt}"));
        self.one(match missing_common_js_name(thrown) {
            Some("require") => problem.hint(
                "this is an ES module: write `import`, use `createRequire` from `node:module`, or name the file `….config.cjs`",
            ),
            Some("module" | "exports") => problem.hint("write `export default`, or name the file `….config.cjs`"),
            Some(_) => problem.hint("this is an ES module: use `import.meta`, or name the file `….config.cjs`"),
            None => problem,
        })
    }

    /// The first `<file>:<line>` or `<file>:<line>:<column>` in a stack trace.
    fn position_in(&self, trace: &str) -> Option<Position> {
        let path = self.file.to_string_lossy();
        let url = file_url(&self.file);
        [path.as_ref(), url.as_str()]
            .iter()
            .filter_map(|name| {
                trace.match_indices(name).find_map(|(at, _)| {
                    let mut numbers =
                        trace[at + name.len()..].strip_prefix(':')?.splitn(3, |c: char| !c.is_ascii_digit());
                    let line = numbers.next()?.parse().ok()?;
                    let column = numbers.next().and_then(|column| column.parse().ok());
                    let column = column.or_else(|| column_of_caret(&trace[at..])).unwrap_or(1);
                    Some((at, Position { line, column }))
                })
            })
            .min_by_key(|&(at, _)| at)
            .map(|(_, position)| position)
    }

    /// The source line at this position with a caret below the column, as further lines of a message.
    fn excerpt(&self, position: Position) -> Option<String> {
        const MAX_LENGTH: usize = 160;
        let Position { line: number, column } = position;
        let text = file::read(&self.file).ok()?;
        let line = text.lines().nth(usize::try_from(number).ok()?.checked_sub(1)?)?.trim_end();
        let before = usize::try_from(column).ok()?.checked_sub(1)?;
        // An excerpt of a long line, such as that of a bundle, does not help.
        if line.trim().is_empty() || line.chars().count() > MAX_LENGTH {
            return None;
        }
        let line = line.replace('\t', " ");
        let margin = " ".repeat(number.to_string().len());
        Some(format!("\n  {number} | {line}\n  {margin} | {}^", " ".repeat(before)))
    }

    fn wrong(&self, message: impl Into<String>) -> Problem {
        Problem::at(SourceLocation { file: self.source.name().into(), position: None }, message)
    }

    #[expect(clippy::unused_self, reason = "called like the others")]
    fn one(&self, problem: Problem) -> Problems {
        Problems::one(EX_CONFIG, problem)
    }
}

fn text_of<'a>(answer: &'a Node, key: &str) -> Option<&'a str> {
    match &answer.get(key)?.node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The column of the caret below the source line in node's message about a syntax error.
fn column_of_caret(trace: &str) -> Option<u32> {
    let mark = trace.lines().nth(2)?;
    let caret = mark.find('^').filter(|_| mark.trim().bytes().all(|byte| byte == b'^'))?;
    u32::try_from(mark[..caret].chars().count() + 1).ok()
}

/// The keys with functions as values, each once.
fn functions(answer: &Node) -> Vec<String> {
    let Some(Value::List(names)) = answer.get("functions").map(|entry| &entry.node.value) else {
        return Vec::new();
    };
    let names: BTreeSet<_> = names
        .iter()
        .filter_map(|name| match &name.value {
            Value::Text(name) => Some(format!("`{}`", shorten(name))),
            _ => None,
        })
        .collect();
    names.into_iter().collect()
}

/// The CommonJS name that an ES module lacks, if that is the error.
fn missing_common_js_name(thrown: &str) -> Option<&'static str> {
    const WORDS: [&str; 5] = ["require", "module", "exports", "__filename", "__dirname"];
    WORDS.into_iter().find(|word| thrown.contains(&format!("ReferenceError: {word} is not defined")))
}

/// The names and values of a table. Entries that no environment can have are left out.
fn variables(table: &Node) -> Vec<(String, String)> {
    let variable = |entry: &Entry| match &entry.node.value {
        Value::Text(text)
            if !text.contains('\0') && !entry.key.is_empty() && !entry.key.contains(['=', '\0']) =>
        {
            Some((entry.key.clone(), text.clone()))
        }
        _ => None,
    };
    table.entries().into_iter().flatten().filter_map(variable).collect()
}

/// The URL of a file: ASCII without quotes, so that it is valid in a JavaScript string.
fn file_url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    url
}
