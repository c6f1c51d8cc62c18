//! The changes that flags make to an existing application.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    draft::Draft,
    flags::{FlagValue, Flags},
    keys::{APP_KEYS, Key, Kind, find},
    loaded::Loaded,
    patch::Patch,
    problem::{EX_USAGE, Problem, Problems},
    source::{Inner, Source},
    target::{self, Target},
};
use crate::spec::AppSpec;

/// The changes that flags make.
#[derive(Debug)]
pub struct Changes {
    /// The change of the application. `None`: nothing changes.
    pub patch: Option<Patch>,
    /// Notices about flags that are not errors.
    pub notices: Vec<String>,
}

/// A placeholder for the script of the application. Its name is a Node script's, so that settings for Node are kept.
const PLACEHOLDER_SCRIPT: &str = "app.js";

impl Flags {
    /// The changes that these flags, and the arguments after `--`, make to an existing application.
    ///
    /// # Errors
    ///
    /// A wrong value, or a flag that cannot apply to an existing application; exit code 64.
    pub fn changes(
        mut self,
        args: Option<Vec<OsString>>,
        environment: BTreeMap<OsString, OsString>,
        cwd: &Path,
    ) -> Result<Changes, Problems> {
        self.check()?;
        let args = args.map(target::utf8_arguments).transpose()?;
        let mut problems = Problems::none(EX_USAGE);
        if !self.only.is_empty() {
            problems.push(Problem::new("`--only` selects apps of an ecosystem file, but no file is named"));
        }
        if self.env_name.is_some() {
            let problem =
                Problem::new("`--env` selects variables of an ecosystem file, but no file is named");
            problems.push(
                problem.hint("name the file, or use the environment of this command with `--update-env`"),
            );
        }
        let mut keys: Vec<String> = Vec::new();
        for (key, flag) in self.set_keys() {
            match find(APP_KEYS, key) {
                // An app must have a name: `null` cannot unset it.
                Some(known) if known.name == "name" && self.flag_of(key).is_none() => {
                    problems.push(unchangeable(known.name, flag));
                }
                Some(known) if known.can_be_patched() => keys.push(known.name.to_owned()),
                Some(known) if has_no_effect(known) => {}
                Some(known) => problems.push(unchangeable(known.name, flag)),
                None => problems.push(
                    Problem::new(format!("`{flag}` is a setting of procrun itself, not of an app"))
                        .hint("set it when procrun starts"),
                ),
            }
        }
        if args.is_some() {
            keys.push("args".to_owned());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let is_set = |key: &str| keys.iter().any(|set| set == key);
        let restricts_watch = is_set("ignore_watch") || is_set("watch_delay");
        let toggles_watch = self.is_switch("watch") && !restricts_watch;
        if !is_set("watch") && restricts_watch {
            // Without `watch` no files are watched, and these values would be lost.
            self.set("watch", "--watch", FlagValue::Switch(true));
        }
        let inner = Inner {
            target: Target::Script(PLACEHOLDER_SCRIPT.to_owned()),
            name: PLACEHOLDER_SCRIPT.to_owned(),
            flags: self,
            args,
            environment,
            cwd: PathBuf::from(cwd),
            command_line: Vec::new(),
            converts_to: None,
        };
        let Loaded { plan, notices, .. } = Source(Arc::new(inner)).load_script(PLACEHOLDER_SCRIPT)?;
        // Keys on which others depend come first.
        let rank = |key: &String| ["cwd", "interpreter", "watch"].iter().position(|first| first == key);
        keys.sort_unstable_by(|one, other| {
            (rank(one).unwrap_or(usize::MAX), one).cmp(&(rank(other).unwrap_or(usize::MAX), other))
        });
        keys.dedup();
        let from = plan.apps.first().filter(|_| !keys.is_empty());
        let mut patch = from.map(|app| Patch { keys, from: Box::new(AppSpec::clone(app)) });
        if let Some(patch) = patch.as_mut().filter(|_| toggles_watch) {
            patch.toggle_watch();
        }
        Ok(Changes { patch, notices })
    }
}

/// Whether an existing application can take this key, or reports that the key has no effect.
pub fn can_change(key: &str) -> bool {
    find(APP_KEYS, key).is_some_and(|known| known.can_be_patched() || has_no_effect(known))
}

/// A notice reports it.
fn has_no_effect(key: &Key<Draft, AppSpec>) -> bool {
    matches!(key.kind, Kind::Unsupported | Kind::Ignored)
}

fn unchangeable(key: &str, flag: &str) -> Problem {
    let problem = Problem::new(format!("`{flag}` cannot change an existing app"));
    match key {
        "autostart" => problem.hint("`procrun stop` keeps it from running"),
        _ => problem.hint("set it in the ecosystem file, then run `procrun reload FILE`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ExecMode, Instances};

    fn changes(set: &[(&'static str, &str)], args: Option<&[&str]>) -> Result<Changes, Problems> {
        let mut flags = Flags::default();
        for (key, value) in set {
            let value = match *value {
                "" => FlagValue::Switch(true),
                text => FlagValue::Text(text.to_owned()),
            };
            flags.set(key, "--flag", value);
        }
        let args = args.map(|args| args.iter().map(OsString::from).collect());
        flags.changes(args, BTreeMap::new(), Path::new("/here"))
    }

    fn app() -> AppSpec {
        let inner = Inner {
            target: Target::Script("web.js".to_owned()),
            name: "web.js".to_owned(),
            flags: Flags::default(),
            args: Some(vec!["old".to_owned()]),
            environment: BTreeMap::new(),
            cwd: PathBuf::from("/there"),
            command_line: Vec::new(),
            converts_to: None,
        };
        let loaded = Source(Arc::new(inner)).load_script("web.js").unwrap();
        AppSpec::clone(&loaded.plan.apps[0])
    }

    #[test]
    fn only_keys_of_flags_change() {
        let flags = [("instances", "3"), ("kill_timeout", "5s"), ("watch", ""), ("max_restarts", "7")];
        let patch = changes(&flags, Some(&["new"])).unwrap().patch.unwrap();
        let before = app();
        let mut after = before.clone();
        patch.apply(&mut after).unwrap();
        assert!(patch.sets_instances());
        assert_eq!((after.instances, after.exec_mode), (Instances::Count(3), ExecMode::Fork));
        assert_eq!((after.exec.args.as_slice(), after.restart.max_restarts), (&["new".to_owned()][..], 7));
        assert_eq!(after.watch.as_ref().unwrap().paths, [PathBuf::from("/there")], "where it runs");
        let mut back = AppSpec { watch: None, instances: before.instances, ..after };
        back.exec.args.clone_from(&before.exec.args);
        back.stop.kill_timeout = before.stop.kill_timeout;
        back.restart.max_restarts = before.restart.max_restarts;
        assert_eq!(back, before);
        assert_eq!(changes(&[], None).unwrap().patch, None);
        let renamed = changes(&[("name", "other")], None).unwrap().patch.unwrap();
        assert_eq!((renamed.name(), patch.name()), (Some("other"), None));
    }

    #[test]
    fn watch_alone_toggles_and_watch_with_a_value_enables() {
        let mut app = app();
        let mut give = |flags: &[(&'static str, &str)]| {
            let patch = changes(flags, None).unwrap().patch.unwrap();
            patch.apply(&mut app).unwrap();
            app.watch.clone()
        };
        for _ in 0..2 {
            assert!(give(&[("watch", "")]).is_some());
            assert!(give(&[("watch", "")]).is_none());
        }
        for _ in 0..2 {
            assert_eq!(give(&[("watch", "src")]).unwrap().paths, [PathBuf::from("/here/src")]);
        }
        assert_eq!(give(&[("watch", ""), ("ignore_watch", "logs")]).unwrap().ignore, ["logs"]);
    }

    #[test]
    fn unchangeable_keys_are_errors_and_keys_without_effect_are_notices() {
        for (key, value, why) in [
            ("autostart", "", "cannot change an existing app"),
            ("name", "null", "cannot change an existing app"),
            ("log_format", "raw", "a setting of procrun itself"),
            ("kill_timeout", "raw", "`--flag`"),
        ] {
            let problems = changes(&[(key, value)], None).unwrap_err();
            assert_eq!(problems.exit_code(), EX_USAGE);
            assert!(problems.to_string().contains(why), "{problems}");
        }
        let flags = changes(&[("vizion", "")], None).unwrap();
        assert!(flags.patch.is_none() && flags.notices.len() == 1, "{flags:?}");
        let patch = changes(&[("ignore_watch", "logs")], None).unwrap().patch.unwrap();
        assert_eq!(patch.keys, ["ignore_watch"]);
        assert!(patch.apply(&mut app()).unwrap_err().contains("watches no files"));
        let both = changes(&[("ignore_watch", "logs"), ("watch", "")], None).unwrap().patch.unwrap();
        let mut watching = app();
        both.apply(&mut watching).unwrap();
        assert_eq!(watching.watch.unwrap().ignore, ["logs"]);
        let unset = changes(&[("interpreter_args", "null")], None).unwrap().patch.unwrap();
        let mut inspected = app();
        inspected.exec.interpreter_args = vec!["--inspect".to_owned()];
        unset.apply(&mut inspected).unwrap();
        assert_eq!(inspected.exec.interpreter_args, [""; 0], "the text `null` unsets a key");
        let ready = changes(&[("wait_ready", "")], None).unwrap().patch.unwrap();
        let mut python = app();
        python.exec.script = "web.py".to_owned();
        ready.apply(&mut python).unwrap();
        assert!(python.reload.wait_ready && python.health.notify, "both are set");
    }
}
