//! The settings of an instance on which its start depends.

use std::sync::Arc;

use super::failed_start::no_variables;
use crate::{
    config::env_file_variables,
    machine::{InstanceView, SpawnFailure},
    spec::AppSpec,
};

/// An instance that is to be started.
#[derive(Debug, Clone)]
pub(super) struct Target {
    spec: Arc<AppSpec>,
    number: u32,
    pub(super) pm_id: u32,
    pub(super) siblings: u32,
}

impl Target {
    pub(super) fn spec(&self) -> &AppSpec {
        &self.spec
    }

    /// The number of the instance in its application.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The same with the variables of the files that could not be read with the configuration.
    pub(super) fn with_env_files(&self) -> Result<Self, SpawnFailure> {
        if self.spec.env.unread_files.is_empty() {
            return Ok(self.clone());
        }
        let mut spec = AppSpec::clone(&self.spec);
        for file in &self.spec.env.unread_files {
            let variables = env_file_variables(file).map_err(no_variables)?;
            let variables = variables.into_iter().filter(|(name, _)| !file.keeps.contains(name));
            spec.env.vars.extend(variables);
        }
        Ok(Self { spec: Arc::new(spec), ..*self })
    }
}

impl From<&InstanceView<'_>> for Target {
    fn from(view: &InstanceView<'_>) -> Self {
        let InstanceView { spec, number, pm_id, siblings, .. } = *view;
        Self { spec: Arc::clone(spec), number, pm_id, siblings }
    }
}
