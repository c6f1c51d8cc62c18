//! `procrun save`: saves the list of apps.

use crate::{
    cli::{
        command::{Command, Group, OptionSpec, Run},
        connect::unexpected,
        failure::{Failure, NOT_DONE},
        parsed_args::ParsedArgs,
        saved_list::save_list,
    },
    control::{Answer, Request},
    spec::ExitCode,
};

pub(super) static SAVE: Command = Command {
    words: &["save", "dump"],
    group: Group::Supervisor,
    options: &[OptionSpec::switch("force", "Save the list even if it is empty").short('f')],
    summary: "Save the list of apps for resurrect",
    description: "Save the list of apps with their environment to dump.json in PROCRUN_HOME\n\
                  (default: ~/.procrun). An empty list is saved only with --force.",
    exit_codes: &[(NOT_DONE, "the list is empty, or the file cannot be written")],
    run: Run::Function(save),
    ..Command::DEFAULT
};

fn save(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let apps = match args.supervisor()?.request(&Request::Save)? {
        Answer::Saved(apps) => apps,
        other => return Err(unexpected(&other)),
    };
    let count = apps.len();
    if count == 0 && !args.has("force") {
        let hint = "`procrun save --force` saves an empty list";
        return Err(Failure::not_done("the list is empty: the saved list was not changed").hint(hint));
    }
    save_list(apps)
}
