//! What a name, an id, a namespace or `all` stands for. Pure.

use std::collections::BTreeSet;

use crate::config::nearest;

/// One instance, by all that can be said to mean it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: u32,
    /// Its application's name.
    pub name: &'a str,
    /// Its application's namespace.
    pub namespace: &'a str,
}

/// A word that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// What and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The ids that the words stand for, in the order of the list, each once. A word is, in this order,
/// `all`, the name of an application, an id, or a namespace.
///
/// # Errors
/// [`Unknown`] for the first word that means nothing; nothing is selected then.
pub fn select<S: AsRef<str>>(words: &[S], of: &[Candidate<'_>]) -> Result<Vec<u32>, Unknown> {
    let mut chosen = BTreeSet::new();
    for word in words {
        let word = word.as_ref();
        let meant: Vec<u32> = match meaning(word, of) {
            Meaning::All => of.iter().map(|one| one.id).collect(),
            Meaning::Name => of.iter().filter(|one| one.name == word).map(|one| one.id).collect(),
            Meaning::Id(id) => vec![id],
            Meaning::Namespace => of.iter().filter(|one| one.namespace == word).map(|one| one.id).collect(),
            Meaning::Nothing => return Err(unknown(word, of)),
        };
        chosen.extend(meant);
    }
    Ok(of.iter().map(|one| one.id).filter(|id| chosen.contains(id)).collect())
}

enum Meaning {
    All,
    Name,
    Id(u32),
    Namespace,
    Nothing,
}

fn meaning(word: &str, of: &[Candidate<'_>]) -> Meaning {
    if word == "all" && !of.is_empty() {
        return Meaning::All;
    }
    if of.iter().any(|one| one.name == word) {
        return Meaning::Name;
    }
    if let Ok(id) = word.parse::<u32>()
        && of.iter().any(|one| one.id == id)
    {
        return Meaning::Id(id);
    }
    if of.iter().any(|one| one.namespace == word) { Meaning::Namespace } else { Meaning::Nothing }
}

fn unknown(word: &str, of: &[Candidate<'_>]) -> Unknown {
    const SHOWN: usize = 10;
    let refused = |hint: &str| Unknown {
        message: format!("there is no application or namespace `{word}`"),
        hint: Some(hint.to_owned()),
    };
    if word == "-" {
        return refused("stdin is not read: write what it says to a file, and name that");
    }
    // As PM2 writes a regular expression.
    if word.len() > 1 && word.starts_with('/') && word.ends_with('/') {
        return refused("a pattern is no target: name them, or give them a `namespace` of their own");
    }
    if of.is_empty() {
        return Unknown { message: format!("`{word}` means nothing: there is no application"), hint: None };
    }
    if word.parse::<u32>().is_ok() {
        let ids: Vec<u32> = of.iter().map(|one| one.id).collect();
        let message = format!("there is no application or id `{word}`");
        return Unknown { message, hint: Some(format!("there is {}", ranges(&ids))) };
    }
    let mut names: Vec<&str> = Vec::new();
    for one in of {
        if !names.contains(&one.name) {
            names.push(one.name);
        }
    }
    let known = names.iter().copied().chain(of.iter().map(|one| one.namespace)).chain(["all"]);
    let hint = if let Some(near) = nearest(word, known) {
        format!("did you mean `{near}`?")
    } else {
        let more = names.len().saturating_sub(SHOWN);
        let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("there is {}{more}", shown.join(", "))
    };
    Unknown { message: format!("there is no application or namespace `{word}`"), hint: Some(hint) }
}

/// `0-3, 7`.
fn ranges(ids: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &id in ids {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => parts.push((id, id)),
        }
    }
    let text = parts.iter().map(
        |(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        },
    );
    text.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: [Candidate<'_>; 5] = [
        Candidate { id: 0, name: "api", namespace: "default" },
        Candidate { id: 1, name: "api", namespace: "default" },
        Candidate { id: 2, name: "worker", namespace: "jobs" },
        Candidate { id: 3, name: "1", namespace: "jobs" },
        Candidate { id: 7, name: "jobs", namespace: "x" },
    ];

    fn ids(words: &str) -> Result<Vec<u32>, Unknown> {
        select(&words.split(' ').collect::<Vec<_>>(), &LIST)
    }

    #[test]
    fn words_stand_for_instances() {
        assert_eq!(ids("all"), Ok(vec![0, 1, 2, 3, 7]));
        assert_eq!(ids("api"), Ok(vec![0, 1]));
        assert_eq!(ids("2 api 0"), Ok(vec![0, 1, 2]));
        assert_eq!(ids("default"), Ok(vec![0, 1]));
        assert_eq!(ids("1"), Ok(vec![3]), "a name comes before an id");
        assert_eq!(ids("jobs"), Ok(vec![7]), "and before a namespace");
    }

    #[test]
    fn an_unknown_word_selects_nothing_and_gets_advice() {
        let hint = |words| ids(words).unwrap_err().hint.unwrap();
        assert_eq!(hint("api wroker"), "did you mean `worker`?");
        assert_eq!(hint("9"), "there is 0-3, 7");
        assert_eq!(hint("completely-else"), "there is `api`, `worker`, `1`, `jobs`");
        assert!(hint("-").contains("stdin"));
        assert!(hint("/api-.*/").contains("a pattern is no target"));
        assert!(ids("-1").is_err());
        assert!(select(&["all"], &[]).is_err());
    }
}
