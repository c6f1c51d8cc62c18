//! The origins of settings, and the effective settings as `check` prints them.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

use super::tree::{ExpandedVariable, Node, Position, SourceLocation};

/// The origin of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The key is not set.
    Default,
    /// The file sets it.
    File(SourceLocation),
    /// The file sets it, with these environment variables.
    Expanded(SourceLocation, Vec<ExpandedVariable>),
    /// The `env_file` sets it.
    EnvFile(SourceLocation),
    /// The file has set it in its `process.env` while it was evaluated.
    Evaluated(SourceLocation),
    /// This flag sets it.
    Flag(&'static str),
    /// It follows from this key.
    Derived(&'static str),
    /// This environment variable of procrun sets it.
    Environment(Cow<'static, str>),
}

impl Origin {
    /// The origin of the value of a node in this file.
    pub(super) fn of_node(node: &Node, file: &Arc<str>) -> Self {
        let place = SourceLocation { file: file.clone(), position: node.at };
        if node.expanded.is_empty() {
            Self::File(place)
        } else {
            let unique: BTreeSet<&ExpandedVariable> = node.expanded.iter().collect();
            Self::Expanded(place, unique.into_iter().cloned().collect())
        }
    }

    /// The place in a file.
    pub(super) fn place(&self) -> Option<&SourceLocation> {
        match self {
            Self::File(place) | Self::Expanded(place, _) | Self::EnvFile(place) => Some(place),
            Self::Default | Self::Evaluated(_) | Self::Flag(_) | Self::Derived(_) | Self::Environment(_) => {
                None
            }
        }
    }

    /// The line and column.
    pub(super) fn position(&self) -> Option<Position> {
        self.place().and_then(|place| place.position)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) | Self::EnvFile(place) => place.fmt(f),
            Self::Expanded(place, variables) => {
                place.fmt(f)?;
                f.write_str(" with ")?;
                for (number, variable) in variables.iter().enumerate() {
                    write!(f, "{}{variable}", if number == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Evaluated(place) => write!(f, "process.env of {place}"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Derived(key) => write!(f, "from `{key}`"),
            Self::Environment(variable) => write!(f, "environment ${variable}"),
        }
    }
}

/// An environment variable and its origin.
#[derive(Debug, Clone)]
pub(super) struct EnvVar {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// One effective setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, or `env.NAME` for a variable.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// The origin of the value.
    pub origin: Origin,
}

/// The effective settings of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// The name of the application.
    pub name: String,
    /// In the order of the key table, variables last.
    pub settings: Vec<Setting>,
}

impl AppSettings {
    /// Replaces the value of this key; `None` removes the key.
    pub(super) fn update(&mut self, key: &str, value: Option<String>) {
        match (self.settings.iter().position(|setting| setting.key == key), value) {
            (Some(at), Some(value)) => self.settings[at].value = value,
            (Some(at), None) => drop(self.settings.remove(at)),
            (None, _) => {}
        }
    }

    /// The place in a file where this key is set.
    pub(super) fn place_of(&self, key: &str) -> Option<SourceLocation> {
        let setting = self.settings.iter().find(|setting| setting.key == key)?;
        setting.origin.place().cloned()
    }
}

impl Setting {
    /// Whether this is a variable that is likely to be a secret.
    pub fn is_secret(&self) -> bool {
        self.key.strip_prefix("env.").is_some_and(|name| is_secret(name, &self.value))
    }
}

/// Whether a variable is likely to be a secret, by its name or the form of its value.
pub fn is_secret(name: &str, value: &str) -> bool {
    const MARKS: [&str; 11] = [
        "KEY",
        "TOKEN",
        "SECRET",
        "PASSW",
        "PASSPHRASE",
        "CREDENTIAL",
        "PRIVATE",
        "AUTH",
        "COOKIE",
        "DSN",
        "_PWD",
    ];
    let name = name.to_ascii_uppercase();
    MARKS.iter().any(|mark| name.contains(mark))
        || name.ends_with("PASS")
        || carries_password(value)
        || is_token(value)
}

/// The form of a token of GitHub, GitLab, Slack, Stripe or AWS, a JSON Web Token, or a private key.
fn is_token(value: &str) -> bool {
    const BEGINNINGS: [&str; 13] = [
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "AKIA",
        "eyJ",
        "-----BEGIN",
    ];
    BEGINNINGS.iter().any(|beginning| value.starts_with(beginning))
}

/// `postgres://user:password@host/…`
fn carries_password(value: &str) -> bool {
    value
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next())
        .and_then(|authority| authority.rsplit_once('@'))
        .is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognized_by_its_prefix() {
        assert!(is_secret("GITHUB_PAT", "ghp_abc"));
        assert!(is_secret("STRIPE_SK", "sk_live_zzz"));
        assert!(!is_secret("PLAIN", "the eyJ"));
    }

    #[test]
    fn secrets_are_recognized_by_name_or_form() {
        let secret = |name: &str, value: &str| {
            Setting { key: format!("env.{name}"), value: value.into(), origin: Origin::Default }.is_secret()
        };
        for name in ["API_KEY", "token", "DB_PASSWORD", "MYSQL_PASS", "ClientSecret"] {
            assert!(secret(name, "x"), "{name}");
        }
        assert!(secret("DATABASE_URL", "postgres://me:hunter2@db/x"));
        assert!(!secret("DATABASE_URL", "postgres://db/x"));
        assert!(!secret("PORT", "80"));
        assert!(!secret("PWD", "/srv"));
    }
}
