//! The program of an exec probe: what the kernel needs to start it.

use std::ffi::{CString, OsStr, OsString};

use super::{
    environment::{Environment, c_string, entries, environment},
    failed_start::not_found,
    identity::credentials,
    launch::limits,
    start_target::Target,
};
use crate::{
    machine::SpawnFailure,
    program,
    sys::{accounts::Credentials, limits::Limits},
};

/// The program of an exec probe, with the directory, the user and the limits of its worker.
pub(super) struct ProbeProgram {
    pub(super) program: CString,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) cwd: CString,
    pub(super) credentials: Option<Credentials>,
    pub(super) limits: Limits,
}

/// Variables for the connections between procrun and the worker itself.
const VARIABLES_OF_WORKER: [&str; 5] =
    ["LISTEN_FDNAMES", "LISTEN_FDS", "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID"];

/// Prepares a program for an instance; `marker` is `NAME=value` of [`MARKER`](super::environment::MARKER). Reads
/// files, so it may never end.
pub(super) fn prepare(
    instance: &Target,
    words: &[String],
    marker: &str,
    inherited: &Environment,
) -> Result<ProbeProgram, SpawnFailure> {
    let instance = &instance.with_env_files()?;
    let spec = instance.spec();
    let credentials = credentials(spec)?;
    let mut env = environment(instance, inherited, credentials.as_ref());
    for name in VARIABLES_OF_WORKER {
        env.remove(OsStr::new(name));
    }
    let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let program = program::command(&words[0], &spec.exec.cwd, path).map_err(not_found)?;
    let mut env = entries(env)?;
    env.push(c_string(OsStr::new(marker))?);
    Ok(ProbeProgram {
        program: c_string(program.as_os_str())?,
        argv: words.iter().map(|word| c_string(OsStr::new(word))).collect::<Result<_, _>>()?,
        env,
        cwd: c_string(spec.exec.cwd.as_os_str())?,
        credentials,
        limits: limits(spec),
    })
}
