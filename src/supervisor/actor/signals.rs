//! Signals that procrun receives.

use super::{
    super::{early_stop::is_stop, reading::ReadRequest},
    Supervisor,
};
use crate::{
    machine::{
        Input, ShutdownRequest,
        events::{EventData, Notice, SentBy, SignalUse},
    },
    spec::Signal,
    sys::signals::{Received, Sender},
};

impl Supervisor<'_> {
    pub(super) fn handle_signal(&mut self, Received { number, sender }: Received) {
        let Some(signal) = Signal::from_number(number).filter(|signal| *signal != Signal::CHLD) else {
            return;
        };
        let _held = self.logs.hold();
        let sender_pid = match sender {
            Sender::Kernel => None,
            Sender::Process(pid) => Some(pid),
        };
        let action = match (signal, sender) {
            (signal, _) if is_stop(signal) => SignalUse::Stop,
            (Signal::HUP, Sender::Kernel) => SignalUse::StopWithoutTerminal,
            (Signal::HUP, Sender::Process(_)) if self.machine.is_stopping() => SignalUse::Ignore,
            (Signal::HUP, Sender::Process(_)) => SignalUse::ReadConfig(self.source.name().to_owned()),
            _ => SignalUse::Forward,
        };
        let data = EventData::SignalReceived { signal, sender_pid, action: action.clone() };
        self.report(Notice::of_runtime(data));
        match action {
            SignalUse::Stop => self.stop(signal, format!("stopped by {signal}{}", SentBy(sender_pid))),
            // Many programs re-read their files on SIGHUP instead of ending.
            SignalUse::StopWithoutTerminal => {
                self.stop(Signal::TERM, "stopped by SIGHUP, its terminal is gone".to_owned());
            }
            SignalUse::Ignore => {}
            SignalUse::ReadConfig(_) => self.start_reading(ReadRequest::by_signal()),
            SignalUse::Forward => self.feed(vec![Input::ForwardSignal(signal)]),
        }
    }

    /// Stops everything; `why` is text for the log.
    pub(super) fn stop(&mut self, signal: Signal, why: String) {
        self.shutdown.is_requested = true;
        self.shutdown.cause.stop_reason.get_or_insert(why);
        // The workers first: they have something to finish.
        self.feed(vec![Input::Shutdown(ShutdownRequest { signal })]);
        self.shutdown.stray_signal = Some(signal);
        self.stop_strays();
    }

    /// Stops processes of no app, unless `pre_stop_delay` applies.
    pub(super) fn stop_strays(&mut self) {
        if let Some(signal) = self.shutdown.stray_signal.take_if(|_| !self.machine.is_closing()) {
            self.workers.signal_strays(signal);
        }
    }
}
