//! Decodes one value by the kind of its key, and stores it in the draft.
//!
//! It knows no key by name. It reports nothing itself: the caller gets the outcome.

use std::sync::Arc;

use super::{
    arguments, env_file, health,
    keys::{Choice, Kind, OutOfRange, ZeroMeans},
    limits, listen, order,
    origin::{EnvVar, Origin},
    tree::{Node, SourceLocation, Value},
    value::{self, Complaint, Decoded, Dialect},
    watching, web,
};
use crate::spec::{InheritEnv, MemoryLimit, NO_FILE, placeholder, validate::MAX_DURATION};

/// The complaint about a string in the place of a table of variables.
pub(super) const NO_VARIABLE: &str = "is a string, which sets no variable";

/// The effect of a value.
pub(super) enum Outcome {
    /// The value is in the draft.
    Set,
    /// The value leaves the key unset.
    Unset,
    /// The value requests a service of PM2 itself.
    Unsupported,
    /// The value sets nothing, as in PM2. The notice must be reported.
    Noted(String),
    /// The value is in the draft in another form. The notice must be reported.
    Adjusted(String),
}

/// Decodes a value and stores it where the kind of its key requires.
pub(super) fn apply<D>(
    kind: &Kind<D>,
    node: &Node,
    dialect: Dialect,
    origin: &Origin,
    file: &Arc<str>,
    draft: &mut D,
) -> Decoded<Outcome> {
    if dialect == Dialect::Pm2
        && let Some(outcome) = as_pm2(kind, node, draft)?
    {
        return Ok(outcome);
    }
    match kind {
        Kind::SingleLine(set) => set(draft, value::label(node)?),
        Kind::String(set) => set(draft, value::full_text(node)?),
        Kind::Variable(set) => set(draft, value::variable(node)?),
        Kind::Arguments(set) => set(draft, arguments::words(node, dialect)?),
        Kind::Boolean(set) => set(draft, value::switch(node, dialect)?),
        Kind::Duration(set, _) | Kind::Delay(set) => set(draft, value::duration(node)?),
        Kind::DurationOrOff(set) => set(draft, value::duration_or_off(node, dialect)?),
        Kind::Size(min, set) => {
            let size = value::size(node)?;
            if size < *min {
                let message = format!("must be at least {min} bytes, it is {}", node.value.describe());
                return Err(vec![Complaint { message, at: None }]);
            }
            set(draft, size);
        }
        Kind::Integer(min, max, _, set) => set(draft, value::count(node, *min, *max)?),
        Kind::Choice(choices) | Kind::LenientChoice(choices) => {
            let word = value::text(node)?;
            let Some((_, set)) = choices.iter().find(|(choice, _)| *choice == word) else {
                let message = format!("must be {}, not {}", one_of(choices), node.value.describe());
                return Err(vec![Complaint { message, at: None }]);
            };
            set(draft);
        }
        Kind::Instances(set) => set(draft, value::instances(node, dialect)?),
        Kind::Cron(set) => match value::cron(node)? {
            Ok(pattern) => set(draft, pattern),
            Err(never) => return value::complain(never),
        },
        Kind::TimeZone(set) => set(draft, value::zone(node)?),
        Kind::Listen(set) => set(draft, listen::listen(node)?),
        Kind::DependsOn(set) => set(draft, order::depends_on(node)?),
        Kind::Probe(set) => set(draft, health::probe(node, dialect)?),
        Kind::EndsContainer(set) => set(draft, value::ends_container(node, dialect)?),
        Kind::ExitCodes(set) => set(draft, value::codes(node)?),
        Kind::Signal(set) => set(draft, value::signal(node)?),
        Kind::SignedInteger(min, max, set) => set(draft, limits::whole(node, *min, *max)?),
        Kind::Rlimits(set) => set(draft, limits::rlimits(node, dialect)?),
        Kind::Umask(set) => set(draft, limits::umask(node)?),
        Kind::Principal(set) => set(draft, value::principal(node)?),
        Kind::Environment(set) => set(draft, environment(node, origin, file)?),
        Kind::EnvFiles(set) => set(draft, env_file::env_files(node)?),
        Kind::EnvFilter(set) => set(draft, filter(node)?),
        Kind::PidFile(set) => {
            let path = value::full_text(node)?;
            set(draft, if dialect == Dialect::Toml { path } else { pid_file_of_pm2(&path) });
        }
        Kind::LogFile(set) => match value::written_switch(node) {
            Some(false) => set(draft, None),
            Some(true) => {
                return Ok(Outcome::Noted("is `true`, which sets no file: write a path".to_owned()));
            }
            None => {
                let path = value::full_text(node)?;
                // PM2 reads `NULL` as no file. The key counts as set, so no default file replaces it.
                set(draft, Some(if path == "NULL" { NO_FILE.to_owned() } else { path }));
            }
        },
        Kind::Watch(set) => set(draft, watching::paths(node, dialect)?),
        Kind::Patterns(set) => {
            let (patterns, note) = watching::patterns(node, dialect)?;
            set(draft, patterns);
            if let Some(note) = note {
                return Ok(Outcome::Adjusted(note.to_owned()));
            }
        }
        Kind::WatchOptions(set) => {
            let (options, note) = watching::options(node, dialect)?;
            set(draft, options);
            if let Some(note) = note {
                return Ok(Outcome::Adjusted(note));
            }
        }
        Kind::MemoryLimit(set) => {
            let limit = value::memory(node, dialect)?;
            set(draft, limit);
            if matches!(limit, Some(MemoryLimit::Bytes(bytes)) if bytes < MemoryLimit::MIN_BYTES) {
                let value = node.value.describe();
                let note = "less than a process needs: the app restarts at each check of its memory";
                return Ok(Outcome::Adjusted(format!("is {value}, {note}")));
            }
        }
        Kind::BooleanOrAuto(set) => set(draft, value::auto_switch(node)?),
        Kind::OomGuard(set) => set(draft, value::guard(node)?),
        Kind::Web(set) => set(draft, web::address(node)?),
        Kind::Quorum(set) => set(draft, web::quorum(node)?),
        Kind::Unsupported => return Ok(Outcome::Unsupported),
        Kind::Ignored => return Ok(Outcome::Unset),
    }
    Ok(Outcome::Set)
}

