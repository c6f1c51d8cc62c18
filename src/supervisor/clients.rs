//! Requests of commands over the control socket: requests become operations of the machine, and its replies
//! become answers.
//!
//! A request is taken in the supervisor's own turn. Only the ticket of its operation is kept for a client; what
//! is shown is computed at the request.

use std::{
    collections::{BTreeSet, HashMap},
    future::{Future, pending},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Background, Role,
    actor::Supervisor,
    added_apps::{AddRequest, ChangeRequest},
    command_text::command_text,
    event_log::{EventFilter, EventFollowers, EventLog, Recent},
    log_followers::Followers,
    lookup::SingleLookup,
    pid_file::PidFiles,
    process_trees, report,
    snapshots::{self, Programs},
};
use crate::{
    control::{
        Action, Answer, ClientId, Name, Refusal, Request, Server, SocketFile,
        snapshot::Overview,
        targets::{Candidate, Unknown, select},
    },
    logs::{self, Filter, OwnLines},
    machine::{
        Count, Event, InstanceId, InstanceView, Machine, Operation, Reply, Status, Ticket,
        events::{EventData, Notice, TaskState},
    },
    spec::Signal,
};

/// How long a client waits until files have told what the programs are.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a client waits until its log files are empty.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The control socket, if there is one, and the clients that wait for an operation.
pub(super) struct Clients {
    server: Option<Server>,
    waiting: HashMap<Ticket, Waiting>,
    tickets: u64,
    followers: Followers,
    events: EventLog,
    event_followers: EventFollowers,
    /// For what is shown to them.
    pub(super) lookup: SingleLookup,
}

struct Waiting {
    client: ClientId,
    /// The ids of its instances.
    ids: Vec<u32>,
    /// The applications whose instances it is done to, also those that it adds.
    apps: Vec<String>,
}

