//! procrun's own settings by environment variables: `PROCRUN_<KEY>` for every root key that is a setting of procrun,
//! and for `cwd` and `include`. `defaults` has none, because it is a table of keys of apps.
//!
//! A flag overrides a variable, and a variable overrides the file. `keys` lists the keys.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    apply::{apply, one_of},
    draft::RuntimeDraft,
    keys::{Kind, RUNTIME_KEYS, all},
    notices::Notices,
    origin::Origin,
    path::{expand_home, resolve},
    problem::{Problem, Problems},
    suggest::nearest,
    tree::{ExpandedVariable, Node, Value, shorten},
    value::Dialect,
};
use crate::spec::validate::MAX_DURATION;

const PREFIX: &str = "PROCRUN_";

/// The root key `cwd`.
const CWD: &str = "PROCRUN_CWD";
/// The root key `include`.
const INCLUDE: &str = "PROCRUN_INCLUDE";

/// The token of the HTTP server.
pub const WEB_TOKEN: &str = "PROCRUN_WEB_TOKEN";

/// The variable with the time that the container engine waits after a stop, in seconds.
const GRACE: &str = "PROCRUN_GRACE_SECONDS";

/// The variables of root keys that concern the apps of a file, each with the form of its value.
const FILE_VARIABLES: [(&str, &str); 2] =
    [(CWD, "a directory"), (INCLUDE, "paths and patterns, separated by colons")];

/// Variables with the prefix that are not root keys, each with its meaning.
const OTHER_VARIABLES: [(&str, &str); 4] = [
    (WEB_TOKEN, "the token that permits changes by HTTP"),
    ("PROCRUN_HOME", "directory of the socket, saved lists and logs"),
    (GRACE, "grace time of the container engine, in seconds"),
    ("PROCRUN_RUN", "set by procrun to find the processes of an app"),
];

/// Variables that Kubernetes sets in all containers for a service named `procrun`, without the prefix.
const SERVICE_LINKS: [&str; 3] = ["SERVICE_HOST", "SERVICE_PORT", "PORT"];

/// Applies the variables to the draft. A wrong value is a problem that names the variable.
pub(super) fn apply_to_runtime(
    environment: &BTreeMap<OsString, OsString>,
    draft: &mut RuntimeDraft,
    notices: &mut Notices,
    problems: &mut Problems,
) {
    for key in all(RUNTIME_KEYS) {
        let variable = variable(key.name);
        let Some(value) = environment.get(OsStr::new(&variable)).filter(|value| !value.is_empty()) else {
            continue;
        };
        let Some(value) = value.to_str() else {
            problems.push(Problem::new(format!("the variable `{variable}` is not UTF-8")));
            continue;
        };
        let mut node = Node::new(Value::Text(value.to_owned()), None);
        // `true` and numbers are strings here, as after `${NAME}` in a file.
        node.expanded.push(ExpandedVariable { name: variable.clone(), is_default: false });
        let origin = Origin::Environment(variable.clone().into());
        match apply(&key.kind, &node, Dialect::Flag, &origin, &Arc::from(""), draft) {
            Ok(_) => {
                draft.origins.insert(key.name, origin);
            }
            Err(complaints) => {
                for complaint in complaints {
                    let problem = Problem::new(format!("the variable `{variable}` {}", complaint.message));
                    problems.push(problem.hint("`procrun help environment` lists the variables"));
                }
            }
        }
    }
    for name in unknown(environment) {
        let known: Vec<String> = known().map(|(name, _)| name).collect();
        let mut known = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
        let hint = match nearest(name.trim_start_matches(PREFIX), known.by_ref()) {
            Some(near) => format!("did you mean `{PREFIX}{near}`?"),
            None => "`procrun help environment` lists those that have one".to_owned(),
        };
        notices.add(format!("the variable `{name}` has no effect: {hint}"));
    }
}

