//! Reads a configuration before anything is supervised, and evaluates it if it is a JavaScript file.

use std::io;

use tokio::time::Instant;

use super::{
    early_stop::{stop_by, unless_stopped},
    evaluation::Running,
    helper_threads::{HelperThreads, panicked},
    set_up::{failed_set_up, runtime, set_up},
};
use crate::{
    config::{EvaluationEnd, Loaded, Problem, Problems, Read, Source},
    spec::Signal,
    sys::{
        process::{self, OpenFiles},
        reap,
        signals::{Dispositions, Signals},
        tree::{self, Root},
    },
};

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
        let for_thread = source.clone();
        let loaded = match on_helper(&mut signals, &helpers, move || for_thread.read()).await {
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

/// Waits for the evaluation of `source` if it needs one. `Err`: a signal asked to stop.
pub(super) async fn finish_reading(
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

/// Does work with files, whose file system may not answer. `Err`: a signal asked to stop.
async fn on_helper<T: Send + 'static>(
    signals: &mut Signals,
    helpers: &HelperThreads,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<io::Result<T>, Signal> {
    let answer = match helpers.request(work) {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let answer = unless_stopped(signals, answer).await?;
    Ok(answer.and_then(|answer| answer.map_err(|_| panicked())))
}
