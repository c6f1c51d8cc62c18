//! `procrun convert`: writes a PM2 ecosystem file as TOML.
//!
//! `config` converts. This module finds the file and writes the result.

use std::{
    ffi::OsString,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    cli::{
        command::{Argument, Command, Occurs, OptionSpec, Run},
        create::create,
        failure::Failure,
        output::{print, print_notices},
        parsed_args::ParsedArgs,
        source_file,
        update_apps::refused,
    },
    config::{Flags, Invocation, Source},
    spec::ExitCode,
    supervisor,
};

pub(super) static CONVERT: Command = Command {
    words: &["convert"],
    arguments: &[Argument::new("FILE", Occurs::Once)],
    options: &[OptionSpec::with_value("output", "FILE|-", "Write to FILE, or to stdout").short('o')],
    summary: "Convert a PM2 ecosystem file to TOML",
    description: "Write ecosystem.toml beside an ecosystem file in another format, with the same\n\
                  keys and the same meaning. The output names what was not converted. An existing\n\
                  file is not changed.",
    examples: &[
        ("procrun convert ecosystem.config.js", "ecosystem.toml with the same meaning"),
        ("procrun convert ecosystem.config.js -o -", "to stdout"),
    ],
    run: Run::Function(convert),
    ..Command::DEFAULT
};

fn convert(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let from = Path::new(&args.words[0]);
    let to_stdout = args.value("output") == Some("-");
    let to = match args.value("output") {
        Some("-") => PathBuf::from("ecosystem.toml"),
        Some(file) => PathBuf::from(file),
        None => from.with_file_name("ecosystem.toml"),
    };
    let invocation = Invocation {
        // Some modules read `process.argv`: they see the same values as in a run.
        command_line: ["procrun".into(), from.into()].into(),
        ..source_file::invocation(OsString::from(from), Flags::default(), None)?
    };
    let loaded = Source::to_convert(invocation, &to).and_then(|source| supervisor::evaluate(&source));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return Ok(refused(&problems)),
    };
    let conversion = loaded.conversion.expect("`to_convert` requests it");
    if to_stdout {
        print(&conversion.text);
    } else {
        // A user who must not read the one file must not read the other.
        let mode = std::fs::metadata(from).map_or(0o600, |metadata| metadata.permissions().mode() & 0o666);
        create(&to, &conversion.text, mode, "`-o FILE` writes to another file, `-o -` to stdout")?;
        let (to, apps) = (to.display(), loaded.plan.apps.len());
        let apps = if apps == 1 { "1 app".to_owned() } else { format!("{apps} apps") };
        print(&format!("wrote {to}: {apps} of {}\n", from.display()));
        print(&format!("check it with `procrun check {to}`, run it with `procrun {to}`\n"));
    }
    print_notices(&conversion.notes);
    Ok(0)
}
