//! The environment variables of an instance.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::OsStringExt,
};

use super::{identity::credentials, start_target::Target};
use crate::{
    config::WEB_TOKEN,
    machine::{FailureKind, SpawnFailure},
    program::LookupContext,
    spec::{AppSpec, InheritEnv},
    sys::{accounts::Credentials, spawn::channel_number},
};

/// Variables by name.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// The variable that marks every process of a worker's tree.
pub(super) const MARKER: &str = "PROCRUN_RUN";

/// The variable in which Node's channel is kept for the children of npm and its like (`node/forward.cjs`).
pub(super) const FORWARDED_CHANNEL: &str = "PROCRUN_CHANNEL_FD";

/// Variables by which another program communicates with procrun itself; a worker must not use them.
const NOT_INHERITED: [&str; 11] = [
    FORWARDED_CHANNEL,
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
];

/// The variables of an instance, with those of its files. Reads files, so it may never end.
pub(super) fn full_environment(
    instance: &Target,
    inherited: &Environment,
) -> Result<Environment, SpawnFailure> {
    let instance = instance.with_env_files()?;
    let credentials = credentials(instance.spec())?;
    Ok(environment(&instance, inherited, credentials.as_ref()))
}

/// PM2's order: the caller's environment, what PM2 itself adds, then the application's own.
/// Without the run's marker.
pub(super) fn environment(
    instance: &Target,
    inherited: &Environment,
    credentials: Option<&Credentials>,
) -> Environment {
    let spec = instance.spec();
    let mut env: Environment = match &spec.env.caller {
        None => inherited
            .iter()
            .filter(|(name, _)| inherits(&spec.env.inherit, name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Some(caller) => caller
            .iter()
            .filter(|(name, _)| inherits(&spec.env.inherit, OsStr::new(name)))
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    };
    // It lets a client control procrun.
    env.remove(OsStr::new(WEB_TOKEN));
    // A procrun inside of an app could not listen at the same address, and would start nothing.
    env.remove(OsStr::new("PROCRUN_WEB"));
    let mut set = |name: &str, value: String| env.insert(name.into(), value.into());
    if let Some(account) = credentials.and_then(|credentials| credentials.account.as_ref()) {
        set("HOME", account.home.to_string_lossy().into_owned());
        set("USER", account.name.clone());
        set("LOGNAME", account.name.clone());
        if !account.shell.is_empty() {
            set("SHELL", account.shell.clone());
        }
    }
    // As a shell sets it after `cd`; the caller's would be wrong.
    set("PWD", spec.exec.cwd.to_string_lossy().into_owned());
    set("name", spec.name.clone());
    set("namespace", spec.namespace.clone());
    set("exec_mode", spec.exec_mode.as_str().to_owned());
    set("instances", instance.siblings.to_string());
    set("pm_id", instance.pm_id.to_string());
    set(&spec.env.instance_var, instance.number().to_string());
    for (name, value) in spec.env.of_instance(instance.number()) {
        set(name, value.into_owned());
    }
    if !spec.listen.is_empty() {
        // The new process writes `LISTEN_PID`.
        let names: Vec<&str> = spec.listen.iter().map(|socket| socket.name.as_str()).collect();
        set("LISTEN_FDS", spec.listen.len().to_string());
        set("LISTEN_FDNAMES", names.join(":"));
    }
    if spec.has_channel() {
        set("NODE_CHANNEL_FD", channel_number(spec.listen.len()).to_string());
        set("NODE_CHANNEL_SERIALIZATION_MODE", "json".to_owned());
    }
    if spec.is_cluster() {
        // The value of `cluster.worker.id`: the same after a restart.
        set("NODE_UNIQUE_ID", (instance.number() + 1).to_string());
    }
    if !spec.listen.is_empty() {
        env.remove(OsStr::new("LISTEN_PID"));
        env.remove(OsStr::new("LISTEN_PIDFDID"));
    }
    env
}

fn inherits(inherit: &InheritEnv, name: &OsStr) -> bool {
    if NOT_INHERITED.iter().any(|not| name == *not) || name == MARKER {
        return false;
    }
    inherit.takes(&name.to_string_lossy())
}

/// The variables that decide which program an application executes, before it has an instance.
pub(super) fn lookup_context(spec: &AppSpec, inherited: &Environment) -> LookupContext {
    LookupContext::new(|name| {
        let of_caller = spec.env.caller.as_ref().and_then(|caller| caller.get(name));
        let own = spec.env.vars.get(name).or(of_caller).map(OsString::from);
        own.or_else(|| inherited.get(OsStr::new(name)).cloned())
    })
}

/// The value that a variable has in the processes of an application, unless procrun sets it.
pub(super) fn variable(spec: &AppSpec, inherited: &Environment, name: &str) -> Option<OsString> {
    let inherits = spec.env.inherit.takes(name);
    let own = spec.env.of_instance(0).find(|(own, _)| *own == name);
    let own = own.map(|(_, value)| OsString::from(value.into_owned()));
    own.or_else(|| match &spec.env.caller {
        Some(caller) => caller.get(name).filter(|_| inherits).map(OsString::from),
        None => inherited.get(OsStr::new(name)).filter(|_| inherits).cloned(),
    })
}

/// The port that the value of `PORT` names. An error completes "but".
pub(super) fn port_in(value: Option<&OsStr>) -> Result<u16, String> {
    let Some(value) = value else { return Err("its environment has no PORT".to_owned()) };
    let text = value.to_string_lossy();
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("its PORT is `{text}`, which is no port")),
    }
}

/// `NAME=value` for each variable.
pub(super) fn entries(env: Environment) -> Result<Vec<CString>, SpawnFailure> {
    let entry = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        c_string(&name)
    };
    env.into_iter().map(entry).collect()
}

pub(super) fn c_string(text: &OsStr) -> Result<CString, SpawnFailure> {
    CString::new(text.to_owned().into_vec()).map_err(|_| SpawnFailure {
        code: 126,
        kind: FailureKind::Permanent,
        message: format!("`{}` holds a NUL byte, which no program can be given", text.display()),
    })
}
