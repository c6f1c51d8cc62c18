//! Files of other tools that are given as the target by mistake, known by their names.

use std::path::Path;

use super::{EX_USAGE, Problem, Problems};

/// What a file of this name is, and what to do with it here.
fn described(target: &str) -> Option<(&'static str, &'static str)> {
    let name = Path::new(target).file_name()?.to_str()?;
    let is_yaml = Path::new(name).extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
    let is_compose = is_yaml && ["docker-compose.", "compose."].iter().any(|begin| name.starts_with(begin));
    Some(match name {
        _ if is_compose => (
            "a Compose file",
            "write an app for each service whose program is in this image: `command` is `script`, \
             `environment` is `env`; `procrun ecosystem` writes a file to begin with",
        ),
        "package.json" => (
            "a package of npm",
            "`procrun npm -- start` runs its start script; `procrun .` runs its main file where it is a directory",
        ),
        "Dockerfile" | "Containerfile" => ("a recipe for an image", "name what its CMD runs"),
        _ if name == "Procfile" || name.starts_with("Procfile.") => (
            "a Procfile",
            "write an app for each of its lines: what stands before the colon is `name`, the rest is `script`; \
             `procrun ecosystem` writes a file to begin with",
        ),
        _ if name.starts_with("supervisord.conf") || name == "supervisor.conf" => (
            "a configuration of supervisord",
            "write an app for each `[program:NAME]`: `command` is `script`, `directory` is `cwd`, `numprocs` is \
             `instances`; `procrun ecosystem` writes a file to begin with",
        ),
        _ if Path::new(name).extension().is_some_and(|ending| ending == "service") => (
            "a unit of systemd",
            "write an app for it: `ExecStart` is `script`, `WorkingDirectory` is `cwd`, `User` is `user`; \
             `procrun ecosystem` writes a file to begin with",
        ),
        _ => return None,
    })
}

/// The error for a target that is a file of another tool.
pub(super) fn refused(target: &str) -> Option<Problems> {
    let (what, hint) = described(target)?;
    let problem = Problem::new(format!("`{target}` is {what}, not an ecosystem file"));
    Some(Problems::one(EX_USAGE, problem.hint(hint)))
}

#[cfg(test)]
mod tests {
    use super::described;

    #[test]
    fn files_of_other_tools_are_known_by_their_names() {
        for (target, what) in [
            ("Procfile", "a Procfile"),
            ("app/Procfile.dev", "a Procfile"),
            ("/etc/supervisor/supervisord.conf", "a configuration of supervisord"),
            ("docker-compose.yml", "a Compose file"),
            ("compose.prod.yaml", "a Compose file"),
            ("web.service", "a unit of systemd"),
            ("package.json", "a package of npm"),
        ] {
            assert_eq!(described(target).map(|(what, _)| what), Some(what), "{target}");
        }
        for target in
            ["ecosystem.yml", "compose", "composer.yml", "procfile.js", "app.json", "web.service.js", ""]
        {
            assert_eq!(described(target), None, "{target}");
        }
    }
}
