//! `procrun serve`: a directory over HTTP, as an app of the running supervisor. Without one, PID 1 serves in
//! the foreground, and any other process starts a background supervisor.

use std::path::PathBuf;

use serde_json::json;

use super::{
    anew::refused,
    background,
    commands::ParsedArgs,
    failure::Failure,
    file::{self, Found, say_notices},
    is_foreground,
    process_commands::{Telling, wait_and_show},
    role,
};
use crate::{
    config::{EX_USAGE, Source},
    control::{Anew, Taken},
    spec::{
        ExitCode,
        serve::{DEFAULT_PORT, SCRIPT, ServeSettings, variable},
    },
    supervisor,
};

pub(super) fn serve(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let document = document(typed)?;
    let invocation = file::invocation(SCRIPT.into(), typed.flags(), typed.args.clone())?;
    let called = std::env::args_os().next().unwrap_or_default();
    let in_foreground = is_foreground(&called, std::process::id()) || typed.has("no-daemon");
    let cwd = invocation.cwd.clone();
    let source = match Source::of_text(invocation, document) {
        Ok(source) => source,
        Err(problems) => return Ok(refused(&problems)),
    };
    if typed.value("monitor").is_some() {
        say_notices(&["`--monitor` has no effect: procrun does not use PM2's monitoring service".to_owned()]);
    }
    if in_foreground {
        return Ok(supervisor::run(&source, &role(typed.socket.as_deref(), &cwd)));
    }
    let found = match Found::of(&source, false) {
        Ok(found) => found,
        Err(problems) => return Ok(refused(&problems)),
    };
    let mut supervisor =
        background::connect(typed.socket.as_deref(), typed.has("silent") || typed.has("json"))?;
    let taken = if typed.has("force") { Taken::Rename } else { Taken::Refuse };
    wait_and_show(&mut supervisor, &found.request(Anew::Changed, taken, false), Telling::of(typed))
}

/// The app as an ecosystem file in JSON.
fn document(typed: &ParsedArgs) -> Result<String, Failure> {
    let usage = |message: String| Failure::new(EX_USAGE, message);
    let of_caller = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let directory =
        typed.words.first().cloned().or_else(|| of_caller(variable::PATH)).unwrap_or_else(|| ".".to_owned());
    let directory: PathBuf = std::path::absolute(&directory)
        .map_err(|error| Failure::not_done(format!("{directory}: {error}")))?;
    let shown = directory.display();
    match directory.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Failure::not_done(format!("{shown} is not a directory"))),
        Err(error) => return Err(Failure::not_done(format!("cannot serve {shown}: {error}"))),
    }
    let said = typed.words.get(1).map(String::as_str).or_else(|| typed.value("port")).map(str::to_owned);
    let port = match said.or_else(|| of_caller(variable::PORT)) {
        Some(port) => ServeSettings::port(&port)
            .ok_or_else(|| usage(format!("invalid port `{port}`: must be a number from 0 to 65535")))?,
        None => DEFAULT_PORT,
    };
    let mut env = json!({ variable::PATH: directory.to_string_lossy(), variable::PORT: port.to_string() });
    let mut set = |name: &str, value: &str| env[name] = value.into();
    if let Some(host) = typed.value("host").map(str::to_owned).or_else(|| of_caller(variable::HOST)) {
        set(variable::HOST, &host);
    }
    for (option, variable) in [("spa", variable::SPA), ("ftp", variable::LISTING)] {
        if typed.has(option) {
            set(variable, "true");
        }
    }
    match (typed.value("basic-auth-username"), typed.value("basic-auth-password")) {
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
