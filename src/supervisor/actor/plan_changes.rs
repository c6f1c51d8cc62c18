//! The parts that follow the plan: watched files, schedules and their time zones, memory limits, held sockets.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::{
    super::{clock, listen_sockets::Socket, zones},
    Supervisor, cpus_for,
};
use crate::{
    machine::{
        Input,
        events::{EventData, Notice, RuntimePart},
    },
    spec::{AppSpec, HumanDuration, Plan},
    watch::WatchEvent,
};

impl Supervisor<'_> {
    /// Lets the parts follow a new plan; the machine keeps the old one while an application is being reloaded.
    /// Returns the number of CPUs for the plan.
    pub(super) fn follow(&mut self, plan: &Plan) -> u32 {
        self.report_sockets();
        self.follow_schedules(plan);
        self.watch(plan);
        self.memory.follow(plan);
        cpus_for(plan)
    }

    /// Watches the files of this plan from now on.
    pub(super) fn watch(&mut self, plan: &Plan) {
        if let Err(error) = self.watcher.follow(plan) {
            self.report(Notice::outage(RuntimePart::Watching, error));
        }
    }

    /// Handles and reports events of the watcher.
    pub(super) fn handle_watch_events(&mut self, events: Vec<WatchEvent>) {
        let events = events.into_iter().filter_map(|event| self.handle_watch_event(event)).collect();
        self.feed(events);
    }

    fn handle_watch_event(&mut self, event: WatchEvent) -> Option<Input> {
        let (app, data) = match event {
            WatchEvent::Changed { app, path } => return Some(Input::FilesChanged { app, path }),
            WatchEvent::Watching { app, what, took } => {
                let took = HumanDuration(took);
                debug!(app, "{app}: watching {what}, found in {took}");
                return None;
            }
            WatchEvent::Missing { app, path, why } => (app, EventData::PathMissing { path, error: why }),
            WatchEvent::Polling { app, why, interval } => {
                (app, EventData::WatchPolling { reason: why, interval })
            }
        };
        self.report(Notice::of_app(&app, data));
        None
    }

    /// Follows the schedules of this plan from now on.
    pub(super) fn follow_schedules(&mut self, plan: &Plan) {
        self.schedules.follow(plan);
        self.zones.follow(self.schedules.know_zones(), clock::now());
        self.report_schedules();
    }

    /// Handles the applications that are due.
    pub(super) fn handle_due(&mut self) {
        let due = self.schedules.due();
        self.report_schedules();
        self.feed(due.into_iter().map(|app| Input::ScheduleDue { app }).collect());
    }

    /// Looks up the time zones that are not known, if a look-up is due.
    pub(super) fn find_zones(&mut self, now: Instant) {
        if !self.zones.is_due(now) {
            return;
        }
        let apps = self.machine.pending_plan().apps.into_iter();
        let unknown: Vec<Arc<AppSpec>> = apps.filter(|app| self.schedules.lacks_zone(&app.name)).collect();
        let helpers = self.workers.helpers();
        let Some(found) = self.zones.look_up(unknown, self.source, helpers) else { return };
        self.when_answered(found, zones::TIMEOUT, |supervisor, found| {
            for (app, zone) in found.into_iter().flatten() {
                supervisor.schedules.set_zone(&app, &zone);
            }
            supervisor.report_schedules();
            supervisor.zones.follow(supervisor.schedules.know_zones(), clock::now());
        });
    }

    /// Reports what happened to the schedules.
    fn report_schedules(&mut self) {
        for data in self.schedules.take_reports() {
            self.report(Notice::of_runtime(data));
        }
    }

    /// Reports sockets that were opened since the last time.
    pub(super) fn report_sockets(&mut self) {
        for report in self.listen_sockets.reports() {
            self.report(report);
        }
    }

    /// Closes the held sockets that no application uses.
    pub(super) fn close_unused_sockets(&mut self) {
        let machine = &self.machine;
        let unused = self
            .listen_sockets
            .keep_only(|app, listen| machine.is_any_alive(|spec| spec.name == app && spec.listen == listen));
        self.close_unused(unused);
    }

    /// Closes these sockets, and those of clusters that are not used any more.
    pub(super) fn close_unused(&mut self, sockets: Vec<Arc<Socket>>) {
        let files = self.node.closed_files();
        self.closed_sockets.close(sockets, files, self.workers.helpers());
    }
}
