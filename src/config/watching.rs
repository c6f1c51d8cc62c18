//! Decodes `watch`, `ignore_watch`, `watch_delay` and `watch_options`.
//!
//! PM2 passes `watch_options` to chokidar. Options with an effect here work by chokidar's name or in snake_case; the
//! others are reported once.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    path::resolve,
    tree::{Entry, Node, Value},
    value::{self, Complaint, Decoded, Dialect},
};
use crate::spec::{Polling, WatchSpec, validate::MIN_INTERVAL};

/// The wait of chokidar with `awaitWriteFinish: true`.
const DEFAULT_SETTLE_TIME: Duration = Duration::from_secs(2);

/// The settings for watching one application.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// `watch`. An empty list is the application's `cwd`.
    pub(super) paths: Option<Vec<String>>,
    pub(super) ignore: Vec<String>,
    pub(super) delay: Option<Duration>,
    pub(super) options: Options,
}

/// `watch_options`.
#[derive(Debug, Default)]
pub(super) struct Options {
    polling: Option<bool>,
    interval: Option<Duration>,
    follow_links: Option<bool>,
    depth: Option<u32>,
    ignored: Option<Vec<String>>,
    cwd: Option<String>,
    settled: Option<Duration>,
}

/// Options of chokidar without effect here.
const WITHOUT_EFFECT: [&str; 8] = [
    "alwaysStat",
    "atomic",
    "binaryInterval",
    "disableGlobbing",
    "ignoreInitial",
    "ignorePermissionErrors",
    "persistent",
    "useFsEvents",
];
const KNOWN: [&str; 7] =
    ["usePolling", "interval", "followSymlinks", "depth", "ignored", "cwd", "awaitWriteFinish"];

/// The names of all options of `watch_options`, as in chokidar.
pub(super) fn option_names() -> impl Iterator<Item = &'static str> {
    KNOWN.into_iter().chain(WITHOUT_EFFECT)
}

/// `watch`: true, false, a path or several. `None` is false.
pub(super) fn paths(node: &Node, dialect: Dialect) -> Decoded<Option<Vec<String>>> {
    if let Ok(on) = value::switch(node, Dialect::Toml) {
        return Ok(on.then(Vec::new));
    }
    match (&node.value, dialect) {
        (Value::Text(text), Dialect::Flag) => return Ok(Some(split_patterns(text))),
        // Falsy and truthy numbers in JavaScript.
        (Value::Integer(number), Dialect::Pm2) => return Ok((*number != 0).then(Vec::new)),
        _ => {}
    }
    value::texts(node).map(Some).or_else(|_| value::must_be("true, false, a path or a list of paths", node))
}

/// Patterns. PM2's files may contain others: a regular expression becomes an empty table. Those are dropped, and the
/// second value is the notice.
pub(super) fn patterns(node: &Node, dialect: Dialect) -> Decoded<(Vec<String>, Option<&'static str>)> {
    const DROPPED: &str =
        "contains a value that is not a string, which is ignored: write a pattern as in .gitignore";
    match dialect {
        Dialect::Toml => return value::texts(node).map(|patterns| (patterns, None)),
        Dialect::Flag => {
            let patterns = value::texts(node)?;
            return Ok((patterns.iter().flat_map(|text| split_patterns(text)).collect(), None));
        }
        Dialect::Pm2 => {}
    }
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let patterns: Vec<String> = items.iter().filter_map(|item| value::full_text(item).ok()).collect();
    let dropped = (patterns.len() < items.len()).then_some(DROPPED);
    Ok((patterns, dropped))
}

