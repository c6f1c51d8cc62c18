//! The instances of a name, an id, a namespace, a script, a pattern or `all`. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    message::RequestError,
    pattern::{self, Pattern},
    snapshot::InstanceSummary,
};
use crate::{
    config::{nearest, resolve_path},
    spec::Exec,
};

/// An instance with all values by which a target can select it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: u32,
    /// Its application's name.
    pub name: &'a str,
    /// Its application's namespace.
    pub namespace: &'a str,
    /// The program of its application. `None`: no target can select it by the script.
    pub exec: Option<&'a Exec>,
}

impl Candidate<'_> {
    /// Whether this word is the name or id of the instance or of its application, not a group such as a namespace.
    pub fn is_named_by(&self, word: &str) -> bool {
        self.name == word || self.id.to_string() == word || self.runs(word)
    }

    /// Whether its application runs the script with this absolute path.
    fn runs(&self, word: &str) -> bool {
        let path = Path::new(word);
        let is_script = |exec: &Exec| resolve_path(&exec.cwd, exec.script.as_ref()) == path;
        path.is_absolute() && self.exec.is_some_and(is_script)
    }
}

/// The instances of a process list.
#[derive(Debug, Clone, Default)]
pub struct ProcessList<'a>(Vec<Candidate<'a>>);

impl<'a> FromIterator<Candidate<'a>> for ProcessList<'a> {
    fn from_iter<T: IntoIterator<Item = Candidate<'a>>>(candidates: T) -> Self {
        Self(candidates.into_iter().collect())
    }
}

/// The list as a client knows it, without the scripts of the applications.
impl<'a> From<&'a [InstanceSummary]> for ProcessList<'a> {
    fn from(list: &'a [InstanceSummary]) -> Self {
        let candidate = |one: &'a InstanceSummary| Candidate {
            id: one.id,
            name: &one.name,
            namespace: &one.namespace,
            exec: None,
        };
        list.iter().map(candidate).collect()
    }
}

impl ProcessList<'_> {
    /// The ids of the instances that the words select, in the order of the list, each once. A word is, in this order,
    /// `all`, the name of an application, an id, a namespace, the absolute path of a script, or a pattern for names
    /// (`/^api-/`).
    ///
    /// # Errors
    ///
    /// The first word that selects nothing. Then no instance is selected.
    pub fn select<S: AsRef<str>>(&self, words: &[S]) -> Result<Vec<u32>, RequestError> {
        select(words, &self.0)
    }

    /// Whether an application has this name.
    pub fn has_app(&self, name: &str) -> bool {
        self.0.iter().any(|one| one.name == name)
    }

    /// Whether the word is the name or the namespace of an application, or `all`.
    pub fn has_group(&self, word: &str) -> bool {
        word == "all" || self.0.iter().any(|one| one.name == word || one.namespace == word)
    }
}

