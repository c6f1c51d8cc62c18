//! `procrun serve`: a directory over HTTP, as an app of the running supervisor. Without one, PID 1 serves in
//! the foreground, and any other process starts a background supervisor.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    cli::{
        background,
        command::{AppOptions, Argument, Command, Group, JSON, Occurs, OptionSpec, Run},
        failure::Failure,
        foreground::{is_foreground, role},
        operations::{OperationOutput, wait_and_show},
        output::print_notices,
        parsed_args::ParsedArgs,
        source_file::{self, Found},
        update_apps::refused,
    },
    config::{EX_USAGE, Source},
    control::{NameConflict, Request, RestartScope},
    spec::{
        ExitCode,
        serve::{DEFAULT_PORT, SCRIPT, ServeSettings, variable},
    },
    supervisor,
};

pub(super) static SERVE: Command = Command {
    words: &["serve", "expose"],
    group: Group::Control,
    arguments: &[Argument::new("DIR", Occurs::Optionally), Argument::new("PORT", Occurs::Optionally)],
    options: &[
        OptionSpec::with_value("port", "PORT", "Listen on this port [default: 8080]"),
        OptionSpec::with_value("host", "ADDRESS", "Address to listen on [default: 0.0.0.0]"),
        OptionSpec::switch("spa", "Answer unknown paths with index.html"),
        OptionSpec::switch("ftp", "Show directory listings"),
        OptionSpec::with_value("basic-auth-username", "NAME", "User name for basic authentication"),
        OptionSpec::with_value("basic-auth-password", "PASSWORD", "Password for basic authentication"),
        OptionSpec::with_value("monitor", "APP", "No effect (a feature of PM2)"),
        JSON,
    ],
    app_options: AppOptions::Changes,
    summary: "Serve a directory over HTTP",
    description: "Serve the files of a directory over HTTP. The server is an app like any other:\n\
                  `procrun list` shows it, and it accepts the options of `procrun start` (--name,\n\
                  -i and others). As PID 1 it runs in the foreground.",
    examples: &[
        ("procrun serve dist 8080", "the directory dist on port 8080"),
        ("procrun serve dist --spa", "a single-page application"),
    ],
    run: Run::Function(serve),
    ..Command::DEFAULT
};

fn serve(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let document = document(args)?;
    let invocation = source_file::invocation(SCRIPT.into(), args.flags(), args.args.clone())?;
    let program = std::env::args_os().next().unwrap_or_default();
    let in_foreground = is_foreground(&program, std::process::id()) || args.has("no-daemon");
    let cwd = invocation.cwd.clone();
    let source = match Source::of_text(invocation, document) {
        Ok(source) => source,
        Err(problems) => return Ok(refused(&problems)),
    };
    if args.value("monitor").is_some() {
        print_notices(&[
            "`--monitor` has no effect: procrun does not use PM2's monitoring service".to_owned()
        ]);
    }
    if in_foreground {
        return Ok(supervisor::run(&source, &role(args.socket.as_deref(), &cwd)));
    }
    let found = match Found::of(&source, false) {
        Ok(found) => found,
        Err(problems) => return Ok(refused(&problems)),
    };
    let mut supervisor = background::connect(args.socket.as_deref(), args.has("silent") || args.has("json"))?;
    let name_conflict = if args.has("force") { NameConflict::Rename } else { NameConflict::Refuse };
    wait_and_show(
        &mut supervisor,
        &Request::Add(Box::new(found.request(RestartScope::Changed, name_conflict, false))),
        OperationOutput::of(args),
    )
}

/// The app as an ecosystem file in JSON.
fn document(args: &ParsedArgs) -> Result<String, Failure> {
    let usage = |message: String| Failure::new(EX_USAGE, message);
    let variable_of_caller = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let directory = args
        .words
        .first()
        .cloned()
        .or_else(|| variable_of_caller(variable::PATH))
        .unwrap_or_else(|| ".".to_owned());
    let directory: PathBuf = std::path::absolute(&directory)
        .map_err(|error| Failure::not_done(format!("{directory}: {error}")))?;
    let shown = directory.display();
    match directory.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Failure::not_done(format!("{shown} is not a directory"))),
        Err(error) => return Err(Failure::not_done(format!("cannot serve {shown}: {error}"))),
    }
    let given = args.words.get(1).map(String::as_str).or_else(|| args.value("port")).map(str::to_owned);
    let port = match given.or_else(|| variable_of_caller(variable::PORT)) {
        Some(port) => ServeSettings::port(&port)
            .ok_or_else(|| usage(format!("invalid port `{port}`: must be a number from 0 to 65535")))?,
        None => DEFAULT_PORT,
    };
    let mut env = json!({ variable::PATH: directory.to_string_lossy(), variable::PORT: port.to_string() });
    let mut set = |name: &str, value: &str| env[name] = value.into();
    if let Some(host) = args.value("host").map(str::to_owned).or_else(|| variable_of_caller(variable::HOST)) {
        set(variable::HOST, &host);
    }
    for (option, variable) in [("spa", variable::SPA), ("ftp", variable::LISTING)] {
        if args.has(option) {
            set(variable, "true");
        }
    }
    match (args.value("basic-auth-username"), args.value("basic-auth-password")) {
        (Some(username), Some(password)) => {
            set(variable::AUTH, "true");
            set(variable::USERNAME, username);
            set(variable::PASSWORD, password);
        }
        (None, None) => {}
        _ => {
            let message =
                "`--basic-auth-username` and `--basic-auth-password` must be set together".to_owned();
            return Err(usage(message).hint("with only one of them, the files would need no password"));
        }
    }
    let app = json!({ "name": format!("static-page-server-{port}"), "script": SCRIPT, "env": env });
    Ok(json!({ "apps": [app] }).to_string())
}
