//! The key table: every key of an ecosystem file, one row each. A row has the names of the key, its documentation,
//! how its value is decoded and shown, and what a change of it does. `check`, `describe`, the reference pages and
//! the JSON Schema are made from it.
//!
//! It decodes no value itself: `apply` does, by the kind of the key.

mod app;
mod kind;
mod option;
mod part;
pub(super) mod patches;
#[cfg(test)]
mod reference;
mod root;
mod schema;
mod settings;
mod show;
#[cfg(test)]
mod tests;

pub(super) use self::{
    app::APP_KEYS,
    kind::{Choice, Kind, OutOfRange, ZeroMeans},
    part::{KeyPatch, Part},
    root::{APPS, CWD, DEFAULTS, INCLUDE, RUNTIME_KEYS, STATIC, TIME_FORMAT, file_keys},
    settings::INSTANCE_VAR,
    show::readable,
};
pub use self::{
    option::{AppOption, OptionGroup, OptionValue, Sets},
    schema::schema,
    settings::{changed_keys, non_default_settings},
};

/// One key of an application (`D` is [`Draft`](super::draft::Draft)) or of procrun itself
/// ([`RuntimeDraft`](super::draft::RuntimeDraft)).
pub(super) struct Key<D: 'static, S: 'static> {
    /// Its name in snake_case. camelCase is accepted too.
    pub(super) name: &'static str,
    /// PM2's other names for it, in the order in which PM2 reads them.
    pub(super) aliases: &'static [&'static str],
    /// What it does, in Markdown: a cell of the reference page.
    pub(super) meaning: &'static str,
    /// The value that applies without the key, in Markdown.
    pub(super) default: &'static str,
    /// A value other than the default, in TOML.
    pub(super) example: &'static str,
    /// The type of its value, and where the value goes.
    pub(super) kind: Kind<D>,
    /// The value in a finished spec; `None`: there is nothing to show.
    pub(super) show: fn(&S) -> Option<String>,
    /// The options of the command line that set it.
    pub(super) options: &'static [AppOption<Sets>],
    /// The part of the spec that it sets; `None`: it is another form of another key, or has no effect.
    pub(super) part: Option<Part<S>>,
    /// The tool that defines the key.
    pub(super) owner: Owner,
    /// What a change of its value does to running processes.
    pub(super) change: Change,
    /// How `restart` and `reload` change it in an existing application.
    pub(super) patch: KeyPatch<S>,
}

/// The tool that defines a key. In PM2's formats a value that procrun cannot read is an error only where PM2
/// reads the key too: another tool may have written a key of the same name with another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// PM2's schema has it, by this name or an alias.
    Pm2,
    /// PM2 ignores it.
    Procrun,
}

/// What a change of a value in the file does to the processes of an application. The machine decides it by
/// [`same_but_instances`](crate::spec::diff::same_but_instances); a test compares the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// They are replaced.
    Restart,
    /// They keep running.
    Live,
}

/// Keys about one subject.
pub(super) struct Section<D: 'static, S: 'static> {
    /// Its heading on the reference page.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the reference page shows it"))]
    pub(super) heading: &'static str,
    /// In the order in which they are shown.
    pub(super) keys: &'static [Key<D, S>],
}

impl<D, S> Key<D, S> {
    /// The position of a word among the names of the key: PM2 reads them in this order.
    pub(super) fn rank(&self, word: &str) -> usize {
        match self.aliases.iter().position(|alias| *alias == word) {
            _ if word == self.name => 0,
            Some(alias) => 1 + alias,
            None => usize::MAX,
        }
    }

    /// Whether `restart` and `reload` can change it.
    pub(super) fn can_be_patched(&self) -> bool {
        match &self.patch {
            KeyPatch::None => false,
            KeyPatch::Copy | KeyPatch::With(_) => true,
        }
    }

    /// Changes an existing application to the value that another one has. `None`: the key cannot be changed.
    pub(super) fn apply_patch(&self, from: &S, to: &mut S) -> Option<Result<(), String>> {
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
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<D, S> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// All keys, in the order in which they are shown.
pub(super) fn all<D, S>(table: &'static [Section<D, S>]) -> impl Iterator<Item = &'static Key<D, S>> {
    table.iter().flat_map(|section| section.keys)
}

/// The options that set keys, each with the name of its key: those of apps, then those of procrun itself.
pub fn key_options() -> impl Iterator<Item = (&'static str, &'static AppOption<Sets>)> {
    let of_apps = all(APP_KEYS).map(|key| (key.name, key.options));
    let of_procrun = all(RUNTIME_KEYS).map(|key| (key.name, key.options));
    of_apps.chain(of_procrun).flat_map(|(name, options)| options.iter().map(move |option| (name, option)))
}

/// The key with this name, alias, or camelCase form of one of them.
pub(super) fn find<D, S>(table: &'static [Section<D, S>], word: &str) -> Option<&'static Key<D, S>> {
    let means = |name: &str| name == word || is_camel_case(name, word);
    all(table).find(|key| means(key.name) || key.aliases.iter().any(|alias| means(alias)))
}

/// All words that [`find`] knows, without the camelCase forms.
pub(super) fn words<D, S>(table: &'static [Section<D, S>]) -> impl Iterator<Item = &'static str> {
    all(table).flat_map(Key::names)
}

pub(super) fn is_camel_case(snake: &str, word: &str) -> bool {
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