impl Clients {
    /// Opens the control socket, and returns the reason if that fails. In the background no other path is used.
    pub(super) fn open(role: &Role) -> (Self, Option<String>) {
        let (server, trouble) = match Self::serve(role) {
            Ok(server) => (Some(server), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let clients = Self {
            server,
            waiting: HashMap::new(),
            tickets: 0,
            followers: Followers::default(),
            events: EventLog::default(),
            event_followers: EventFollowers::default(),
            lookup: SingleLookup::default(),
        };
        (clients, trouble)
    }

    fn serve(role: &Role) -> Result<Server, Box<dyn std::error::Error>> {
        let taken = match SocketFile::take(&role.places, role.name) {
            // Two containers may share a directory.
            Err(Refusal::Taken(_)) if role.name == Name::Default && role.background.is_none() => {
                SocketFile::take(&role.places, Name::Pid(std::process::id()))
            }
            taken => taken,
        };
        let (listen_sockets, listener) = taken?;
        let mut server = Server::new(listen_sockets, listener)?;
        if let Some(first) = role.background.as_ref().and_then(Background::first_client) {
            server.adopt(first)?;
        }
        Ok(server)
    }

    /// Where commands reach it; empty if nowhere.
    pub(super) fn path(&self) -> &Path {
        self.server.as_ref().map_or(Path::new(""), Server::path)
    }

    /// Waits for a request of a client. Cancel-safe.
    pub(super) async fn turn(&mut self) -> io::Result<()> {
        let Some(server) = &mut self.server else { return pending().await };
        self.event_followers.send(&self.events, server);
        self.followers.see_to(server);
        let heard = tokio::select! {
            result = server.turn() => return result,
            heard = self.followers.hear() => heard,
        };
        self.followers.pass_on(heard, server);
        Ok(())
    }

    /// Accepts no more clients. A client that waits for the end learns it from the end of its connection.
    /// Returns the files of the socket, which may be on a file system that does not answer.
    pub(super) fn close(&mut self) -> Option<SocketFile> {
        self.server.as_mut().and_then(Server::stop_listening)
    }

    pub(super) fn answer(&mut self, to: ClientId, answer: &Answer) {
        if let Some(server) = &mut self.server {
            server.answer(to, answer);
        }
    }

    /// Answers a client as soon as there is an answer.
    pub(super) fn answer_later(&mut self, to: ClientId, answer: impl Future<Output = Answer> + 'static) {
        self.followers.answer_later(to, answer);
    }

    pub(super) fn ticket(&mut self, client: ClientId, ids: Vec<u32>, apps: Vec<String>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, Waiting { client, ids, apps });
        ticket
    }

    /// Sends the pending answers that are there.
    pub(super) fn send_ready_answers(&mut self) {
        if let Some(server) = &mut self.server {
            self.followers.send_ready(server);
        }
    }

    /// Passes the machine's reply on to the client that has asked. Success is reported when the pid files say so.
    pub(super) fn reply(&mut self, ticket: Ticket, reply: &Reply, machine: &Machine, pid_files: &PidFiles) {
        let Some(waiting) = self.waiting.get(&ticket) else { return };
        let client = waiting.client;
        let answer = match reply {
            Reply::Done => {
                let of_apps = machine.instances().filter(|view| waiting.apps.contains(&view.spec.name));
                let mut ids: Vec<u32> =
                    waiting.ids.iter().copied().chain(of_apps.map(|view| view.pm_id)).collect();
                ids.sort_unstable();
                ids.dedup();
                Answer::Done { ids }
            }
            Reply::Failed(message) => Answer::failed(message.clone()),
        };
        self.waiting.remove(&ticket);
        match pid_files.settled().filter(|_| *reply == Reply::Done) {
            Some(settled) => self.answer_later(client, async move {
                settled.await;
                answer
            }),
            None => self.answer(client, &answer),
        }
    }

    /// Logs what has happened, keeps it for the clients that follow events, and sends it to those that wait
    /// for these operations.
    pub(super) fn report(&mut self, notice: Notice, tickets: &[Ticket]) {
        let waiting = tickets.iter().filter_map(|ticket| self.waiting.get(ticket));
        let clients: Vec<ClientId> = waiting.map(|waiting| waiting.client).collect();
        self.report_to(notice, clients);
    }

    /// The same for these clients.
    pub(super) fn report_to(&mut self, notice: Notice, clients: Vec<ClientId>) {
        report::log(&notice);
        if !notice.data.is_kept() {
            return;
        }
        let is_step = notice.data.is_step();
        let event = self.events.keep(notice, logs::wall_clock());
        if is_step && !clients.is_empty() {
            let step = Answer::Step(event);
            for client in clients {
                self.answer(client, &step);
            }
        }
    }

    /// Sends the last events to the clients that follow them.
    pub(super) fn send_events(&mut self) {
        if let Some(server) = &mut self.server {
            self.event_followers.send(&self.events, server);
        }
    }
}

impl Supervisor<'_> {
    /// Does what the clients have asked for.
    pub(super) fn serve(&mut self) {
        let requests = self.clients.server.as_mut().map(Server::requests).unwrap_or_default();
        self.answer_all(requests);
    }

    fn answer_all(&mut self, requests: Vec<(ClientId, Request)>) {
        for (client, request) in requests {
            let answer = self.take(client, request);
            self.answer(client, answer);
        }
    }

    /// Answers a client; `None`: it has been answered, or is later.
    pub(super) fn answer(&mut self, client: ClientId, answer: Result<Option<Answer>, Unknown>) {
        match answer {
            Ok(Some(answer)) => self.clients.answer(client, &answer),
            Ok(None) => {}
            Err(Unknown { message, hint }) => {
                self.clients.answer(client, &Answer::Failed { message, hint });
            }
        }
    }

    /// Answers a client whose request has failed after all.
    pub(super) fn answer_failure(&mut self, client: ClientId, done: Result<(), Unknown>) {
        self.answer(client, done.map(|()| None));
    }

    /// The answer comes when files have told what the programs are, as far as that is not known.
    fn describe(&mut self, client: ClientId, targets: &[String]) -> Result<Option<Answer>, Unknown> {
        let ids = if targets.is_empty() { None } else { Some(self.select(targets)?) };
        let Some(programs) = snapshots::look_up_programs(self, ids.as_deref()) else {
            return Ok(Some(self.details(ids.as_deref(), &Programs::default())));
        };
        self.deferred.add_answer(
            self.workers.helpers(),
            programs,
            LOOKUP_TIMEOUT,
            move |supervisor, programs| {
                let answer = supervisor.details(ids.as_deref(), &programs.unwrap_or_default());
                supervisor.clients.answer(client, &answer);
            },
        );
        Ok(None)
    }