/// Limits the shutdown budget to the time that the container engine waits, less what procrun itself needs.
pub(super) fn grace(
    runtime: &mut RuntimeDraft,
    environment: &BTreeMap<OsString, OsString>,
    notices: &mut Notices,
) {
    const RESERVE: Duration = Duration::from_secs(1);
    let Some(value) = environment.get(OsStr::new(GRACE)).filter(|value| !value.is_empty()) else { return };
    let seconds = value.to_str().and_then(|text| text.trim().parse::<f64>().ok());
    let grace = seconds.filter(|seconds| *seconds > 0.0).and_then(|it| Duration::try_from_secs_f64(it).ok());
    let Some(grace) = grace else {
        let value = shorten(&value.to_string_lossy());
        notices.add(format!("the variable {GRACE} is ignored: `{value}` is not a number of seconds"));
        return;
    };
    let grace = grace.min(MAX_DURATION);
    let time = grace.saturating_sub(RESERVE.min(grace / 10));
    if runtime.runtime.shutdown_timeout.is_none_or(|configured| configured > time) {
        runtime.runtime.shutdown_timeout = Some(time);
        runtime.origins.insert("shutdown_timeout", Origin::Environment(GRACE.into()));
    }
}

/// The working directory of the apps of a file by `PROCRUN_CWD`, absolute, and its origin. It is relative to the
/// caller's directory, as `--cwd` is.
pub(super) fn cwd(
    environment: &BTreeMap<OsString, OsString>,
    caller_cwd: &Path,
) -> Option<(PathBuf, Origin)> {
    let cwd = environment.get(OsStr::new(CWD)).filter(|cwd| !cwd.is_empty())?;
    let cwd = expand_home(&cwd.to_string_lossy(), environment);
    Some((resolve(caller_cwd, &cwd), Origin::Environment(CWD.into())))
}

/// The patterns of `PROCRUN_INCLUDE`, which replaces `include`.
pub(super) fn includes(environment: &BTreeMap<OsString, OsString>) -> Option<Vec<String>> {
    let list = environment.get(OsStr::new(INCLUDE)).filter(|list| !list.is_empty())?.to_string_lossy();
    Some(list.split(':').filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect())
}

/// All variables with the prefix, each with the form of its value or its meaning.
pub fn known() -> impl Iterator<Item = (String, String)> {
    let of_keys = all(RUNTIME_KEYS).map(|key| (variable(key.name), value_form(&key.kind)));
    let others = FILE_VARIABLES.into_iter().chain(OTHER_VARIABLES);
    of_keys.chain(others.map(|(name, what)| (name.to_owned(), what.to_owned())))
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase())
}

/// The variables with the prefix that procrun does not know.
fn unknown(environment: &BTreeMap<OsString, OsString>) -> impl Iterator<Item = String> {
    let names = environment.keys().filter_map(|name| name.to_str());
    let with_prefix = names.filter_map(|name| Some((name, name.strip_prefix(PREFIX)?)));
    with_prefix
        .filter(|(name, rest)| !is_service_link(rest) && !known().any(|(known, _)| known == *name))
        .map(|(name, _)| name.to_owned())
}

fn is_service_link(rest: &str) -> bool {
    SERVICE_LINKS.iter().any(|link| {
        rest.strip_prefix(link).is_some_and(|behind| behind.is_empty() || behind.starts_with('_'))
    })
}

