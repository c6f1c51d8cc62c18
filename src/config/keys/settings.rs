//! The key table applied to finished specs: the settings that are not the default, and the keys that differ.

use std::path::PathBuf;

use super::{APP_KEYS, all};
use crate::spec::{
    AppSpec, Balance, EnvSpec, Exec, ExecMode, HealthSpec, Identity, Instances, Interpreter, Limits, LogSpec,
    Order, ReloadPolicy, RestartPolicy, Stdin, StopPolicy,
};

/// PM2's default of `instance_var`.
pub(in crate::config) const INSTANCE_VAR: &str = "NODE_APP_INSTANCE";

/// The keys of an application that have another value than the default, with their values as `check` prints them.
/// Its name, script and working directory always belong to them.
pub fn non_default_settings(app: &AppSpec) -> Vec<(&'static str, String)> {
    let default = default_app();
    let keys = all(APP_KEYS).filter_map(|key| {
        let part = key.part.as_ref()?;
        let value = (key.show)(app)?;
        (!(part.same)(app, &default)).then_some((key.name, value))
    });
    keys.collect()
}

/// The keys in which two versions of an application differ.
pub fn changed_keys(old: &AppSpec, new: &AppSpec) -> Vec<&'static str> {
    let differs = |part: &super::Part<AppSpec>| !(part.same)(old, new);
    all(APP_KEYS).filter(|key| key.part.as_ref().is_some_and(differs)).map(|key| key.name).collect()
}

/// An application without any key.
fn default_app() -> AppSpec {
    AppSpec {
        name: String::new(),
        namespace: "default".to_owned(),
        exec: Exec {
            script: String::new(),
            args: Vec::new(),
            cwd: PathBuf::new(),
            interpreter: Interpreter::Auto,
            interpreter_args: Vec::new(),
            source_maps: None,
            stdin: Stdin::default(),
        },
        instances: Instances::Count(1),
        exec_mode: ExecMode::Fork,
        ipc: true,
        node_metrics: true,
        balance: Balance::default(),
        listen: Vec::new(),
        env: EnvSpec { instance_var: INSTANCE_VAR.to_owned(), ..EnvSpec::default() },
        identity: Identity::default(),
        limits: Limits::default(),
        autostart: true,
        order: Order::default(),
        restart: RestartPolicy::default(),
        max_memory: None,
        schedule: None,
        reload: ReloadPolicy::default(),
        stop: StopPolicy::default(),
        logs: LogSpec::default(),
        pid_file: None,
        health: HealthSpec::default(),
        ready_when: None,
        watch: None,
    }
}
