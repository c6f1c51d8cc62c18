//! Finds the instances and applications that a request selects.

use std::collections::BTreeSet;

use super::{Supervisor, snapshots};
use crate::{
    control::{
        ClientId, RequestError,
        targets::{Candidate, ProcessList},
    },
    machine::{
        InstanceId, InstanceView, Status,
        events::{EventData, Notice, TaskState},
    },
};

impl Supervisor<'_> {
    /// The instances of these targets, in the order of the list.
    pub(super) fn select<S: AsRef<str>>(&self, words: &[S]) -> Result<Vec<InstanceId>, RequestError> {
        let views: Vec<_> = snapshots::settled(self).collect();
        let ids = views.iter().map(candidate).collect::<ProcessList<'_>>().select(words)?;
        Ok(views.iter().filter(|view| ids.contains(&view.pm_id)).map(|view| view.id).collect())
    }

    /// Without the tasks that have completed or are running, unless a target names them: `all` neither repeats
    /// a migration nor interrupts it. Each skipped task is reported.
    pub(super) fn without_tasks(
        &mut self,
        client: ClientId,
        ids: Vec<InstanceId>,
        words: &[String],
    ) -> Vec<InstanceId> {
        let (mut kept, mut left) = (Vec::new(), Vec::new());
        for view in ids.into_iter().filter_map(|id| self.machine.instance(id)) {
            let is_named = words.iter().any(|word| candidate(&view).is_named_by(word));
            match task_state(&view).filter(|_| !is_named) {
                None => kept.push(view.id),
                Some(state) => left.push(Notice::of(view.subject(), EventData::Skipped { state })),
            }
        }
        for notice in left {
            self.clients.report_to(notice, &[client]);
        }
        kept
    }

    /// The ids of these instances in the process list.
    pub(super) fn pm_ids(&self, ids: &[InstanceId]) -> Vec<u32> {
        let meant = self.machine.instances().filter(|view| ids.contains(&view.id));
        meant.map(|view| view.pm_id).collect()
    }

    /// The applications of which all instances are among these: a new instance of them belongs to them, too.
    pub(super) fn whole_apps(&self, ids: &[InstanceId]) -> Vec<String> {
        let mut names: Vec<String> = self
            .machine
            .instances()
            .filter(|it| ids.contains(&it.id))
            .map(|it| it.spec.name.clone())
            .collect();
        names.dedup();
        names.retain(|name| self.machine.instances().all(|it| it.spec.name != *name || ids.contains(&it.id)));
        names
    }

    /// The name of an application by that name, or by the id of one of its instances. An app that was scaled to
    /// none is not in the list and can be scaled again.
    pub(super) fn app_of(&self, word: &str) -> Result<String, RequestError> {
        if self.machine.plan().apps.iter().any(|app| app.name == word) {
            return Ok(word.to_owned());
        }
        let ids = self.select(&[word])?;
        let views = self.machine.instances().filter(|view| ids.contains(&view.id));
        let names: BTreeSet<&str> = views.map(|view| view.spec.name.as_str()).collect();
        match names.iter().collect::<Vec<_>>()[..] {
            [one] => Ok((*one).to_owned()),
            _ => Err(RequestError {
                message: format!("`{word}` means {} applications, and `scale` takes one", names.len()),
                hint: None,
            }),
        }
    }

    /// Whether an application of this name has an instance in the list.
    pub(super) fn is_listed(&self, name: &str) -> bool {
        snapshots::settled(self).any(|view| view.spec.name == name)
    }

    pub(super) fn instances_of(&self, name: &str) -> Vec<InstanceId> {
        snapshots::settled(self).filter(|view| view.spec.name == name).map(|view| view.id).collect()
    }

    /// Whether an application of this name is in the plan, also without instances.
    pub(super) fn is_planned(&self, name: &str) -> bool {
        self.machine.pending_plan().apps.iter().any(|app| app.name == name)
    }
}

/// An instance, with all values by which a target can select it.
fn candidate<'a>(view: &'a InstanceView<'_>) -> Candidate<'a> {
    let InstanceView { pm_id, spec, .. } = view;
    Candidate { id: *pm_id, name: &spec.name, namespace: &spec.namespace, exec: Some(&spec.exec) }
}

/// The state of a task that only its name may disturb; `None` for everything else.
pub(super) fn task_state(view: &InstanceView<'_>) -> Option<TaskState> {
    match (view.completed?, view.status) {
        (true, _) => Some(TaskState::Completed),
        (false, Status::Launching | Status::Online) => Some(TaskState::Running),
        (
            false,
            Status::Stopping
            | Status::Stopped
            | Status::WaitingForDependencies
            | Status::BackingOff
            | Status::Errored,
        ) => None,
    }
}
