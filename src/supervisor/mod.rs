//! The one actor that owns the process table: select → step → carry out.
//!
//! Everything that procrun does to processes happens in its turn, on one thread: spawn and
//! register, reap and look up, signal, arm timers. It decides nothing; that is the machine's.

mod actor;
mod add_request;
mod added_apps;
mod app_update;
mod background;
mod boot;
mod change_request;
mod clients;
mod command_text;
mod config_reload;
mod deferred;
mod evaluation;
mod event_log;
mod failed_start;
mod health_checks;
mod helper_threads;
mod input;
mod inspector;
mod launch;
mod listen_sockets;
mod log_files;
mod log_followers;
mod lookup;
mod memory;
mod outages;
mod own_file;
mod package;
mod panics;
mod pid_file;
mod preflight;
mod process_trees;
mod report;
mod requests;
mod schedules;
mod service_manager;
mod snapshots;
mod start_job;
mod start_progress;
mod starting;
mod stop_targets;
mod targets;
mod termination;
mod timers;
mod unexplained;
mod usage;
mod web_server;
mod workers;
mod zones;

use std::{
    future::Future,
    io::{self, Write},
    mem::ManuallyDrop,
    os::fd::AsFd as _,
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, sleep};

pub use self::{background::Background, service_manager::ServiceManager, termination::not_started};
use self::{boot::Boot, evaluation::Running, helper_threads::HelperThreads};
use crate::{
    config::{EvaluationEnd, Loaded, Problem, Problems, Read, Source},
    control::{Name, SocketPaths},
    shown::printable_lines,
    spec::{ExitCode, Signal, TerminationLog},
    sys::{
        descriptor_reserve, launch_slots, limits,
        process::{self, OpenFiles},
        reap,
        signals::{self, Dispositions, Received, Sender, Signals},
        tree::{self, Root},
    },
};

/// The exit code for a failure of procrun's own set-up (sysexits.h: `EX_OSERR`).
const SET_UP_FAILED: ExitCode = 71;

/// The handlers for real-time signals are installed after this time, unless the first process is made before:
/// without them such a signal ends procrun, or is lost where procrun is PID 1.
const REALTIME_DELAY: Duration = Duration::from_millis(100);

/// The role of a supervisor: its control socket, and whether it runs in the background.
#[derive(Debug)]
pub struct Role {
    /// Where the socket may be.
    pub places: SocketPaths,
    /// The name of its socket.
    pub name: Name,
    /// It runs in the background.
    pub background: Option<Background>,
}

impl Role {
    /// Reports to the service manager, if one waits, that commands are accepted.
    fn report_ready(&self) {
        if let Some(background) = &self.background
            && let Err(error) = background.report_ready()
        {
            print_early(format_args!("warn: cannot report to the service manager: {error}"));
        }
    }
}

/// Runs the apps of `source` in the foreground until the end, and returns the exit code.
///
/// Errors are printed to stderr; a configuration with errors starts nothing. Without a directory for its
/// control socket it runs without one.
pub fn run(source: &Source, role: &Role) -> ExitCode {
    panics::install_hook();
    process::limit_allocator_arenas();
    // The set-up runs beside it.
    let boot = Boot::begin(source);
    match set_up().and_then(|(installed, open_files)| {
        limits::lower_own_oom_score();
        // The process ends right after; see the end of `supervise`.
        let runtime = ManuallyDrop::new(runtime()?);
        panics::guard(|| {
            runtime.block_on(async {
                let signals = Signals::new(installed)?;
                // On the heap: the future holds the state of every part, and the stack would keep its room.
                Box::pin(actor::supervise(source, role, signals, open_files, boot)).await
            })
        })
    }) {
        Ok(code) => code,
        Err(error) => {
            let error = format!("error: procrun cannot start: {error}");
            print_early(&error);
            if role.background.is_none() {
                not_started(&TerminationLog::IfThere, &error);
            }
            SET_UP_FAILED
        }
    }
}

/// Reads `source` without starting anything but the child that evaluates a JavaScript file. Afterwards signals
/// have their earlier dispositions again, and so have the limits of this process.
///
/// # Errors
/// All errors of the configuration.
pub fn evaluate(source: &Source) -> Result<Loaded, Problems> {
    process::limit_allocator_arenas();
    let before = Dispositions::now();
    let set_up = set_up().and_then(|(installed, open_files)| Ok((installed, open_files, runtime()?)));
    let (installed, open_files, runtime) = set_up.map_err(|error| failed_set_up(&error))?;
    let loaded = runtime.block_on(async {
        let mut signals = Signals::new(installed).map_err(|error| failed_set_up(&error))?;
        let helpers = HelperThreads::default();
        let theirs = source.clone();
        let loaded = match on_helper(&mut signals, &helpers, move || theirs.read()).await {
            // Without a thread, better here than not at all.
            Ok(read) => {
                let read = read.unwrap_or_else(|_| source.read());
                finish_reading(source, read, &mut signals, open_files, &helpers).await
            }
            Err(stop) => Err(stop),
        };
        match loaded {
            Ok(loaded) => loaded.and_then(Loaded::answered),
            Err(stop) => {
                let problem = Problem::new(format!("interrupted by {stop}"));
                Err(Problems::one(stop.exit_code(), problem))
            }
        }
    });
    before.restore();
    open_files.restore();
    loaded
}

