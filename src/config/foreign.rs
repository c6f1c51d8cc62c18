//! Recognizes files of other tools that are given as the target by mistake, by their names or sections.

use std::path::Path;

use super::{
    file,
    problem::{EX_USAGE, Problem, Problems},
};

/// The kind of a file of another tool with this name, and the next step.
fn describe(target: &str) -> Option<(&'static str, &'static str)> {
    let name = Path::new(target).file_name()?.to_str()?;
    let is_yaml = Path::new(name).extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
    let is_compose = is_yaml && ["docker-compose.", "compose."].iter().any(|begin| name.starts_with(begin));
    Some(match name {
        _ if is_compose => (
            "a Compose file",
            "write an app for each service whose program is in this image: `command` is `script`, \
             `environment` is `env`; `procrun ecosystem` creates a file",
        ),
        "package.json" => (
            "an npm package file",
            "`procrun npm -- start` runs its start script; `procrun .` runs its main file where it is a directory",
        ),
        "Dockerfile" | "Containerfile" => ("a Dockerfile", "name the program that its CMD runs"),
        _ if name == "Procfile" || name.starts_with("Procfile.") => (
            "a Procfile",
            "write an app for each of its lines: what stands before the colon is `name`, the rest is `script`; \
             `procrun ecosystem` creates a file",
        ),
        _ if name.starts_with("supervisord.conf") || name == "supervisor.conf" => (
            "a supervisord configuration",
            "write an app for each `[program:NAME]`: `command` is `script`, `directory` is `cwd`, `numprocs` is \
             `instances`; `procrun ecosystem` creates a file",
        ),
        _ if Path::new(name).extension().is_some_and(|ending| ending == "service") => (
            "a systemd unit",
            "write an app for it: `ExecStart` is `script`, `WorkingDirectory` is `cwd`, `User` is `user`; \
             `procrun ecosystem` creates a file",
        ),
        _ => return None,
    })
}

/// The same for any file with the sections of supervisord.
fn describe_by_sections(path: &Path) -> Option<(&'static str, &'static str)> {
    path.extension().filter(|ending| *ending == "conf" || *ending == "ini")?;
    let text = file::read(path).ok()?;
    let is_section = |line: &str| line.starts_with("[program:") || line.trim_end() == "[supervisord]";
    if text.lines().any(is_section) { describe("supervisord.conf") } else { None }
}

/// The error for a target that is a file of another tool. `path` is its absolute path.
pub(super) fn refused(target: &str, path: &Path) -> Option<Problems> {
    let (what, hint) = describe(target).or_else(|| describe_by_sections(path))?;
    let problem = Problem::new(format!("`{target}` is {what}, not an ecosystem file"));
    Some(Problems::one(EX_USAGE, problem.hint(hint)))
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn files_of_other_tools_are_recognized_by_their_names() {
        for (target, what) in [
            ("Procfile", "a Procfile"),
            ("app/Procfile.dev", "a Procfile"),
            ("/etc/supervisor/supervisord.conf", "a supervisord configuration"),
            ("docker-compose.yml", "a Compose file"),
            ("compose.prod.yaml", "a Compose file"),
            ("web.service", "a systemd unit"),
            ("package.json", "an npm package file"),
        ] {
            assert_eq!(describe(target).map(|(what, _)| what), Some(what), "{target}");
        }
        for target in
            ["ecosystem.yml", "compose", "composer.yml", "procfile.js", "app.json", "web.service.js", ""]
        {
            assert_eq!(describe(target), None, "{target}");
        }
    }
}