/// The form of a value.
fn value_form<D>(kind: &Kind<D>) -> String {
    match kind {
        Kind::Boolean(_) => "true or false".to_owned(),
        Kind::Duration(..) => "a time: 300ms, 5s, 2m, 1h".to_owned(),
        Kind::Size(..) => "a size: 300K, 200M, 1G".to_owned(),
        Kind::Integer(min, max, ..) => format!("a number from {min} to {max}"),
        Kind::Choice(choices) => one_of(choices).replace('"', ""),
        Kind::BooleanOrAuto(_) => "auto, true or false".to_owned(),
        Kind::OomGuard(_) => "true, false or a share: 90%".to_owned(),
        Kind::LogFile(_) => "a path, or false".to_owned(),
        Kind::Web(_) => "a port, ADDR:PORT, unix:/path, true or false".to_owned(),
        Kind::SingleLine(_) | Kind::String(_) => "a string".to_owned(),
        _ => "as in the file".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::problem::EX_CONFIG,
        spec::{LogStyle, OomGuard, TerminationLog},
    };

    fn read(variables: &[(&str, &str)]) -> (RuntimeDraft, Vec<String>, String) {
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (mut draft, mut notices) = (RuntimeDraft::default(), Notices::default());
        let mut problems = Problems::none(EX_CONFIG);
        apply_to_runtime(&environment, &mut draft, &mut notices, &mut problems);
        let problems = if problems.is_empty() { String::new() } else { problems.to_string() };
        (draft, notices.into_list(), problems)
    }

    #[test]
    fn every_root_key_has_a_variable_that_takes_a_value() {
        let value = |kind: &Kind<RuntimeDraft>| match kind {
            Kind::BooleanOrAuto(_) => "auto",
            Kind::Boolean(_) | Kind::OomGuard(_) | Kind::LogFile(_) | Kind::Web(_) => "false",
            Kind::Duration(..) => "5s",
            Kind::Size(..) => "1M",
            Kind::Integer(..) => "7",
            Kind::Choice(choices) => choices[0].0,
            Kind::SingleLine(_) | Kind::String(_) => "HH:mm",
            _ => panic!("add a value of this kind here, and in `value_form`"),
        };
        for key in all(RUNTIME_KEYS) {
            let name = variable(key.name);
            let (draft, notices, problems) = read(&[(&name, value(&key.kind))]);
            assert_eq!((notices, problems), (Vec::new(), String::new()), "{name}");
            assert_eq!(draft.origins[key.name].to_string(), format!("environment ${name}"));
        }
        let (draft, ..) = read(&[
            ("PROCRUN_LOG_FORMAT", "json"),
            ("PROCRUN_AUTO_EXIT", "false"),
            ("PROCRUN_OOM_GUARD", "false"),
            ("PROCRUN_TERMINATION_LOG", "false"),
            ("PROCRUN_TIME", "true"),
            ("PROCRUN_LOG_LEVEL", ""),
        ]);
        assert_eq!(draft.runtime.log.style, LogStyle::Json);
        assert_eq!(draft.runtime.oom_guard, OomGuard::Off);
        assert_eq!(draft.runtime.termination_log, TerminationLog::Off);
        assert!(!draft.runtime.auto_exit && draft.time && !draft.origins.contains_key("log_level"));
    }

    #[test]
    fn a_wrong_value_names_the_variable() {
        for (name, value) in [
            ("PROCRUN_LOG_FORMAT", "jsno"),
            ("PROCRUN_AUTO_EXIT", "yes"),
            ("PROCRUN_SHUTDOWN_TIMEOUT", "soon"),
            ("PROCRUN_LOG_HISTORY_LINES", "-1"),
            ("PROCRUN_OOM_GUARD", "110%"),
        ] {
            let (_, _, problems) = read(&[(name, value)]);
            assert!(problems.contains(&format!("the variable `{name}` ")), "{name}: {problems}");
        }
    }

    #[test]
    fn an_unknown_variable_is_a_notice_and_others_are_none() {
        let (_, notices, problems) = read(&[("PROCRUN_LOG_FROMAT", "json"), ("PROCRUN_COLOUR", "1")]);
        assert_eq!(problems, "");
        assert!(notices.iter().any(|it| it.contains("did you mean `PROCRUN_LOG_FORMAT`?")), "{notices:?}");
        assert!(notices.iter().any(|it| it.contains("`PROCRUN_COLOUR` has no effect")), "{notices:?}");
        let (_, notices, _) = read(&[
            ("PROCRUN_HOME", "/x"),
            ("PROCRUN_RUN", "1"),
            ("PROCRUN_GRACE_SECONDS", "10"),
            ("PROCRUN_SERVICE_HOST", "10.0.0.1"),
            ("PROCRUN_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("LOG_FORMAT", "json"),
            ("PROCRUNNER", "1"),
        ]);
        assert_eq!(notices, [""; 0]);
    }
}
