//! `procrun check`: the effective configuration, and the origin of each value.

use std::fmt::{self, Write as _};

use crate::{
    cli::{
        command::{AppOptions, Argument, Command, Group, Occurs, Run, TargetVerb},
        output::{print, print_notices},
    },
    config::{Loaded, Problems, Setting, Source},
    shown, supervisor,
};

pub(super) static CHECK: Command = Command {
    words: &["check"],
    group: Group::Foreground,
    arguments: &[Argument::new("TARGET", Occurs::Once)],
    app_options: AppOptions::All,
    summary: "Show the effective configuration",
    description: "Read an ecosystem file, script or program, check it, and print the effective\n\
                  configuration of each app: key, value, and the origin of the value. Nothing is\n\
                  started. Each error names its line and column.",
    examples: &[
        ("procrun check ecosystem.toml", "the configuration of a file"),
        ("procrun check app.js -i max", "what these options mean"),
    ],
    run: Run::Target(TargetVerb::Check),
    ..Command::DEFAULT
};

/// Checks the source and prints its settings.
///
/// # Errors
/// All errors of the source.
pub(in crate::cli) fn check(source: &Source) -> Result<u8, Problems> {
    let loaded = supervisor::evaluate(source)?;
    let mut text = String::new();
    write(&mut text, source.name(), &loaded).expect("writing to a String cannot fail");
    print_notices(&loaded.notices);
    Ok(print(&text))
}

fn write(text: &mut String, name: &str, loaded: &Loaded) -> fmt::Result {
    let apps = loaded.plan.apps.len();
    writeln!(text, "{}: {apps} {}", printable(name), if apps == 1 { "app" } else { "apps" })?;
    section(text, "procrun", &loaded.runtime_settings)?;
    for app in &loaded.settings {
        section(text, &format!("app {}", printable(&app.name)), &app.settings)?;
    }
    Ok(())
}

/// A heading and a table of key, value and origin.
fn section(text: &mut String, heading: &str, settings: &[Setting]) -> fmt::Result {
    const MAX_COLUMN_WIDTH: usize = 40;
    let value = |setting: &Setting| {
        if setting.is_secret() { "********".to_owned() } else { printable(&setting.value) }
    };
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0).min(MAX_COLUMN_WIDTH);
    let keys = width(&mut settings.iter().map(|setting| shown::width(&setting.key)));
    let values = width(&mut settings.iter().map(|setting| shown::width(&value(setting))));
    writeln!(text, "\n{heading}")?;
    for setting in settings {
        let key = shown::padded(shown::printable(&setting.key), keys);
        let value = shown::padded(value(setting).into(), values);
        writeln!(text, "  {key}  {value}  # {}", shown::printable(&setting.origin.to_string()))?;
    }
    Ok(())
}

/// On one line, with escaped control characters.
fn printable(value: &str) -> String {
    if value.is_empty() {
        return "\"\"".to_owned();
    }
    shown::printable(value).into_owned()
}
