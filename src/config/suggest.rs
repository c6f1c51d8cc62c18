//! Suggestions for a mistyped word, and for words of other tools.

/// The known word that is nearest to `word`, if it is near enough to be a typing mistake: one edit in three letters,
/// at least one.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MAX_LENGTH: usize = 64;
    let length = word.chars().count();
    if length > MAX_LENGTH {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, &known.to_lowercase()), known))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, _)| distance <= (length / 3).max(1))
        .map(|(_, known)| known)
}

/// Words of Compose, Kubernetes, systemd and supervisord, with the key of an app of the same meaning.
const WORDS_OF_OTHER_TOOLS: [(&[&str], &str); 10] = [
    (&["working_dir", "directory", "workdir"], "cwd"),
    (&["environment"], "env"),
    (&["replicas", "numprocs"], "instances"),
    (&["healthcheck", "health_check", "liveness", "liveness_probe", "livenessProbe"], "health"),
    (&["readiness_probe", "readinessProbe"], "readiness"),
    (&["mem_limit", "memory_limit", "max_memory", "memory"], "max_memory_restart"),
    (&["ulimits", "limits"], "rlimits"),
    (&["stop_signal", "stopsignal"], "kill_signal"),
    (&["stopasgroup", "killmode", "KillMode"], "stop_signal_scope"),
    (&["stop_grace_period", "stopwaitsecs", "stop_timeout"], "kill_timeout"),
];

/// The key with the meaning of this word of another tool.
pub(super) fn equivalent_key(key: &str) -> Option<&'static str> {
    WORDS_OF_OTHER_TOOLS.iter().find(|(words, _)| words.contains(&key)).map(|&(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::{WORDS_OF_OTHER_TOOLS, equivalent_key, nearest};
    use crate::config::keys::{APP_KEYS, find};

    #[test]
    fn words_of_other_tools_map_to_keys() {
        assert_eq!(equivalent_key("healthcheck"), Some("health"));
        assert_eq!(equivalent_key("colour"), None);
        for (words, known) in WORDS_OF_OTHER_TOOLS {
            assert!(find(APP_KEYS, known).is_some(), "{known}");
            assert!(words.iter().all(|word| find(APP_KEYS, word).is_none()), "{words:?}");
        }
    }

    #[test]
    fn a_typing_mistake_is_found_and_another_word_is_not() {
        let known = ["max_memory_restart", "max_restarts", "script"];
        assert_eq!(nearest("max_memory_restrat", known), Some("max_memory_restart"));
        assert_eq!(nearest("scirpt", known), Some("script"));
        assert_eq!(nearest("Script", known), Some("script"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
