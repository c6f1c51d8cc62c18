//! Environment variables of a conversion: `env` and `env_<name>`, `deploy`, and the variables that a module set in
//! its `process.env`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    super::{
        apply, dotenv, file,
        origin::{self, AppSettings, Origin},
        tree::{Entry, Value},
        value::{self, Dialect},
        write,
    },
    app::{App, variable_line},
    converter::Converter,
};

/// The file `.env` that `require('dotenv').config()` has read, if the module changed its `process.env` in no other
/// way.
pub(super) fn dotenv_behind(process_env: &[(String, String)], cwd: &Path) -> Option<PathBuf> {
    if process_env.is_empty() {
        return None;
    }
    let path = cwd.join(".env");
    let (variables, _) = dotenv::parse(&file::read(&path).ok()?);
    let of_file_variables: BTreeMap<_, _> =
        variables.into_iter().map(|variable| (variable.name, variable.value)).collect();
    let set: BTreeMap<_, _> = process_env.iter().cloned().collect();
    (of_file_variables == set).then_some(path)
}

impl Converter<'_> {
    /// `env` or `env_<name>`: a table with each variable as the string that PM2 passes.
    pub(super) fn variables(&mut self, entry: &Entry, inside: &str, app: &mut App) {
        let Some(entries) = entry.node.entries() else {
            if !value::is_unset(&entry.node, Dialect::Pm2) {
                self.left_out(entry, inside, &format!("it {}", apply::NO_VARIABLE));
            }
            return;
        };
        let Ok(variables) = value::environment(&entry.node) else { return };
        let lines = entries.iter().zip(variables).map(|(entry, value::Variable { name, value, .. })| {
            match &entry.node.value {
                Value::Bool(_) | Value::Integer(_) => variable_line(&name, &value),
                _ if self.is_evaluated() => self.evaluated(&name, &value, &mut app.secrets),
                _ => variable_line(&name, &write::quoted(&value)),
            }
        });
        let lines = lines.collect();
        app.sections.push((entry.key.clone(), lines));
    }

    /// The variables of `deploy.<name>.env`, which `env_<name>` extends.
    pub(super) fn deploy_variables(&self, name: &str, variables: &[Entry], app: &mut App) {
        let key = format!("env_{name}");
        let own = app.sections.iter().position(|(section, _)| *section == key);
        let is_said = |name: &str| {
            let begin = format!("{} = ", write::key(name));
            own.is_some_and(|own| app.sections[own].1.iter().any(|line| line.starts_with(&begin)))
        };
        let mut lines = Vec::new();
        for Entry { key: name, node, .. } in variables.iter().filter(|entry| !is_said(&entry.key)) {
            let Some(value) = value::scalar_text(node) else { continue };
            lines.push(if self.is_evaluated() {
                self.evaluated(name, &value, &mut app.secrets)
            } else {
                variable_line(name, &write::quoted(&value))
            });
        }
        match own {
            Some(own) => drop(app.sections[own].1.splice(0..0, lines)),
            None => app.sections.push((key, lines)),
        }
    }

    /// A variable of a module. If it looks like a secret and the caller's environment has the same value, the file
    /// refers to the environment. Otherwise the value is in the file.
    fn evaluated(&self, name: &str, value: &str, secrets: &mut Vec<String>) -> String {
        if origin::is_secret(name, value) {
            let of_caller = self.source.0.environment.get(OsStr::new(name));
            let nameable = !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            if nameable && of_caller.is_some_and(|of_caller| of_caller == value) {
                return variable_line(name, &format!("\"${{{name}}}\""));
            }
            secrets.push(name.to_owned());
        }
        variable_line(name, &write::quoted(value))
    }

    /// The variables that the file set in its `process.env`, as far as this app gets them.
    pub(super) fn own_variables(&mut self, app: &mut App, settings: &AppSettings) {
        if self.process_env.is_empty() {
            return;
        }
        let of_file = "`process.env`";
        if let Some(dotenv) = &self.dotenv {
            let file = dotenv.display();
            self.notes.once(of_file, || {
                format!("{}: all variables that it sets in {of_file} are in {file}: `env_file` now names that file", self.file)
            });
            return;
        }
        let evaluated =
            settings.settings.iter().filter(|setting| matches!(setting.origin, Origin::Evaluated(_)));
        let lines: Vec<String> = evaluated
            .filter_map(|setting| {
                let name = setting.key.strip_prefix("env.")?;
                Some(self.evaluated(name, &setting.value, &mut app.secrets))
            })
            .collect();
        if lines.is_empty() {
            return;
        }
        self.notes.once(of_file, || {
            format!("{}: the variables that it sets in {of_file} are now in `env`", self.file)
        });
        if let Some((_, own)) = app.sections.iter_mut().find(|(key, _)| key == "env") {
            own.splice(0..0, lines);
        } else {
            app.sections.insert(0, ("env".to_owned(), lines));
        }
    }
}