    fn details(&mut self, ids: Option<&[InstanceId]>, programs: &Programs) -> Answer {
        let seen = self.usage.look(&mut self.workers, &self.machine, ids.unwrap_or_default());
        Answer::Details(snapshots::details(self, &seen, ids, programs))
    }

    fn show_trees(&mut self, targets: &[String]) -> Result<Answer, Unknown> {
        let ids = if targets.is_empty() { None } else { Some(self.select(targets)?) };
        Ok(Answer::Trees(process_trees::of(self, ids.as_deref())))
    }

    /// An answer, or `None` when it comes later.
    fn take(&mut self, client: ClientId, request: Request) -> Result<Option<Answer>, Unknown> {
        match request {
            Request::Ping => Ok(Some(Answer::Overview(snapshots::overview(self, None)))),
            Request::List => {
                let seen = self.usage.look(&mut self.workers, &self.machine, &[]);
                Ok(Some(Answer::Overview(snapshots::overview(self, Some(&seen)))))
            }
            Request::Monitor => {
                let seen = self.usage.look(&mut self.workers, &self.machine, &[]);
                let surroundings = Some(Box::new(self.usage.look_around(&seen)));
                Ok(Some(Answer::Overview(Overview {
                    surroundings,
                    ..snapshots::overview(self, Some(&seen))
                })))
            }
            Request::Describe { targets } => self.describe(client, &targets),
            Request::Tree { targets } => self.show_trees(&targets).map(Some),
            Request::Environment { target } => {
                let ids = self.select(&[target])?;
                Ok(snapshots::environment(self, client, ids[0]))
            }
            Request::Act { action, targets } => self.act(client, action, &targets),
            Request::Add {
                apps,
                environment,
                update_environment,
                file,
                dry_run,
                taken,
                anew,
                resting,
                empty,
                outside,
            } => {
                let request = AddRequest {
                    apps,
                    environment,
                    update_environment,
                    file: file.map(PathBuf::from),
                    is_own_file: false,
                    dry_run,
                    taken,
                    anew,
                    resting,
                    empty,
                    outside,
                };
                let file = request.file.clone();
                self.with_own_file(client, file.as_deref(), move |supervisor, is_own_file| {
                    supervisor.add(client, AddRequest { is_own_file, ..request }, None).map(|()| None)
                })
            }
            Request::Apply { file, dry_run } => self.apply_request(client, file.map(PathBuf::from), dry_run),
            Request::FileEnvironment { file } => {
                let file = PathBuf::from(file);
                self.with_own_file(client, Some(&file.clone()), move |supervisor, is_own_file| {
                    let environment = supervisor.environment_of_file(&file, is_own_file);
                    Ok(Some(Answer::FileEnvironment(environment)))
                })
            }
            Request::Change { targets, anew, environment, patch } => {
                let ids = self.select(&targets)?;
                let meant = self.without_tasks(client, ids.clone(), &targets);
                let meant = self.pm_ids(&meant);
                let views = ids.iter().filter_map(|id| self.machine.instance(*id));
                let names = views.map(|view| view.spec.name.clone()).collect();
                let request = ChangeRequest { names, meant, environment, patch, anew };
                self.change(client, request, None).map(|()| None)
            }
            Request::Save => Ok(Some(Answer::Saved(self.saved()))),
            Request::Scale { app, count } => self.scale(client, &app, &count),
            Request::Logs { targets, lines, out, err, own, stream } => {
                let own = match (own, targets.is_empty()) {
                    (false, _) => OwnLines::None,
                    (true, true) => OwnLines::All,
                    (true, false) => OwnLines::About,
                };
                let filter = Filter { out, err, own, ..Filter::default() };
                self.show_lines(client, &targets, filter, lines as usize, stream).map(|()| None)
            }
            Request::Events { targets, since, lines, stream } => {
                let filter = self.event_filter(targets)?;
                let recent = Recent { since, lines: lines as usize };
                let Clients { events, event_followers, .. } = &mut self.clients;
                event_followers.add(client, filter, recent, stream, events);
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

    fn scale(&mut self, client: ClientId, app: &str, count: &str) -> Result<Option<Answer>, Unknown> {
        let app = self.app_of(app)?;
        let Some(count) = parse_count(count) else {
            return Ok(Some(Answer::Failed {
                message: format!("`{count}` is no number of instances"),
                hint: Some("`4` sets the number, `+2` adds 2, `-1` removes 1".to_owned()),
            }));
        };
        let operation = Operation::Scale { app: app.clone(), count };
        let names = vec![app];
        self.report_command(command_text(&operation, &names));
        self.operate_on_apps(client, names, operation);
        Ok(None)
    }

    /// Applies the supervisor's own file; a client applies any other one itself.
    fn apply_request(
        &mut self,
        client: ClientId,
        file: Option<PathBuf>,
        dry_run: bool,
    ) -> Result<Option<Answer>, Unknown> {
        let path = file.clone();
        self.with_own_file(client, path.as_deref(), move |supervisor, is_own_file| match file {
            Some(file) if !is_own_file => {
                let environment = supervisor.environment_of_file(&file, is_own_file);
                Ok(Some(Answer::FileEnvironment(environment)))
            }
            Some(_) | None => supervisor.apply_file(client, dry_run).map(|()| None),
        })
    }

    /// Empties the log files of the targets. The answer comes when they are empty.
    fn flush(&mut self, client: ClientId, targets: Vec<String>) -> Result<(), Unknown> {
        let targets = if targets.is_empty() { vec!["all".to_owned()] } else { targets };
        let ids = self.pm_ids(&self.select(&targets)?);
        self.report_command(format!("flush {}", targets.join(" ")));
        let flushed = self.workers.logs().flush(ids.clone());
        self.clients.answer_later(client, async move {
            match tokio::time::timeout(FLUSH_TIMEOUT, flushed).await {
                Ok(Ok(failed)) if failed.is_empty() => Answer::Done { ids },
                Ok(Ok(failed)) => Answer::failed(failed.join("\n")),
                Ok(Err(_)) => Answer::failed("the log has ended"),
                Err(_) => Answer::Failed {
                    message: "the log output is blocked; the files are emptied when it goes on".to_owned(),
                    hint: Some("the reader of procrun's stdout or stderr does not read".to_owned()),
                },
            }
        });
        Ok(())
    }

    /// Does something to the instances that the words mean.
    fn act(
        &mut self,
        client: ClientId,
        action: Action,
        targets: &[String],
    ) -> Result<Option<Answer>, Unknown> {
        let ids = self.select(targets)?;
        let ids = match action {
            Action::Start | Action::Restart | Action::Reload => self.without_tasks(client, ids, targets),
            Action::Stop | Action::Delete | Action::Reset | Action::Signal(_) => ids,
        };
        let operation = match action {
            Action::Start => Operation::Start(ids.clone()),
            Action::Stop => Operation::Stop(ids.clone()),
            Action::Restart => Operation::Restart(ids.clone()),
            Action::Reload => Operation::Reload(ids.clone()),
            Action::Delete => Operation::Delete(ids.clone()),
            Action::Reset => Operation::Reset(ids.clone()),
            Action::Signal(number) => {
                let Some(signal) = Signal::from_number(number) else {
                    return Ok(Some(Answer::failed(format!("{number} is no signal"))));
                };
                Operation::Signal(ids.clone(), signal)
            }
        };
        self.report_command(command_text(&operation, targets));
        let forgets = matches!(operation, Operation::Delete(_));
        self.operate(client, &ids, operation);
        if forgets {
            // Removed apps need no watches and no schedules.
            let plan = self.machine.coming_plan();
            self.follow(&plan);
        }
        Ok(None)
    }

    /// Sends a client the recent lines of these, and with `stream` those that come.
    fn show_lines(
        &mut self,
        client: ClientId,
        targets: &[String],
        mut filter: Filter,
        lines: usize,
        stream: bool,
    ) -> Result<(), Unknown> {
        if !targets.is_empty() {
            let ids = self.select(targets)?;
            filter.names = self.whole_apps(&ids);
            filter.ids = self.pm_ids(&ids);
        }
        let follower = self.workers.logs().follow(filter, lines);
        self.clients.followers.add(client, follower, stream);
        Ok(())
    }

    /// The events of these targets. An application that is gone still has those that are kept.
    fn event_filter(&self, targets: Vec<String>) -> Result<EventFilter, Unknown> {
        let is_app = |word: &String| self.clients.events.knows_app(word);
        let (mut apps, others): (Vec<String>, Vec<String>) = targets.into_iter().partition(is_app);
        let mut ids = Vec::new();
        if !others.is_empty() {
            let found = self.select(&others)?;
            apps.append(&mut self.whole_apps(&found));
            ids = self.pm_ids(&found);
        }
        Ok(EventFilter { ids, apps })
    }

    /// Reports something that has happened.
    pub(super) fn report(&mut self, notice: Notice) {
        self.clients.report(notice, &[]);
    }

    /// Reports a command of a client.
    pub(super) fn report_command(&mut self, command: String) {
        self.report(Notice::of_runtime(EventData::CommandReceived { command }));
    }

    fn operate(&mut self, client: ClientId, ids: &[InstanceId], operation: Operation) {
        let ticket = self.clients.ticket(client, self.pm_ids(ids), Vec::new());
        self.feed(vec![Event::Operate(ticket, operation)]);
    }

    /// As [`Self::operate`], on whole applications.
    pub(super) fn operate_on_apps(&mut self, client: ClientId, apps: Vec<String>, operation: Operation) {
        let ticket = self.clients.ticket(client, Vec::new(), apps);
        self.feed(vec![Event::Operate(ticket, operation)]);
    }

    pub(super) fn select<S: AsRef<str>>(&self, words: &[S]) -> Result<Vec<InstanceId>, Unknown> {
        let views: Vec<_> = snapshots::settled(self).collect();
        let candidates: Vec<Candidate<'_>> = views.iter().map(candidate).collect();
        let ids = select(words, &candidates)?;
        Ok(views.iter().filter(|view| ids.contains(&view.pm_id)).map(|view| view.id).collect())
    }

    /// Without the tasks that have completed or are running, unless a target names them: `all` neither repeats
    /// a migration nor interrupts it. Each skipped task is reported.
    fn without_tasks(&mut self, client: ClientId, ids: Vec<InstanceId>, words: &[String]) -> Vec<InstanceId> {
        let (mut kept, mut left) = (Vec::new(), Vec::new());
        for view in ids.into_iter().filter_map(|id| self.machine.instance(id)) {
            let is_named = words.iter().any(|word| candidate(&view).is_named_by(word));
            match task_state(&view).filter(|_| !is_named) {
                None => kept.push(view.id),
                Some(state) => left.push(Notice::of(view.subject(), EventData::Skipped { state })),
            }
        }
        for notice in left {
            self.clients.report_to(notice, vec![client]);
        }
        kept
    }

    /// The ids of these instances in the process list.
    pub(super) fn pm_ids(&self, ids: &[InstanceId]) -> Vec<u32> {
        let meant = self.machine.instances().filter(|view| ids.contains(&view.id));
        meant.map(|view| view.pm_id).collect()
    }

    /// The applications of which all instances are among these: a new instance of them belongs to them, too.
    fn whole_apps(&self, ids: &[InstanceId]) -> Vec<String> {
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
    fn app_of(&self, word: &str) -> Result<String, Unknown> {
        if self.machine.plan().apps.iter().any(|app| app.name == word) {
            return Ok(word.to_owned());
        }
        let ids = self.select(&[word])?;
        let views = self.machine.instances().filter(|view| ids.contains(&view.id));
        let names: BTreeSet<&str> = views.map(|view| view.spec.name.as_str()).collect();
        match names.iter().collect::<Vec<_>>()[..] {
            [one] => Ok((*one).to_owned()),
            _ => Err(Unknown {
                message: format!("`{word}` means {} applications, and `scale` takes one", names.len()),
                hint: None,
            }),
        }
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
            Status::Stopping | Status::Stopped | Status::Waiting | Status::WaitingRestart | Status::Errored,
        ) => None,
    }
}

/// `4`, `+2` or `-1`.
fn parse_count(text: &str) -> Option<Count> {
    if text.starts_with(['+', '-']) {
        return text.parse().ok().map(Count::By);
    }
    text.parse().ok().filter(|count| *count <= 1000).map(Count::To)
}

/// Milliseconds, as they are shown.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