/// Splits `a,b` on the command line, unless the comma is part of `{a,b}`.
fn split_patterns(text: &str) -> Vec<String> {
    if text.contains('{') {
        return vec![text.to_owned()];
    }
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Decodes `watch_options`, with its notice.
pub(super) fn options(node: &Node, dialect: Dialect) -> Decoded<(Options, Option<String>)> {
    let Some(entries) = node.entries() else { return value::must_be("a table", node) };
    let (mut options, mut complaints, mut ignored) = (Options::default(), Vec::new(), Vec::new());
    for entry in entries {
        if value::is_unset(&entry.node, dialect) {
            continue;
        }
        let name = camel_case(&entry.key);
        match read(&mut options, &name, &entry.node, dialect) {
            Ok(true) => {}
            Err(_) if dialect == Dialect::Pm2 => ignored.push(format!("`{}`", entry.key)),
            Ok(false) if WITHOUT_EFFECT.contains(&name.as_str()) || dialect == Dialect::Pm2 => {
                ignored.push(format!("`{}`", entry.key));
            }
            Ok(false) => complaints.push(Complaint {
                message: format!("has no key `{}`; the keys are {}", entry.key, KNOWN.join(", ")),
                at: entry.at,
            }),
            Err(more) => complaints.extend(more.into_iter().map(|complaint| Complaint {
                message: format!("has `{}`, which {}", entry.key, complaint.message),
                at: complaint.at.or(entry.node.at),
            })),
        }
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let note = (!ignored.is_empty()).then(|| format!("has {}, without effect here", ignored.join(", ")));
    Ok((options, note))
}

/// `watch_options` of a file of PM2's, without entries that TOML rejects.
pub(super) fn strict_options(node: &Node) -> Vec<Entry> {
    let entries = node.entries().unwrap_or_default().iter().filter(|entry| {
        let alone = Node::new(Value::Table(vec![(*entry).clone()]), None);
        matches!(options(&alone, Dialect::Toml), Ok((_, None)))
    });
    entries.cloned().collect()
}

/// Decodes one option. False: there is no such option.
fn read(options: &mut Options, name: &str, node: &Node, dialect: Dialect) -> Decoded<bool> {
    match name {
        "usePolling" => options.polling = Some(value::switch(node, dialect)?),
        "interval" => options.interval = Some(value::duration(node)?),
        "followSymlinks" => options.follow_links = Some(value::switch(node, dialect)?),
        // `Infinity` is null in JSON.
        "depth" => options.depth = Some(value::count(node, 0, 1000)?),
        "ignored" => options.ignored = Some(patterns(node, dialect)?.0),
        "cwd" => options.cwd = Some(value::full_text(node)?),
        "awaitWriteFinish" => {
            options.settled = match (&node.value, node.get("stabilityThreshold")) {
                (_, Some(entry)) => Some(value::duration(&entry.node)?),
                (Value::Table(_), None) => Some(DEFAULT_SETTLE_TIME),
                _ => value::switch(node, dialect)?.then_some(DEFAULT_SETTLE_TIME),
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `follow_symlinks` as `followSymlinks`.
fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

impl Watching {
    /// The watch settings of an application with the working directory `cwd`.
    pub(super) fn spec(self, cwd: &Path, home: impl Fn(&str) -> PathBuf) -> Option<Box<WatchSpec>> {
        let Self { paths, mut ignore, delay, options } = self;
        let paths = paths?;
        let base = options.cwd.map_or_else(|| cwd.to_owned(), |dir| resolve(cwd, &home(&dir)));
        let paths = if paths.is_empty() {
            vec![base]
        } else {
            paths.iter().map(|path| resolve(&base, &home(path))).collect()
        };
        ignore.extend(options.ignored.unwrap_or_default());
        // A file that is still being written counts as changing.
        let delay = delay.unwrap_or(WatchSpec::DELAY).max(options.settled.unwrap_or_default());
        Some(Box::new(WatchSpec {
            paths,
            ignore,
            delay,
            follow_links: options.follow_links.unwrap_or(true),
            depth: options.depth,
            polling: match options.polling {
                None => Polling::IfNeeded,
                Some(true) => Polling::Always,
                Some(false) => Polling::Avoided,
            },
            interval: options.interval.unwrap_or(WatchSpec::INTERVAL).max(MIN_INTERVAL),
        }))
    }
}

/// The values of `watch_options` that differ from the defaults.
pub(super) fn show_options(spec: &WatchSpec, readable: impl Fn(Duration) -> String) -> Option<String> {
    let shown = [
        match spec.polling {
            Polling::IfNeeded => None,
            Polling::Always => Some(format!("polls every {}", readable(spec.interval))),
            Polling::Avoided => Some("no polling".to_owned()),
        },
        (!spec.follow_links).then(|| "links are not followed".to_owned()),
        spec.depth.map(|depth| format!("depth {depth}")),
    ];
    let shown: Vec<String> = shown.into_iter().flatten().collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}
