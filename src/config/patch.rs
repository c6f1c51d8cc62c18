//! The change of an existing application by `restart` and `reload`: some keys of one spec, applied to another.
//!
//! The key table has which keys can be changed, and how.

use serde::{Deserialize, Serialize};

use super::keys::{APP_KEYS, find, patches};
use crate::spec::AppSpec;

/// The change of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The keys to change, by their names in the key table.
    pub keys: Vec<String>,
    /// A spec with the values of these keys; its other values have no meaning.
    pub from: Box<AppSpec>,
}

/// The pseudo-key that replaces `watch` to toggle it.
const TOGGLE_WATCH: &str = "toggle watch";

impl Patch {
    /// The new name of the application, if the patch has one.
    pub fn name(&self) -> Option<&str> {
        self.keys.iter().any(|key| key == "name").then_some(&*self.from.name)
    }

    /// Makes `--watch` without a path toggle: it ends the watching of an application that watches, as in PM2.
    pub fn toggle_watch(&mut self) {
        for key in self.keys.iter_mut().filter(|key| *key == "watch") {
            TOGGLE_WATCH.clone_into(key);
        }
    }

    /// Whether the patch sets the number of instances.
    pub fn sets_instances(&self) -> bool {
        self.keys.iter().any(|key| key == "instances")
    }

    /// Applies all keys to an application.
    ///
    /// # Errors
    ///
    /// A key that cannot be applied to it, as a message.
    pub fn apply(&self, to: &mut AppSpec) -> Result<(), String> {
        for key in &self.keys {
            let patched = if key == TOGGLE_WATCH {
                Some(toggle_watch(&self.from, to))
            } else {
                find(APP_KEYS, key).and_then(|known| known.apply_patch(&self.from, to))
            };
            patched.unwrap_or_else(|| Err(format!("`{key}` cannot be changed")))?;
        }
        Ok(())
    }
}

fn toggle_watch(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    if to.watch.take().is_some() { Ok(()) } else { patches::watch(from, to) }
}
