//! Words in the place of a command that are not commands: typing errors, and PM2's commands that procrun does
//! not have. Each gets a hint.

use crate::config::nearest;

/// Commands of PM2, and what to do instead.
const OF_PM2: [(&[&str], &str); 18] = [
    (&["startup", "unstartup"], "let a service manager run `procrun supervise`, then `procrun resurrect`"),
    (
        &["update", "updatePM2", "deepUpdate"],
        "run `procrun save` and `procrun kill`, then `procrun resurrect` with the new version",
    ),
    (
        &["install", "uninstall", "package", "publish", "set", "multiset", "get", "unset", "conf", "config"],
        "procrun has no modules and no module settings; log rotation is built in",
    ),
    (
        &["module:install", "module:update", "module:generate", "module:uninstall", "module:publish"],
        "procrun has no modules; log rotation is built in",
    ),
    (&["logrotate"], "log rotation is built in: see `log_max_size`, `log_keep` and `log_compress`"),
    (&["reloadLogs"], NO_NEED),
    (&["dashboard", "dash", "imonit"], "use `procrun monit`"),
    (
        &["web"],
        "`procrun TARGET --web` serves the data of that page; set PROCRUN_WEB for the background supervisor",
    ),
    (
        &["plus", "register", "login", "logout", "link", "unlink", "open", "unmonitor"],
        "procrun has no monitoring service; use `procrun monit`, or `procrun jlist` for exporters",
    ),
    (
        &["prettyList", "slist", "sysinfos", "report"],
        "use `procrun prettylist` or `procrun describe all`; `procrun monit` shows the machine",
    ),
    (
        &["trigger", "multicast"],
        "procrun has no actions; send a signal with `procrun signal SIGUSR2 APP`, or a line with `procrun send APP LINE`",
    ),
    (&["inspect"], "`procrun signal USR1 APP` opens Node's inspector on 127.0.0.1:9229"),
    (
        &["profile:cpu", "profile:mem", "heapdump"],
        "`procrun restart APP --node-args --cpu-prof` (or --heap-prof) writes a profile when it stops",
    ),
    (&["deploy"], "copy the files, then run `procrun reload ecosystem.config.js`"),
    (&["pull", "forward", "backward"], "run `git pull` in the app's directory, then `procrun reload APP`"),
    (&["create", "autoinstall"], "`procrun ecosystem` creates an ecosystem file"),
    (&["examples"], "`procrun --help` shows examples"),
    (&["install-otel", "uninstall-otel"], "procrun adds no tracing to an app; load it in the app"),
];

/// Scripts and logrotate use this command. Its effect is already given, so it is not an error.
const NO_NEED: &str = "a log file that was renamed or removed is reopened automatically";

/// A command of PM2 that is not one of procrun.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnsupportedCommand {
    /// It is not needed, for this reason.
    NoNeed(&'static str),
    /// What to do instead.
    Instead(&'static str),
}

/// The answer to a command that only PM2 has.
pub(super) fn of_pm2(word: &str) -> Option<UnsupportedCommand> {
    let (_, instead) = OF_PM2.iter().find(|(words, _)| words.contains(&word))?;
    Some(if *instead == NO_NEED {
        UnsupportedCommand::NoNeed(instead)
    } else {
        UnsupportedCommand::Instead(instead)
    })
}

/// The shortest word for which a typing error is recognised.
const MIN_LENGTH: usize = 3;

/// The hint for this word, if it resembles one of these commands or is one of PM2's.
pub(super) fn advice(word: &str, commands: impl Iterator<Item = &'static str>) -> Option<String> {
    if let Some(UnsupportedCommand::NoNeed(instead) | UnsupportedCommand::Instead(instead)) = of_pm2(word) {
        return Some(instead.to_owned());
    }
    // One wrong letter can make a short word any other word.
    if word.chars().count() < MIN_LENGTH {
        return None;
    }
    nearest(word, commands).map(|near| format!("did you mean `procrun {near}`?"))
}

/// Options of other tools, and the equivalent of procrun.
const OPTIONS: [(&[&str], &str); 5] = [
    (&["--port", "-P"], "set the port in the environment: `PORT=3000 procrun app.js`, or `port` in the file"),
    (&["--config", "--file"], "the ecosystem file is the TARGET: `procrun FILE`"),
    (&["-d", "--daemon", "--detach", "--background"], "`procrun start TARGET` runs it in the background"),
    (&["-w", "--workers", "--replicas", "--processes"], "`-i N` runs N processes"),
    (&["--directory", "--chdir", "--working-dir", "-C"], "`--cwd DIR` sets the working directory of the app"),
];

/// What to do instead of giving this option, which another tool has.
pub(super) fn option(typed: &str) -> Option<&'static str> {
    let name = typed.split(['=', ' ']).next().unwrap_or(typed);
    OPTIONS.iter().find(|(names, _)| names.contains(&name)).map(|&(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{commands::COMMANDS, parser},
        *,
    };

    #[test]
    fn typing_errors_and_words_of_pm2_get_a_hint_and_programs_do_not() {
        let advice = |word| advice(word, parser::words(COMMANDS));
        assert_eq!(advice("lsit").as_deref(), Some("did you mean `procrun list`?"));
        assert_eq!(advice("resart").as_deref(), Some("did you mean `procrun restart`?"));
        assert!(advice("deploy").is_some_and(|text| text.contains("`procrun reload")));
        assert_eq!(of_pm2("reloadLogs"), Some(UnsupportedCommand::NoNeed(NO_NEED)));
        assert_eq!(of_pm2("gunicorn"), None);
        assert_eq!(advice("gunicorn"), None);
        assert_eq!(advice("a"), None);
        for (words, _) in OF_PM2 {
            assert!(words.iter().all(|word| parser::find(COMMANDS, word).is_none()), "{words:?}");
        }
    }
}
