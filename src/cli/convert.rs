//! `procrun convert`: writes a PM2 ecosystem file as TOML.
//!
//! `config` converts. This module finds the file and writes the result.

use std::{
    ffi::OsString,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{commands::ParsedArgs, create::create, failure::Failure, file::say_notices, say};
use crate::{
    config::{Flags, Invocation, Source},
    shown::printable_lines,
    spec::ExitCode,
    supervisor,
    sys::directory,
};

pub(super) fn convert(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let from = Path::new(&typed.words[0]);
    let to_stdout = typed.value("output") == Some("-");
    let to = match typed.value("output") {
        Some("-") => PathBuf::from("ecosystem.toml"),
        Some(file) => PathBuf::from(file),
        None => from.with_file_name("ecosystem.toml"),
    };
    let cwd = directory::working()
        .map_err(|error| Failure::not_done(format!("cannot find the working directory: {error}")))?;
    let invocation = Invocation {
        target: OsString::from(from),
        flags: Flags::default(),
        args: None,
        environment: std::env::vars_os().collect(),
        cwd,
        // Some modules read `process.argv`: they see the same values as in a run.
        command_line: ["procrun".into(), from.into()].into(),
    };
    let loaded = Source::to_convert(invocation, &to).and_then(|source| supervisor::evaluate(&source));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => {
            // Not all of `Problems`: it ends with the news that nothing was started.
            for problem in problems.iter() {
                let _ = writeln!(std::io::stderr(), "error: {}", printable_lines(&problem.to_string()));
            }
            return Ok(problems.exit_code());
        }
    };
    let conversion = loaded.conversion.expect("it was asked for");
    if to_stdout {
        say(&conversion.text);
    } else {
        // What others may not read in the one they shall not read in the other.
        let mode = std::fs::metadata(from).map_or(0o600, |metadata| metadata.permissions().mode() & 0o666);
        create(&to, &conversion.text, mode, "`-o FILE` writes to another file, `-o -` to stdout")?;
        let (to, apps) = (to.display(), loaded.plan.apps.len());
        let apps = if apps == 1 { "1 app".to_owned() } else { format!("{apps} apps") };
        say(&format!("wrote {to}: {apps} of {}\n", from.display()));
        say(&format!("check it with `procrun check {to}`, run it with `procrun {to}`\n"));
    }
    say_notices(&conversion.notes);
    Ok(0)
}
