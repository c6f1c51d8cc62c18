//! Configuration → [`spec::Plan`](crate::spec::Plan), or errors with their place.
//!
//! ```text
//! TOML ─┐                                 flags ─┐
//! JSON ─┼─▶ tree (value + line, column) ─▶ drafts ─▶ plan + notices + the origin of each setting
//! YAML ─┤          one key table ────────────┘
//! JS ───┘ (JSON of a child that the supervisor runs)
//! ```
//!
//! A file may include others, each with a format of its own; their drafts are combined in one plan.
//!
//! This module reads files: it starts no process, opens no socket and changes nothing. To decide `exec_mode` it looks
//! up the program of an app. It collects all errors instead of stopping at the first.

mod apply;
mod arguments;
mod build;
mod build_context;
mod changes;
mod convert;
mod cron;
mod decode;
mod defaults;
mod deploy;
mod differences;
mod document;
mod dotenv;
mod draft;
mod effective;
mod env_file;
mod evaluate;
mod expand;
mod file;
mod files;
mod flags;
mod foreign;
mod health;
mod include;
mod json;
mod keys;
mod limits;
mod listen;
mod loaded;
mod log_paths;
mod mode;
mod notices;
mod order;
mod origin;
mod patch;
mod path;
mod plan;
mod problem;
mod read;
mod sites;
mod source;
mod suggest;
mod target;
#[cfg(test)]
mod tests;
mod toml;
mod tree;
mod value;
mod variables;
mod watching;
mod web;
mod write;
mod yaml;

pub use changes::{Changes, can_change};
pub use differences::{Difference, differences};
pub use env_file::{UnreadableEnvFile, variables as env_file_variables};
pub use evaluate::{Evaluation, EvaluationEnd};
pub use flags::{FlagValue, Flags};
pub use health::shown_checks;
pub use keys::{
    AppOption, OptionGroup, OptionValue, Sets, changed_keys, key_options, non_default_settings, schema,
};
pub use loaded::{Conversion, Loaded, UNANSWERED_HINT, Unanswered};
pub use origin::{AppSettings, Origin, Setting, is_secret};
pub use patch::Patch;
pub use path::resolve as resolve_path;
pub use problem::{EX_CONFIG, EX_IOERR, EX_USAGE, Problem, Problems};
pub use read::Read;
pub use source::{Invocation, Source};
pub use suggest::nearest;
pub use target::STDIN;
pub use tree::{Position, SourceLocation};
pub use variables::{WEB_TOKEN, known as known_variables};
