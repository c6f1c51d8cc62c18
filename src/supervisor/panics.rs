//! A panic in the supervisor: it is reported like every other error, and PID 1 stops its processes in order.
//!
//! The supervisor's own thread cannot continue after a panic: its process table may be half changed. Its other
//! threads restart ([`threads`](crate::sys::threads)).

use std::{
    any::Any,
    io,
    panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::{Mutex, Once, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{early_output::print_early, termination::not_started};
use crate::{
    logs::Logs,
    spec::{ExitCode, Signal, TerminationLog},
    sys::{
        process, reap, spawn,
        tree::{self, Root},
    },
};

/// The exit code after a panic (sysexits.h: `EX_SOFTWARE`).
const PANICKED: ExitCode = 70;
/// How long processes get to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the last lines get to be written.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval of checks for ended processes: SIGCHLD has no reader any more.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The log, as soon as there is one.
static LOGS: OnceLock<Logs> = OnceLock::new();
/// Where the reason of the end is written.
static TERMINATION_LOG: Mutex<TerminationLog> = Mutex::new(TerminationLog::IfThere);
/// The message of the last panic.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Reports every panic from now on: on stderr, and in the log once [`log_to`] has named it.
pub(super) fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| panic::set_hook(Box::new(report)));
}

/// Names the log, which is also `procrun.log` in the background, and the file for the reason of the end.
pub(super) fn log_to(logs: &Logs, termination_log: TerminationLog) {
    let _ = LOGS.set(logs.clone());
    *TERMINATION_LOG.lock().unwrap_or_else(PoisonError::into_inner) = termination_log;
}

fn report(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let message = describe(
        thread.name().unwrap_or("unnamed"),
        info.payload(),
        info.location().map(ToString::to_string).as_deref(),
    );
    if let Ok(mut last) = LAST.try_lock() {
        *last = Some(message.clone());
    }
    // The panicking thread may be within the log.
    if !LOGS.get().is_some_and(|logs| logs.own_from_panic(message.clone())) {
        print_early(format_args!("error: {message}"));
    }
}

/// ``the thread `logs` panicked at src/logs/pump.rs:3:1: why``.
fn describe(thread: &str, payload: &(dyn Any + Send), place: Option<&str>) -> String {
    let why = payload.downcast_ref::<&str>().copied();
    let why = why.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    format!(
        "the thread `{thread}` panicked at {}: {why}; this is a bug in procrun {}\n  \
         hint: report it with these lines",
        place.unwrap_or("an unknown place"),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Runs the supervisor. After a panic, its processes are stopped in order and the reason is written down.
pub(super) fn guard(supervise: impl FnOnce() -> io::Result<ExitCode>) -> io::Result<ExitCode> {
    if let Ok(result) = catch_unwind(AssertUnwindSafe(supervise)) {
        return result;
    }
    // Threads go on with the starts that wait for them.
    spawn::close();
    stop_children();
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    let why = last.unwrap_or_else(|| "procrun panicked".to_owned());
    let to = TERMINATION_LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    not_started(&to, &format_args!("{why}\nprocrun exits with code {PANICKED}"));
    if let Some(logs) = LOGS.get() {
        let mut written = logs.shut();
        wait_until(LOG_FLUSH_TIMEOUT, || written.try_recv().is_ok());
    }
    Ok(PANICKED)
}

/// SIGTERM to all processes below this one, and SIGKILL to those that are left.
fn stop_children() {
    for child in tree::children() {
        // It may have ended meanwhile.
        let _ = process::signal(child, Signal::TERM.number());
    }
    wait_until(STOP_TIMEOUT, || {
        while reap::next().is_some() {}
        tree::children().is_empty()
    });
    tree::kill(tree::children().into_iter().map(Root::of_leader));
}

#[expect(
    clippy::disallowed_methods,
    reason = "it waits for a condition, with a deadline; the runtime has ended"
)]
fn wait_until(limit: Duration, mut is_done: impl FnMut() -> bool) {
    let start = now();
    while !is_done() && now().saturating_duration_since(start) < limit {
        thread::sleep(POLL_INTERVAL);
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime has ended")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn a_panic_is_described_by_its_thread_place_and_message() {
        let text = describe("logs", &"index out of range", Some("src/a.rs:1:2"));
        assert!(
            text.starts_with("the thread `logs` panicked at src/a.rs:1:2: index out of range; this is a bug")
        );
        let text = describe("main", &"of a String".to_owned(), None);
        assert!(text.starts_with("the thread `main` panicked at an unknown place: of a String;"));
        assert!(describe("main", &7, None).contains("no message"));
    }
}
