//! The settings of an application before its spec is built: values as they are written, and their origins.

use std::{collections::BTreeMap, time::Duration};

use super::{
    env_file::EnvFile,
    order::WrittenDependency,
    origin::{EnvVar, Origin},
    value::EndsContainer,
    watching::Watching,
};
use crate::spec::{
    Balance, ExecMode, HealthSpec, InheritEnv, Instances, Limits, Listen, LogFiles, MemoryLimit, OnErrored,
    Pattern, PrincipalRef, Quorum, ReloadPolicy, RestartPolicy, Runtime, Stdin, StopPolicy,
};

/// The settings of one application. `None`: the key is not set.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "as many as PM2 has switches")]
pub(super) struct Draft {
    pub(super) script: Option<String>,
    /// The script is a built-in one. Only a file can set it.
    pub(super) is_built_in: bool,
    pub(super) name: Option<String>,
    pub(super) name_prefix: Option<String>,
    pub(super) append_env_to_name: bool,
    pub(super) namespace: Option<String>,
    pub(super) args: Vec<String>,
    pub(super) cwd: Option<String>,
    pub(super) interpreter: Option<String>,
    pub(super) interpreter_args: Vec<String>,
    pub(super) source_maps: Option<bool>,
    pub(super) no_ipc: bool,
    pub(super) no_node_metrics: bool,
    pub(super) stdin: Option<Stdin>,
    pub(super) instances: Option<Instances>,
    pub(super) exec_mode: Option<ExecMode>,
    pub(super) balance: Option<Balance>,
    pub(super) listen: Vec<Listen>,
    pub(super) env: Vec<EnvVar>,
    pub(super) named_envs: Vec<(String, Vec<EnvVar>)>,
    pub(super) env_files: Vec<EnvFile>,
    pub(super) port: Option<u32>,
    pub(super) inherit: InheritEnv,
    pub(super) instance_var: Option<String>,
    pub(super) increment_var: Option<String>,
    pub(super) user: Option<PrincipalRef>,
    pub(super) group: Option<PrincipalRef>,
    pub(super) limits: Limits,
    pub(super) no_autostart: bool,
    pub(super) depends_on: Vec<WrittenDependency>,
    pub(super) oneshot: bool,
    /// `critical = true` has the meaning of `on_errored = "exit"`.
    pub(super) critical: Option<bool>,
    pub(super) explicit_on_errored: Option<OnErrored>,
    pub(super) ends_container: Option<EndsContainer>,
    pub(super) restart: RestartPolicy,
    pub(super) restart_delay: Option<Duration>,
    pub(super) backoff_delay: Option<Duration>,
    pub(super) max_memory: Option<MemoryLimit>,
    pub(super) cron: Option<Pattern>,
    pub(super) cron_timezone: Option<String>,
    pub(super) reload: ReloadPolicy,
    pub(super) health: HealthSpec,
    pub(super) ready_when: Option<Quorum>,
    pub(super) stop: StopPolicy,
    pub(super) json_logs: bool,
    pub(super) date_format: Option<String>,
    pub(super) time: bool,
    pub(super) disable_logs: bool,
    pub(super) out_file: Option<String>,
    pub(super) error_file: Option<String>,
    pub(super) log_file: Option<String>,
    pub(super) merge_logs: Option<bool>,
    pub(super) files: LogFiles,
    pub(super) pid_file: Option<String>,
    pub(super) watching: Watching,
    /// The origin of each value, by the name of the key.
    pub(super) origins: BTreeMap<&'static str, Origin>,
}

impl Draft {
    /// The origin of a key, for an error about its value.
    pub(super) fn origin(&self, key: &'static str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn on_errored(&mut self, answer: OnErrored) {
        self.restart.on_errored = answer;
        self.explicit_on_errored = Some(answer);
    }
}

/// procrun's own settings before they are final.
#[derive(Debug, Default)]
pub(super) struct RuntimeDraft {
    pub(super) runtime: Runtime,
    pub(super) time: bool,
    pub(super) origins: BTreeMap<&'static str, Origin>,
}
