//! Words that stand where a command stands and are none: slips of the finger, and commands of PM2 that
//! procrun has no use for. It knows what to say about them and does nothing.

use super::commands;
use crate::config::nearest;

/// Commands of PM2, and what to do instead.
const OF_PM2: [(&[&str], &str); 7] = [
    (
        &["startOrRestart", "startOrReload", "startOrGracefulReload"],
        "`procrun start FILE` starts what is new in it and replaces what has changed",
    ),
    (
        &["startup", "unstartup"],
        "a service manager runs `procrun supervise`, and `procrun resurrect` after it",
    ),
    (
        &["update", "updatePM2"],
        "`procrun save` and `procrun kill`, then `procrun resurrect` with the new one",
    ),
    (
        &["install", "uninstall", "set", "multiset", "get", "unset", "conf", "config"],
        "there are no modules and no settings of theirs; log files are rotated anyway",
    ),
    (&["reloadLogs"], "a log file that was renamed or removed is opened anew by itself"),
    (&["dashboard", "imonit", "plus"], "`procrun monit` shows all of it"),
    (
        &["prettyList", "slist", "sysinfos", "report"],
        "`procrun prettylist` and `procrun describe all` say all",
    ),
];

/// Letters of a word of which a slip can be told.
const SHORTEST: usize = 3;

/// What to do instead of this command, if it looks like one.
pub(super) fn advice(word: &str) -> Option<String> {
    let known = OF_PM2.iter().find(|(words, _)| words.contains(&word));
    if let Some((_, instead)) = known {
        return Some((*instead).to_owned());
    }
    // One slip makes a short word any other.
    if word.chars().count() < SHORTEST {
        return None;
    }
    let words = commands::words().chain(["start", "run", "check"]);
    nearest(word, words).map(|near| format!("did you mean `procrun {near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_and_a_word_of_pm2_get_advice_and_a_program_does_not() {
        assert_eq!(advice("lsit").as_deref(), Some("did you mean `procrun list`?"));
        assert_eq!(advice("resart").as_deref(), Some("did you mean `procrun restart`?"));
        assert!(advice("startOrReload").is_some_and(|text| text.contains("`procrun start FILE`")));
        assert_eq!(advice("gunicorn"), None);
        assert_eq!(advice("a"), None);
        for (words, _) in OF_PM2 {
            assert!(words.iter().all(|word| !commands::is_command(word.as_ref())), "{words:?}");
        }
    }
}
