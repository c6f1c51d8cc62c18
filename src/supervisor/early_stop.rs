//! Signals that arrive before anything is supervised: those that ask to stop end procrun at once, the others are
//! kept for the supervisor's loop.

use std::{future::Future, io, pin::pin, time::Duration};

use tokio::time::sleep;

use super::early_output::print_early;
use crate::{
    spec::{ExitCode, Signal},
    sys::signals::{Received, Sender, Signals},
};

/// The handlers for real-time signals are installed after this time, unless the first process is made before:
/// without them such a signal ends procrun, or is lost where procrun is PID 1.
pub(super) const REALTIME_DELAY: Duration = Duration::from_millis(100);

/// Waits for something before anything is supervised. `Err`: a signal asked to stop. The supervisor's loop gets
/// the other signals: one may ask to read the configuration again.
pub(super) async fn unless_stopped<T>(
    signals: &mut Signals,
    work: impl Future<Output = T>,
) -> Result<io::Result<T>, Signal> {
    let (mut work, mut realtime) = (pin!(work), pin!(sleep(REALTIME_DELAY)));
    let mut received = Vec::new();
    loop {
        tokio::select! {
            result = &mut work => {
                signals.put_back(received);
                return Ok(Ok(result));
            }
            result = signals.wait(&mut received) => {
                if let Err(error) = result {
                    return Ok(Err(error));
                }
            }
            () = &mut realtime, if !realtime.is_elapsed() => {
                // The supervisor tries again, and reports an error.
                let _ = signals.receive_realtime();
            }
        }
        if let Some(signal) = received.iter().find_map(|one| stop_by(*one)) {
            return Err(signal);
        }
    }
}

/// The signal, if it asks to stop before anything is supervised. The kernel sends SIGHUP when the terminal is gone.
pub(super) fn stop_by(Received { number, sender }: Received) -> Option<Signal> {
    let is_from_terminal = sender == Sender::Kernel;
    Signal::from_number(number).filter(|it| is_stop(*it) || *it == Signal::HUP && is_from_terminal)
}

/// Reports a signal that asked to stop before anything was supervised. Returns the exit code.
pub(super) fn stopped_early(signal: Signal) -> ExitCode {
    print_early(format_args!("received {signal} before anything was started, procrun exits with code 0"));
    0
}

pub(super) fn is_stop(signal: Signal) -> bool {
    matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT)
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn before_the_boot_a_terminal_that_is_gone_asks_to_stop_and_a_process_to_read_again() {
        let stop = |number, sender| stop_by(Received { number, sender });
        assert_eq!(stop(libc::SIGHUP, Sender::Kernel), Some(Signal::HUP));
        assert_eq!(stop(libc::SIGHUP, Sender::Process(1)), None);
        assert_eq!(stop(libc::SIGTERM, Sender::Process(1)), Some(Signal::TERM));
        assert_eq!(stop(libc::SIGUSR2, Sender::Kernel), None);
        assert_eq!(stop(0, Sender::Kernel), None);
    }
}