fn select<S: AsRef<str>>(words: &[S], of: &[Candidate<'_>]) -> Result<Vec<u32>, RequestError> {
    let mut selected = BTreeSet::new();
    for word in words {
        let word = word.as_ref();
        let matching_ids: Vec<u32> = match meaning(word, of) {
            Meaning::All => of.iter().map(|one| one.id).collect(),
            Meaning::Name => of.iter().filter(|one| one.name == word).map(|one| one.id).collect(),
            Meaning::Id(id) => vec![id],
            Meaning::Namespace => of.iter().filter(|one| one.namespace == word).map(|one| one.id).collect(),
            Meaning::Script => of.iter().filter(|one| one.runs(word)).map(|one| one.id).collect(),
            Meaning::Pattern(pattern) => matching(word, &pattern, of)?,
            Meaning::InvalidPattern(why) => return Err(invalid_pattern(word, &why)),
            Meaning::Nothing => return Err(unknown(word, of)),
        };
        selected.extend(matching_ids);
    }
    Ok(of.iter().map(|one| one.id).filter(|id| selected.contains(id)).collect())
}

enum Meaning {
    All,
    Name,
    Id(u32),
    Namespace,
    Script,
    Pattern(Pattern),
    InvalidPattern(String),
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
    if of.iter().any(|one| one.namespace == word) {
        return Meaning::Namespace;
    }
    if of.iter().any(|one| one.runs(word)) {
        return Meaning::Script;
    }
    match Pattern::parse(word) {
        pattern::Parsed::NotAPattern => Meaning::Nothing,
        pattern::Parsed::Invalid(why) => Meaning::InvalidPattern(why),
        pattern::Parsed::Pattern(pattern) => Meaning::Pattern(pattern),
    }
}

/// The ids of the instances of all applications whose name matches. A name is matched once, whatever the number of
/// its instances.
fn matching(word: &str, pattern: &Pattern, of: &[Candidate<'_>]) -> Result<Vec<u32>, RequestError> {
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    let mut is_match = |name| *known.entry(name).or_insert_with_key(|name| pattern.matches(name));
    let ids: Vec<u32> = of.iter().filter(|one| is_match(one.name)).map(|one| one.id).collect();
    if ids.is_empty() {
        let message = format!("no app matches the pattern `{word}`");
        let hint = (!of.is_empty()).then(|| format!("the apps are {}", names(of)));
        return Err(RequestError { message, hint });
    }
    Ok(ids)
}

fn invalid_pattern(word: &str, why: &str) -> RequestError {
    RequestError {
        message: format!("`{word}` is not a valid pattern: {why}"),
        hint: Some(
            "a pattern is a regular expression without look-around and back-references, such as \
             '/^api-/'; quote it for the shell"
                .to_owned(),
        ),
    }
}

fn unknown(word: &str, of: &[Candidate<'_>]) -> RequestError {
    let refused = |hint: &str| RequestError {
        message: format!("no app, id or namespace `{word}`"),
        hint: Some(hint.to_owned()),
    };
    if word == "-" {
        return refused("an ecosystem file on stdin is for start, restart, reload, stop and delete");
    }
    if Path::new(word).is_absolute() {
        let message = format!("no app runs the script `{word}`");
        return RequestError { message, hint: Some(format!("`procrun start {word}` adds one")) };
    }
    if of.is_empty() {
        return RequestError { message: format!("no app matches `{word}`: the list is empty"), hint: None };
    }
    if word.parse::<u32>().is_ok() {
        let ids: Vec<u32> = of.iter().map(|one| one.id).collect();
        let message = format!("no app or id `{word}`");
        return RequestError { message, hint: Some(format!("the ids are {}", ranges(&ids))) };
    }
    let known = of.iter().map(|one| one.name).chain(of.iter().map(|one| one.namespace)).chain(["all"]);
    let hint = match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the apps are {}", names(of)),
    };
    RequestError { message: format!("no app, id or namespace `{word}`"), hint: Some(hint) }
}

/// The first names in the list.
fn names(of: &[Candidate<'_>]) -> String {
    const SHOWN: usize = 10;
    let mut names: Vec<&str> = Vec::new();
    for one in of {
        if !names.contains(&one.name) {
            names.push(one.name);
        }
    }
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
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
    use crate::spec::{Interpreter, Stdin};

    const fn one<'a>(id: u32, name: &'a str, namespace: &'a str) -> Candidate<'a> {
        Candidate { id, name, namespace, exec: None }
    }

    const LIST: [Candidate<'_>; 5] = [
        one(0, "api", "default"),
        one(1, "api", "default"),
        one(2, "worker", "jobs"),
        one(3, "1", "jobs"),
        one(7, "jobs", "x"),
    ];

    fn ids(words: &str) -> Result<Vec<u32>, RequestError> {
        select(&words.split(' ').collect::<Vec<_>>(), &LIST)
    }

    #[test]
    fn words_select_instances() {
        assert_eq!(ids("all"), Ok(vec![0, 1, 2, 3, 7]));
        assert_eq!(ids("api"), Ok(vec![0, 1]));
        assert_eq!(ids("2 api 0"), Ok(vec![0, 1, 2]));
        assert_eq!(ids("default"), Ok(vec![0, 1]));
        assert_eq!(ids("1"), Ok(vec![3]), "a name comes before an id");
        assert_eq!(ids("jobs"), Ok(vec![7]), "and before a namespace");
        assert_eq!(ids("/^(api|jobs)$/"), Ok(vec![0, 1, 7]));
        assert_eq!(ids("/R$/i 3"), Ok(vec![2, 3]));
        let named = [one(0, "/x/", "n")];
        assert_eq!(select(&["/x/"], &named), Ok(vec![0]), "a name comes before a pattern");
    }

    #[test]
    fn a_script_selects_every_app_that_runs_it() {
        let exec = |script: &str| Exec {
            script: script.to_owned(),
            args: Vec::new(),
            cwd: "/srv".into(),
            interpreter: Interpreter::Auto,
            interpreter_args: Vec::new(),
            source_maps: None,
            stdin: Stdin::Open,
        };
        let (relative, absolute, other) = (exec("./lib/../i"), exec("/srv/i"), exec("j"));
        let list = [
            Candidate { exec: Some(&relative), ..one(0, "api", "a") },
            Candidate { exec: Some(&absolute), ..one(1, "web", "b") },
            Candidate { exec: Some(&other), ..one(2, "j", "b") },
            Candidate { exec: Some(&other), ..one(3, "/srv/j", "b") },
        ];
        let ids = |word| select(&[word], &list);
        assert_eq!(ids("/srv/i"), Ok(vec![0, 1]), "and it is not a pattern");
        assert_eq!(ids("/srv/j"), Ok(vec![3]), "a name comes before a script");
        assert_eq!(ids("j"), Ok(vec![2]));
        assert!(ids("./i").is_err(), "relative paths need a base");
        let unknown = ids("/srv/k").unwrap_err();
        assert_eq!(unknown.message, "no app runs the script `/srv/k`");
        assert_eq!(unknown.hint.unwrap(), "`procrun start /srv/k` adds one");
        assert!(list[0].is_named_by("/srv/i") && list[0].is_named_by("0") && !list[0].is_named_by("a"));
    }

    #[test]
    fn an_unknown_word_selects_nothing_and_has_a_hint() {
        let hint = |words| ids(words).unwrap_err().hint.unwrap();
        assert_eq!(hint("api wroker"), "did you mean `worker`?");
        assert_eq!(hint("9"), "the ids are 0-3, 7");
        assert_eq!(hint("completely-else"), "the apps are `api`, `worker`, `1`, `jobs`");
        assert!(hint("-").contains("stdin"));
        assert_eq!(hint("/api-.*/"), "the apps are `api`, `worker`, `1`, `jobs`");
        assert_eq!(ids("/api-.*/").unwrap_err().message, "no app matches the pattern `/api-.*/`");
        assert!(ids("/^(?!api)/").unwrap_err().message.contains("look-around"));
        assert!(hint("/(/").contains("quote it for the shell"));
        assert!(ids("-1").is_err());
        assert!(select(&["all"], &[]).is_err());
    }
}
