//! The requests of clients, and their answers. A request that changes instances becomes an operation of the machine.
//!
//! A request is handled on the supervisor's thread.

use std::{path::PathBuf, time::Duration};

use super::{
    super::{
        command_text::command_text,
        event_log::{EventFilter, Recent},
        own_file::FileRequest,
        process_trees,
    },
    Supervisor,
    change_request::AppChange,
    snapshots::{self, LOOKUP_TIMEOUT, Programs},
};
use crate::{
    control::{Action, Answer, ClientId, Count, Request, RequestError, snapshot::Overview},
    logs::{Filter, OwnLines},
    machine::{
        Input, InstanceId, Operation, Run,
        events::{EventData, Notice},
    },
    spec::Signal,
};

/// How long a client waits until its log files are empty.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client waits for the figures of Node workers. The first ones take 100 ms; a worker that is busy
/// for longer sends them later.
const NODE_SAMPLE_TIMEOUT: Duration = Duration::from_millis(500);

impl Supervisor<'_> {
    /// Handles the requests that have arrived.
    pub(super) fn serve(&mut self) {
        for (client, request) in self.clients.requests() {
            let answer = self.handle(client, request);
            self.answer(client, answer);
        }
    }

    /// Answers a client; `None`: it has been answered, or will be later.
    pub(super) fn answer(&mut self, client: ClientId, answer: Result<Option<Answer>, RequestError>) {
        match answer {
            Ok(Some(answer)) => self.clients.answer(client, &answer),
            Ok(None) => {}
            Err(error) => self.clients.answer(client, &Answer::Failed(error)),
        }
    }

    /// Answers a client whose request has failed at a later step.
    pub(super) fn answer_failure(&mut self, client: ClientId, done: Result<(), RequestError>) {
        self.answer(client, done.map(|()| None));
    }

    /// The answer follows when the programs of the apps have been looked up.
    fn describe(&mut self, client: ClientId, targets: &[String]) -> Result<Option<Answer>, RequestError> {
        let ids = if targets.is_empty() { None } else { Some(self.select(targets)?) };
        let Some(programs) = snapshots::look_up_programs(self, ids.as_deref()) else {
            return Ok(self.describe_with(client, ids, Programs::default()));
        };
        self.when_answered(programs, LOOKUP_TIMEOUT, move |supervisor, programs| {
            let answer = supervisor.describe_with(client, ids, programs.unwrap_or_default());
            supervisor.answer(client, Ok(answer));
        });
        Ok(None)
    }

    fn describe_with(
        &mut self,
        client: ClientId,
        ids: Option<Vec<InstanceId>>,
        programs: Programs,
    ) -> Option<Answer> {
        let of = ids.clone();
        self.with_node_samples(client, of.as_deref(), move |supervisor| {
            supervisor.details(ids.as_deref(), &programs)
        })
    }

    /// The answer once the Node workers of these instances, or all, have sent their figures; `None`: it comes later.
    fn with_node_samples(
        &mut self,
        client: ClientId,
        ids: Option<&[InstanceId]>,
        answer: impl FnOnce(&mut Supervisor<'_>) -> Answer + Send + 'static,
    ) -> Option<Answer> {
        let machine = &self.machine;
        let is_wanted = |run: Run| {
            ids.is_none_or(|ids| ids.contains(&run.instance))
                && machine.spec(run.instance).is_some_and(|spec| spec.node_metrics)
        };
        let Some(sampled) = self.node.request_samples(is_wanted) else { return Some(answer(self)) };
        self.when_answered(sampled, NODE_SAMPLE_TIMEOUT, move |supervisor, _| {
            let answer = answer(supervisor);
            supervisor.clients.answer(client, &answer);
        });
        None
    }

    fn details(&mut self, ids: Option<&[InstanceId]>, programs: &Programs) -> Answer {
        let report = self.usage.sample(&mut self.workers, &self.machine, ids.unwrap_or_default());
        Answer::Details(snapshots::details(self, &report, ids, programs))
    }

    fn show_trees(&mut self, targets: &[String]) -> Result<Answer, RequestError> {
        let ids = if targets.is_empty() { None } else { Some(self.select(targets)?) };
        Ok(Answer::Trees(process_trees::of(&mut self.workers, &self.machine, ids.as_deref())))
    }

    /// The answer to a request; `None`: it comes later.
    fn handle(&mut self, client: ClientId, request: Request) -> Result<Option<Answer>, RequestError> {
        match request {
            Request::Ping => Ok(Some(Answer::Overview(snapshots::overview(self, None)))),
            Request::List => {
                let report = self.usage.sample(&mut self.workers, &self.machine, &[]);
                Ok(Some(Answer::Overview(snapshots::overview(self, Some(&report)))))
            }
            Request::Monitor => Ok(self.with_node_samples(client, None, |supervisor| {
                let report = supervisor.usage.sample(&mut supervisor.workers, &supervisor.machine, &[]);
                let surroundings = Some(Box::new(supervisor.usage.sample_container(&report)));
                Answer::Overview(Overview { surroundings, ..snapshots::overview(supervisor, Some(&report)) })
            })),
            Request::Metrics => Ok(self.with_node_samples(client, None, |supervisor| {
                let report = supervisor.usage.sample(&mut supervisor.workers, &supervisor.machine, &[]);
                Answer::Metrics(Box::new(snapshots::metrics(supervisor, &report)))
            })),
            Request::Status { targets } => {
                let ids = if targets.is_empty() { None } else { Some(self.select(&targets)?) };
                Ok(Some(Answer::Status(self.machine.status_report(self.failing(), ids.as_deref()))))
            }
            Request::Describe { targets } => self.describe(client, &targets),
            Request::Tree { targets } => self.show_trees(&targets).map(Some),
            Request::Environment { target } => {
                let ids = self.select(&[target])?;
                Ok(snapshots::environment(self, client, ids[0]))
            }
            Request::Act { action, targets } => self.act(client, action, &targets),
            Request::Add(request) => self.handle_file_request(client, FileRequest::Add(request)),
            Request::Apply { file, dry_run } => {
                let file = file.map(PathBuf::from);
                self.handle_file_request(client, FileRequest::Apply { file, dry_run })
            }
            Request::FileEnvironment { file } => {
                let file = PathBuf::from(file);
                self.handle_file_request(client, FileRequest::Environment { file })
            }
            Request::Change { targets, scope, environment, patch } => {
                let ids = self.select(&targets)?;
                let selected = self.without_tasks(client, ids.clone(), &targets);
                let selected = self.pm_ids(&selected);
                let views = ids.iter().filter_map(|id| self.machine.instance(*id));
                let names = views.map(|view| view.spec.name.clone()).collect();
                let change = AppChange { names, selected, environment, patch, scope };
                self.change(client, change, None).map(|()| None)
            }
            Request::Save => Ok(Some(Answer::Saved(self.saved()))),
            Request::Scale { app, count } => self.scale(client, &app, count),
            Request::Logs { targets, lines, out, err, own, stream } => {
                let own = match (own, targets.is_empty()) {
                    (false, _) => OwnLines::None,
                    (true, true) => OwnLines::All,
                    (true, false) => OwnLines::Matching,
                };
                let filter = Filter { out, err, own, ..Filter::default() };
                self.show_lines(client, &targets, filter, lines as usize, stream).map(|()| None)
            }
            Request::Events { targets, since, lines, stream } => {
                let filter = self.event_filter(targets)?;
                let recent = Recent { since, lines: lines as usize };
                self.clients.follow_events(client, filter, recent, stream);
                Ok(None)
            }
            Request::Flush { targets } => self.flush(client, targets).map(|()| None),
            Request::Input { target, text } => self.send_input(client, &target, text),
            Request::Kill => {
                self.report_command("kill".to_owned());
                self.stop(Signal::TERM, "stopped by `procrun kill`".to_owned());
                Ok(None)
            }
        }
    }

    fn scale(&mut self, client: ClientId, app: &str, count: Count) -> Result<Option<Answer>, RequestError> {
        let app = self.app_of(app)?;
        let operation = Operation::Scale { app: app.clone(), count };
        let names = vec![app];
        self.report_command(command_text(&operation, &names));
        self.operate_on_apps(client, names, operation);
        Ok(None)
    }

    /// Empties the log files of the targets. The answer comes when they are empty.
    fn flush(&mut self, client: ClientId, targets: Vec<String>) -> Result<(), RequestError> {
        let targets = if targets.is_empty() { vec!["all".to_owned()] } else { targets };
        let ids = self.pm_ids(&self.select(&targets)?);
        self.report_command(format!("flush {}", targets.join(" ")));
        let flushed = self.workers.logs().flush(ids.clone());
        self.clients.answer_later(client, async move {
            match tokio::time::timeout(FLUSH_TIMEOUT, flushed).await {
                Ok(Ok(failed)) if failed.is_empty() => Answer::Done { ids },
                Ok(Ok(failed)) => Answer::failed(failed.join("\n")),
                Ok(Err(_)) => Answer::failed("the log has ended"),
                Err(_) => Answer::Failed(
                    RequestError::new("the log output is blocked; the files are emptied when it continues")
                        .hint("the reader of procrun's stdout or stderr does not read"),
                ),
            }
        });
        Ok(())
    }

    /// Carries out an action on the instances of these targets.
    fn act(
        &mut self,
        client: ClientId,
        action: Action,
        targets: &[String],
    ) -> Result<Option<Answer>, RequestError> {
        let ids = self.select(targets)?;
        let ids = match action {
            Action::Start | Action::Restart | Action::Reload => self.without_tasks(client, ids, targets),
            Action::Stop | Action::Delete | Action::Reset | Action::Signal(_) => ids,
        };
        let operation = Operation::Act(action, ids.clone());
        self.report_command(command_text(&operation, targets));
        self.operate(client, &ids, operation);
        if action == Action::Delete {
            // Removed apps need no watches and no schedules.
            let plan = self.machine.pending_plan();
            self.follow(&plan);
        }
        Ok(None)
    }

    /// Sends a client the recent lines of its targets, and with `stream` new ones.
    fn show_lines(
        &mut self,
        client: ClientId,
        targets: &[String],
        mut filter: Filter,
        lines: usize,
        stream: bool,
    ) -> Result<(), RequestError> {
        if !targets.is_empty() {
            let ids = self.select(targets)?;
            filter.names = self.whole_apps(&ids);
            filter.ids = self.pm_ids(&ids);
        }
        let follower = self.workers.logs().follow(filter, lines);
        self.clients.follow_lines(client, follower, stream);
        Ok(())
    }

    /// The events of these targets. The events of a deleted application are still kept.
    fn event_filter(&self, targets: Vec<String>) -> Result<EventFilter, RequestError> {
        let is_app = |word: &String| self.clients.knows_app(word);
        let (mut apps, others): (Vec<String>, Vec<String>) = targets.into_iter().partition(is_app);
        let mut ids = Vec::new();
        if !others.is_empty() {
            let found = self.select(&others)?;
            apps.append(&mut self.whole_apps(&found));
            ids = self.pm_ids(&found);
        }
        Ok(EventFilter { ids, apps })
    }

    /// Reports a command of a client.
    pub(super) fn report_command(&mut self, command: String) {
        self.report(Notice::of_runtime(EventData::CommandReceived { command }));
    }

    fn operate(&mut self, client: ClientId, ids: &[InstanceId], operation: Operation) {
        let ticket = self.clients.ticket(client, self.pm_ids(ids), Vec::new());
        self.feed(vec![Input::Operate(ticket, operation)]);
    }

    /// As [`Self::operate`], on whole applications.
    pub(super) fn operate_on_apps(&mut self, client: ClientId, apps: Vec<String>, operation: Operation) {
        let ticket = self.clients.ticket(client, Vec::new(), apps);
        self.feed(vec![Input::Operate(ticket, operation)]);
    }
}