/// PM2's `filter_env`.
fn filter(node: &Node) -> Decoded<InheritEnv> {
    Ok(match &node.value {
        Value::Bool(true) => InheritEnv::Nothing,
        Value::Bool(false) => InheritEnv::All,
        Value::Text(text) if text.len() > 1 && text.starts_with('=') => {
            InheritEnv::WithoutName(text[1..].to_owned())
        }
        _ => InheritEnv::Without(value::texts(node)?),
    })
}

/// The name of the file by PM2's rule: the instance id replaces a number before `.pid`, or is inserted there. A name
/// with a placeholder or with another ending is used as it is.
pub(super) fn pid_file_of_pm2(path: &str) -> String {
    let Some(stem) = path.strip_suffix(".pid").filter(|_| !placeholder::is_in(path)) else {
        return path.to_owned();
    };
    let base = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let base = base.strip_suffix('-').filter(|base| base.len() + 1 < stem.len()).unwrap_or(stem);
    format!("{base}-{}.pid", placeholder::ID)
}

/// Values that only PM2's formats accept: PM2 starts apps with them, so they are not errors here.
fn as_pm2<D>(kind: &Kind<D>, node: &Node, draft: &mut D) -> Decoded<Option<Outcome>> {
    let described = || node.value.describe();
    Ok(Some(match kind {
        Kind::Duration(set, _) | Kind::Delay(set) if value::is_too_long(node) => {
            set(draft, MAX_DURATION);
            Outcome::Adjusted(format!("is {}, more than 30 days: it is limited to 30 days", described()))
        }
        Kind::Duration(_, ZeroMeans::IsUnset) if value::duration(node)?.is_zero() => Outcome::Unset,
        Kind::Integer(min, max, OutOfRange::IsNearest, set) if value::count(node, *min, *max).is_err() => {
            let Some(count) = value::nearest_count(node, *min, *max) else {
                return value::must_be(&format!("a whole number from {min}"), node);
            };
            set(draft, count);
            Outcome::Adjusted(format!("is {}, which is read as {count}", described()))
        }
        Kind::LenientChoice(choices)
            if !choices.iter().any(|(choice, _)| value::text(node).is_ok_and(|word| word == *choice)) =>
        {
            value::text(node)?;
            Outcome::Noted(format!("is {}, which has no effect", described()))
        }
        Kind::ExitCodes(set) => {
            let (codes, dropped) = value::codes_of_pm2(node)?;
            set(draft, codes);
            match dropped {
                Some(dropped) => Outcome::Adjusted(format!("has {dropped}, which is not an exit code")),
                None => Outcome::Set,
            }
        }
        // PM2 accepts a pattern that never matches.
        Kind::Cron(_) => match value::cron(node)? {
            Err(never) => Outcome::Noted(never),
            Ok(_) => return Ok(None),
        },
        Kind::Environment(_) if matches!(node.value, Value::Text(_)) => {
            Outcome::Noted(NO_VARIABLE.to_owned())
        }
        Kind::EnvFilter(set) => match &node.value {
            Value::Text(_) => {
                set(draft, InheritEnv::WithoutName(value::text(node)?));
                Outcome::Set
            }
            Value::List(items) => {
                let (parts, others): (Vec<_>, Vec<_>) =
                    items.iter().partition(|item| value::text(item).is_ok());
                let parts: Vec<String> = parts.into_iter().filter_map(value::scalar_text).collect();
                // Each name contains the empty string.
                let all = parts.iter().any(String::is_empty);
                set(draft, if all { InheritEnv::Nothing } else { InheritEnv::Without(parts) });
                match others.first().map(|other| other.value.describe()) {
                    Some(other) => Outcome::Adjusted(format!("has {other}, which is not a string")),
                    None => Outcome::Set,
                }
            }
            _ => return Ok(None),
        },
        Kind::Delay(_) if value::duration(node).is_err() => {
            Outcome::Noted(format!("is {}, which is not a duration", described()))
        }
        Kind::Watch(_) if watching::paths(node, Dialect::Pm2).is_err() => {
            Outcome::Noted(format!("is {}, which names no path: nothing is watched", described()))
        }
        Kind::WatchOptions(_) if node.entries().is_none() => {
            Outcome::Noted(format!("is {}, which has no effect", described()))
        }
        _ => return Ok(None),
    }))
}

/// The variables of a table, each with its origin.
pub(super) fn environment(node: &Node, whole: &Origin, file: &Arc<str>) -> Decoded<Vec<EnvVar>> {
    let variables = value::environment(node)?;
    Ok(variables
        .into_iter()
        .map(|value::Variable { name, value, at, expanded }| {
            let place = SourceLocation { file: file.clone(), position: at };
            let origin = match whole {
                Origin::File(_) | Origin::Expanded(..) if expanded.is_empty() => Origin::File(place),
                Origin::File(_) | Origin::Expanded(..) => Origin::Expanded(place, expanded),
                other => other.clone(),
            };
            EnvVar { name, value, origin }
        })
        .collect())
}

/// `"a", "b" or "c"`, without PM2's long forms.
pub(super) fn one_of<D>(choices: &[Choice<D>]) -> String {
    let words = choices.iter().map(|(word, _)| word).filter(|word| !word.ends_with("_mode"));
    let words: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
