//! The last step of the requests to add and to change applications, which both share.

use std::collections::BTreeMap;

use super::{
    super::{
        added_apps::put,
        command_text::command_text,
        preflight::{Results, without_result},
    },
    Supervisor,
};
use crate::{
    control::{ClientId, RequestError},
    machine::{AppUpdate, Operation, RestartScope},
    spec::{
        AppSpec, Plan,
        validate::{validate, validate_environment},
    },
};

impl Supervisor<'_> {
    /// Updates applications whose preflight has passed.
    pub(super) fn update_apps(
        &mut self,
        client: ClientId,
        names: &[String],
        updates: Vec<AppUpdate>,
        scope: RestartScope,
    ) {
        let plan = self.plan_with(&updates);
        let cpus = self.follow(&plan);
        let operation = Operation::UpdateApps { apps: updates, cpus, scope };
        self.report_command(command_text(&operation, names));
        self.operate_on_apps(client, names.to_vec(), operation);
    }

    /// The coming plan with these updates.
    pub(super) fn plan_with(&self, updates: &[AppUpdate]) -> Plan {
        let mut plan = self.machine.pending_plan();
        for update in updates {
            put(&mut plan.apps, update.app.clone());
        }
        plan
    }

    /// The applications, if all have passed the preflight. A running application is not replaced by one that may
    /// be unable to start.
    pub(super) fn passed(&mut self, results: Results) -> Result<Vec<AppSpec>, RequestError> {
        if let Some((refused, _)) = results.refusals() {
            return Err(RequestError { message: refused.join("\n"), hint: None });
        }
        match without_result(results.unanswered().filter(|unanswered| self.is_listed(&unanswered.app))) {
            Some(message) => Err(RequestError { message, hint: None }),
            None => Ok(results.into_apps(&mut self.listen_sockets)),
        }
    }

    /// Refuses a request about applications of which one has been deleted or renamed during the preflight.
    pub(super) fn still_planned<'a>(
        &self,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), RequestError> {
        match names.into_iter().find(|name| !self.is_planned(name)) {
            None => Ok(()),
            Some(name) => Err(RequestError {
                message: format!("app `{name}` has left the list meanwhile"),
                hint: Some("nothing was changed".to_owned()),
            }),
        }
    }
}

/// A client may send any application.
pub(super) fn check(app: &AppSpec) -> Result<(), RequestError> {
    validate(app).map_err(|violation| RequestError { message: violation.to_string(), hint: None })
}

pub(super) fn check_environment(environment: &BTreeMap<String, String>) -> Result<(), RequestError> {
    validate_environment(environment).map_err(|message| RequestError { message, hint: None })
}
