//! The row of a key, and look-ups in tables of rows.

use super::{
    kind::Kind,
    option::{AppOption, Sets},
    part::{KeyPatch, Part},
};

/// One key of an application (`D` is [`Draft`](crate::config::draft::Draft)) or of procrun itself
/// ([`RuntimeDraft`](crate::config::draft::RuntimeDraft)).
pub(in crate::config) struct Key<D: 'static, S: 'static> {
    /// Its name in snake_case. camelCase is accepted too.
    pub(in crate::config) name: &'static str,
    /// PM2's other names for it, in the order in which PM2 reads them.
    pub(in crate::config) aliases: &'static [&'static str],
    /// What it does, in Markdown: a cell of the reference page.
    pub(in crate::config) meaning: &'static str,
    /// The value that applies without the key, in Markdown.
    pub(in crate::config) default: &'static str,
    /// A value other than the default, in TOML.
    pub(in crate::config) example: &'static str,
    /// The type of its value, and where the value goes.
    pub(in crate::config) kind: Kind<D>,
    /// The value in a finished spec; `None`: there is nothing to show.
    pub(in crate::config) show: fn(&S) -> Option<String>,
    /// The options of the command line that set it.
    pub(in crate::config) options: &'static [AppOption<Sets>],
    /// The part of the spec that it sets; `None`: it is another form of another key, or has no effect.
    pub(in crate::config) part: Option<Part<S>>,
    /// The tool that defines the key.
    pub(in crate::config) owner: Owner,
    /// What a change of its value does to running processes.
    pub(in crate::config) change: Change,
    /// How `restart` and `reload` change it in an existing application.
    pub(in crate::config) patch: KeyPatch<S>,
}

/// The tool that defines a key. In PM2's formats a value that procrun cannot read is an error only where PM2
/// reads the key too: another tool may have written a key of the same name with another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Owner {
    /// PM2's schema has it, by this name or an alias.
    Pm2,
    /// PM2 ignores it.
    Procrun,
}

/// What a change of a value in the file does to the processes of an application. The machine decides it by
/// [`same_but_instances`](crate::spec::diff::same_but_instances); a test compares the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Change {
    /// They are replaced.
    Restart,
    /// They keep running.
    Live,
}

/// Keys about one subject.
pub(in crate::config) struct Section<D: 'static, S: 'static> {
    /// Its heading on the reference page.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the reference page shows it"))]
    pub(in crate::config) heading: &'static str,
    /// In the order in which they are shown.
    pub(in crate::config) keys: &'static [Key<D, S>],
}

impl<D, S> Key<D, S> {
    /// The position of a word among the names of the key: PM2 reads them in this order.
    pub(in crate::config) fn rank(&self, word: &str) -> usize {
        match self.aliases.iter().position(|alias| *alias == word) {
            _ if word == self.name => 0,
            Some(alias) => 1 + alias,
            None => usize::MAX,
        }
    }

    /// Whether `restart` and `reload` can change it.
    pub(in crate::config) fn can_be_patched(&self) -> bool {
        match &self.patch {
            KeyPatch::None => false,
            KeyPatch::Copy | KeyPatch::With(_) => true,
        }
    }

    /// Changes an existing application to the value that another one has. `None`: the key cannot be changed.
    pub(in crate::config) fn apply_patch(&self, from: &S, to: &mut S) -> Option<Result<(), String>> {
        match &self.patch {
            KeyPatch::None => None,
            KeyPatch::Copy => self.part.as_ref().map(|part| {
                (part.copy)(from, to);
                Ok(())
            }),
            KeyPatch::With(patch) => Some(patch(from, to)),
        }
    }

    /// Its name and its aliases.
    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &'static str> + use<D, S> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// All keys, in the order in which they are shown.
pub(in crate::config) fn all<D, S>(
    table: &'static [Section<D, S>],
) -> impl Iterator<Item = &'static Key<D, S>> {
    table.iter().flat_map(|section| section.keys)
}

/// The key with this name, alias, or camelCase form of one of them.
pub(in crate::config) fn find<D, S>(
    table: &'static [Section<D, S>],
    word: &str,
) -> Option<&'static Key<D, S>> {
    let means = |name: &str| name == word || is_camel_case(name, word);
    all(table).find(|key| means(key.name) || key.aliases.iter().any(|alias| means(alias)))
}

/// All words that [`find`] knows, without the camelCase forms.
pub(in crate::config) fn words<D, S>(table: &'static [Section<D, S>]) -> impl Iterator<Item = &'static str> {
    all(table).flat_map(Key::names)
}

pub(in crate::config) fn is_camel_case(snake: &str, word: &str) -> bool {
    let mut word = word.chars();
    let mut upper = false;
    for c in snake.chars() {
        if c == '_' {
            upper = true;
        } else if word.next() != Some(if std::mem::take(&mut upper) { c.to_ascii_uppercase() } else { c }) {
            return false;
        }
    }
    word.next().is_none()
}
