//! What the pump does for each message of the supervisor.

use std::{ops::ControlFlow, time::Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};
use tracing::Level;

use super::{Instance, Pump, ReadOutcome, Stream, token};
use crate::logs::{
    format,
    instance::Label,
    message::{Addition, Message},
    own_line::OwnLine,
    stream_kind::{PerStream, StreamKind},
};

impl Pump {
    /// Handles all waiting messages. Breaks when no more can arrive.
    pub(super) fn handle_messages(&mut self) -> ControlFlow<()> {
        while let Some(message) = self.mailbox.receive() {
            match message {
                Message::Expect(label) => self.expect(&label),
                Message::Add(addition) => self.add(*addition),
                Message::RunEnded(id) => self.run_ended(id),
                Message::LastLines(ids, done) => {
                    // An error: the supervisor no longer waits.
                    let _ = done.send(ids.into_iter().map(|id| self.last_lines(id)).collect());
                }
                Message::Remove(key) => {
                    let pm_id = self.instances.get(&key).map(|instance| instance.line_style.pm_id());
                    self.remove(key);
                    // A successor in a reload continues the lines of its predecessor.
                    let has_id = |instance: &Instance| Some(instance.line_style.pm_id()) == pm_id;
                    if let Some(pm_id) = pm_id.filter(|_| !self.instances.values().any(has_id)) {
                        self.writer.remove_history(pm_id);
                    }
                }
                Message::Flush(ids, done) => {
                    let _ = done.send(self.empty(&ids));
                }
                Message::Own(line) => self.writer.own(&line),
                Message::Dropped(count) => self.writer.own(&OwnLine::dropped(count)),
                Message::Unread(count) => {
                    let message = format!(
                        "the output of {count} ended processes is lost: procrun's output was not read in time"
                    );
                    self.writer.report(Level::WARN, message);
                }
                Message::Finish(done) => {
                    self.drain_all();
                    // The receiver may be gone.
                    let _ = done.send(());
                }
                Message::Shut(done) => {
                    self.shut();
                    let _ = done.send(());
                }
                Message::Close => {
                    self.shut();
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn expect(&mut self, label: &Label) {
        if self.writer.widen(&format::label(label.id, &label.name)) {
            for instance in self.instances.values_mut() {
                self.writer.align(&mut instance.line_style);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn add(&mut self, addition: Addition) {
        let Addition { label, sinks, out, err } = addition;
        let id = label.key;
        self.remove(id);
        let line_style = self.writer.line_style(&label, &sinks, Instant::now());
        let streams = PerStream { out: Stream::new(out), err: Stream::new(err) };
        for kind in StreamKind::BOTH {
            let stream = streams.of(kind);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token(id, kind));
            if let Some(pipe) = &stream.pipe
                && let Err(errno) = self.epoll.add(pipe, event)
            {
                let message = format!("cannot read the output of {}|{}: {errno}", label.id, label.name);
                self.writer.report(Level::ERROR, message);
            }
        }
        let wider = !line_style.disabled && self.writer.widen(&format::label(label.id, &label.name));
        let run_begins = self.writer.next_line();
        self.instances.insert(id, Instance { streams, line_style, run_begins, ended: 0..0 });
        for (other, instance) in &mut self.instances {
            if wider || *other == id {
                self.writer.align(&mut instance.line_style);
            }
        }
    }

    fn run_ended(&mut self, id: u32) {
        self.drain(id);
        let next = self.writer.next_line();
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.ended = std::mem::replace(&mut instance.run_begins, next)..next;
        }
    }

    fn last_lines(&self, id: u32) -> String {
        let instance = self.instances.get(&id);
        instance.map_or_else(String::new, |Instance { line_style, ended, .. }| {
            self.writer.last_lines(line_style, StreamKind::Err, ended.clone())
        })
    }

    fn remove(&mut self, id: u32) {
        self.drain(id);
        if let Some(mut instance) = self.instances.remove(&id) {
            for kind in StreamKind::BOTH {
                if let Some(pipe) = &instance.streams.of(kind).pipe {
                    // It was added and is open: this cannot fail.
                    let _ = self.epoll.delete(pipe);
                }
            }
            self.writer.close_files(&mut instance.line_style);
        }
    }

    /// Empties the files of these instances and drops their recent lines. Returns the failures.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn empty(&mut self, ids: &[u32]) -> Vec<String> {
        let now = Instant::now();
        let mut failed = Vec::new();
        for Instance { line_style, .. } in self.instances.values() {
            if ids.contains(&line_style.pm_id()) {
                self.writer.empty(line_style, now, &mut failed);
            }
        }
        failed
    }

    fn drain_all(&mut self) {
        let ids: Vec<u32> = self.instances.keys().copied().collect();
        for id in ids {
            self.drain(id);
        }
        self.writer.flush();
    }

    /// Writes all readable output, closes the files and reports losses.
    fn shut(&mut self) {
        self.drain_all();
        for instance in self.instances.values_mut() {
            self.writer.close_files(&mut instance.line_style);
        }
        self.writer.shut();
    }

    /// Reads the output of an instance up to now and ends its last line. It reads at most the capacity of the pipes:
    /// an orphan that continues to write must not keep the pump here.
    fn drain(&mut self, id: u32) {
        for kind in StreamKind::BOTH {
            let Some(instance) = self.instances.get(&id) else { return };
            let mut left = instance.streams.of(kind).capacity;
            while left > 0 {
                match self.read(id, kind) {
                    ReadOutcome::Bytes(count) => left = left.saturating_sub(count),
                    ReadOutcome::Nothing => break,
                    ReadOutcome::End => {
                        self.end(id, kind);
                        break;
                    }
                }
            }
            self.end_line(id, kind);
        }
    }
}
