//! `procrun reload`: replaces processes without downtime, also with changes.

use super::apply;
use crate::{
    cli::{
        command::{AppOptions, Argument, Command, DRY_RUN, ENV, Group, JSON, ONLY, Occurs, Run, UPDATE_ENV},
        failure::{Failure, NOT_DONE},
        parsed_args::ParsedArgs,
        update_apps::update,
    },
    config::EX_USAGE,
    control::RestartScope,
    spec::ExitCode,
};

pub(super) static RELOAD: Command = Command {
    words: &["reload", "gracefulReload", "startOrReload", "startOrGracefulReload"],
    group: Group::Control,
    arguments: &[Argument::new("NAME|ID|NAMESPACE|all|FILE", Occurs::AnyNumber)],
    options: &[UPDATE_ENV, ONLY, ENV, DRY_RUN, JSON],
    app_options: AppOptions::Changes,
    summary: "Replace processes without downtime",
    description: "Replace processes without downtime where that is possible, otherwise one after\n\
                  the other. With an ecosystem file, apply its current content, as `restart` does.\n\
                  The same options change the app. Without a target, do what `procrun apply` does.\n\
                  A second reload of an app waits for the first. Ctrl-C ends the command, not the\n\
                  reload.",
    exit_codes: &[(NOT_DONE, "a new worker was not ready; the old workers keep running")],
    examples: &[
        ("procrun reload api", "replace the workers of the app api"),
        ("procrun reload", "apply the changed ecosystem file"),
    ],
    run: Run::Function(reload),
};

fn reload(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    if args.words.is_empty() {
        return apply::apply(args);
    }
    if args.has("dry-run") {
        let failure = Failure::new(EX_USAGE, "`--dry-run` needs an ecosystem file, not a target");
        return Err(failure.hint("`procrun apply [FILE] --dry-run` shows what a changed file would change"));
    }
    update(args, RestartScope::Reload)
}
