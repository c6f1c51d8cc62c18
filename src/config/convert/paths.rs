//! Paths relative to the TOML file. It may be in another directory than the original file, and relative paths in TOML
//! are relative to the file.

use std::path::{Component, Path, PathBuf};

use super::{
    super::{
        path::{expand_home, resolve},
        write,
    },
    app::App,
    converter::Converter,
};

impl Converter<'_> {
    /// The path, relative to `base`, as a TOML string relative to the new file. `None`: the path is absolute.
    pub(super) fn rewritten(&self, path: &str, base: &Path) -> Option<String> {
        let path = expand_home(path, &self.source.0.environment);
        (!path.is_absolute()).then(|| write::quoted(&relative_path(self.to, &resolve(base, &path))))
    }

    /// Sets `cwd` relative to the new file. In TOML it is relative to the file, in PM2's formats to the caller's
    /// directory.
    pub(super) fn rewrite_cwd(&self, app: &mut App) {
        let inner = &self.source.0;
        if self.to != inner.cwd {
            let cwd = app.draft.cwd.clone().unwrap_or_default();
            if let Some(cwd) = self.rewritten(&cwd, &inner.cwd) {
                app.set("cwd", &cwd);
            }
        }
    }

    /// Sets the paths of `env_file` relative to the new file.
    pub(super) fn rewrite_env_files(&self, app: &mut App) {
        let inner = &self.source.0;
        let from = inner.target.file_dir(&inner.cwd);
        let mut files: Vec<String> = app
            .draft
            .env_files
            .iter()
            .map(|file| {
                let rewritten = self.rewritten(&file.path, from).filter(|_| self.to != from);
                let path = rewritten.unwrap_or_else(|| write::quoted(&file.path));
                // A missing file is an error in TOML only.
                let absolute = resolve(from, &expand_home(&file.path, &inner.environment));
                let is_optional = !file.required || !self.loaded.files_read.contains(&absolute);
                if is_optional { format!("{{ path = {path}, required = false }}") } else { path }
            })
            .collect();
        let before = files.len();
        let is_any_optional = files.iter().any(|file| file.starts_with('{'));
        if let Some(dotenv) = &self.dotenv {
            files.insert(0, write::quoted(&relative_path(self.to, dotenv)));
        }
        let one = files.len() == 1;
        if self.to != from || files.len() != before || is_any_optional {
            match files.pop() {
                None => {}
                Some(file) if one => app.set("env_file", &file),
                Some(file) => {
                    files.push(file);
                    app.set("env_file", &format!("[{}]", files.join(", ")));
                }
            }
        }
    }
}

/// `path` relative to `dir`; both are absolute and without `..`.
pub(super) fn relative_path(dir: &Path, path: &Path) -> String {
    let (mut dir, mut path) = (dir.components().peekable(), path.components().peekable());
    while dir.peek().is_some() && dir.peek() == path.peek() {
        dir.next();
        path.next();
    }
    let up = dir.map(|_| Component::ParentDir);
    let seen: PathBuf = up.chain(path).collect();
    if seen.as_os_str().is_empty() { ".".to_owned() } else { seen.to_string_lossy().into_owned() }
}