fn failed_set_up(error: &io::Error) -> Problems {
    Problems::one(SET_UP_FAILED, Problem::new(format!("procrun cannot start: {error}")))
}

/// What comes before everything else: as PM2's users know, a SIGTERM to PID 1 is lost until
/// there is a handler for it.
fn set_up() -> io::Result<(signals::Installed, OpenFiles)> {
    let installed = signals::install()?;
    // PID 1 gets the orphans anyway.
    if let Err(error) = process::become_subreaper()
        && !process::is_pid1()
    {
        print_early(format_args!(
            "warn: prctl(PR_SET_CHILD_SUBREAPER) is refused: {error}; processes whose parent ends are not found and \
             not stopped\n  hint: allow it in the container's seccomp profile, or run procrun as PID 1"
        ));
    }
    process::set_close_on_exec();
    let open_files = process::raise_open_files();
    launch_slots::reserve(io::stdin().as_fd());
    descriptor_reserve::fill();
    Ok((installed, open_files))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A message before or without the log. If stderr is closed, it is lost.
fn print_early(what: impl std::fmt::Display) {
    // It may contain the name of a file, or output of a program.
    let _ = writeln!(io::stderr(), "{}", printable_lines(&what.to_string()));
}

/// Waits for the evaluation of `source` if it needs one. `Err`: a signal asked to stop.
async fn finish_reading(
    source: &Source,
    read: Result<Read, Problems>,
    signals: &mut Signals,
    open_files: OpenFiles,
    helpers: &HelperThreads,
) -> Result<Result<Loaded, Problems>, Signal> {
    let evaluation = match read {
        Err(problems) => return Ok(Err(problems)),
        Ok(Read::Loaded(loaded)) => return Ok(Ok(loaded)),
        Ok(Read::NeedsEvaluation(evaluation)) => evaluation,
    };
    if let Err(error) = signals.receive_realtime() {
        return Ok(Err(failed_set_up(&error)));
    }
    let preexisting_children = tree::children();
    let started = Running::start(evaluation, source.environment(), open_files, helpers, Instant::now());
    let mut running = match started {
        Ok(running) => running,
        Err(problems) => return Ok(Err(problems)),
    };
    let mut stop = None;
    let (mut received, mut others) = (Vec::new(), Vec::new());
    while !running.is_done() {
        tokio::select! {
            result = signals.wait(&mut received) => {
                if let Err(error) = result {
                    return Ok(Err(failed_set_up(&error)));
                }
            }
            () = running.advance() => {}
        }
        for one in received.drain(..) {
            match stop_by(one) {
                Some(signal) => {
                    stop = Some(signal);
                    running.abort(EvaluationEnd::Signaled(signal));
                }
                // All children are reaped below.
                None if Signal::from_number(one.number) == Some(Signal::CHLD) => {}
                None => others.push(one),
            }
        }
        while let Some((pid, status)) = reap::next() {
            running.reaped(pid, status);
        }
    }
    signals.put_back(others);
    match stop {
        Some(signal) => {
            // What the file has started and left behind ends with it.
            let left = tree::children().into_iter().filter(|pid| !preexisting_children.contains(pid));
            tree::kill(left.map(Root::of_leader));
            Err(signal)
        }
        None => Ok(match on_helper(signals, helpers, move || running.finish()).await? {
            Ok(loaded) => loaded,
            Err(error) => Err(failed_set_up(&error)),
        }),
    }
}

/// Does something with files, on whatever file system they are. `Err`: a signal asked to stop.
async fn on_helper<T: Send + 'static>(
    signals: &mut Signals,
    helpers: &HelperThreads,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<io::Result<T>, Signal> {
    let answer = match helpers.ask(work) {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let answer = unless_stopped(signals, answer).await?;
    Ok(answer.and_then(|answer| answer.map_err(|_| io::Error::other("a thread of procrun has panicked"))))
}

/// Waits for something before anything is supervised. `Err`: a signal asked to stop. The supervisor's loop gets
/// the other signals: one may ask to read the configuration again.
async fn unless_stopped<T>(
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

/// The signal, if it asks to stop before anything is supervised. From the kernel, SIGHUP says that the terminal
/// is gone.
fn stop_by(Received { number, sender }: Received) -> Option<Signal> {
    let is_from_terminal = sender == Sender::Kernel;
    Signal::from_number(number).filter(|it| is_stop(*it) || *it == Signal::HUP && is_from_terminal)
}

fn is_stop(signal: Signal) -> bool {
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
