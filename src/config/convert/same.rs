//! Checks that the generated TOML has the same meaning as its source.

use std::{path::Path, sync::Arc};

use super::super::{
    document::Parsed,
    loaded::Loaded,
    origin::{AppSettings, Setting},
    problem::{EX_CONFIG, Problem, Problems},
    source::{Inner, Source},
    target::{Format, Target},
};

/// Loads the text as the file `to` and compares the plans.
pub(super) fn same_meaning(source: &Source, text: &str, to: &Path, loaded: &Loaded) -> Result<(), Problems> {
    let inner = &source.0;
    let again = Source(Arc::new(Inner {
        target: Target::File { path: to.to_owned(), format: Format::Toml },
        name: to.file_name().unwrap_or(to.as_os_str()).to_string_lossy().into_owned(),
        flags: inner.flags.clone(),
        args: None,
        environment: inner.environment.clone(),
        cwd: inner.cwd.clone(),
        command_line: Vec::new(),
        converts_to: None,
    }));
    let Parsed { root, problems, warnings: _ } = again.parse(text, Format::Toml)?;
    let reread = again.load_tree(&root, Format::Toml, &[], problems)?;
    if reread.plan == loaded.plan {
        return Ok(());
    }
    let message = match difference(loaded, &reread) {
        Some(what) => format!("the TOML file would have another meaning: {what}"),
        None => "the TOML file would have another meaning".to_owned(),
    };
    let hint = "this is a bug in procrun; the original file still works";
    Err(Problems::one(EX_CONFIG, Problem::new(message).hint(hint)))
}

fn difference(was: &Loaded, is: &Loaded) -> Option<String> {
    let values = |settings: &[Setting]| -> Vec<(String, String)> {
        settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
    };
    let name = |app: &AppSettings| format!(" of app `{}`", app.name);
    let was = [(String::new(), values(&was.runtime_settings))]
        .into_iter()
        .chain(was.settings.iter().map(|app| (name(app), values(&app.settings))));
    let is: Vec<_> = [values(&is.runtime_settings)]
        .into_iter()
        .chain(is.settings.iter().map(|app| values(&app.settings)))
        .collect();
    was.zip(is).find_map(|((whose, was), is)| {
        let missing = was.iter().find(|setting| !is.contains(setting));
        let more = is.iter().find(|setting| !was.contains(setting));
        missing.or(more).map(|(key, _)| format!("`{key}`{whose}"))
    })
}
