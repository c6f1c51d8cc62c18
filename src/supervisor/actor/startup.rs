//! From the configuration to a running supervisor, and an end before anything is supervised.

use std::{io, sync::Arc};

use tracing_subscriber::layer::SubscriberExt;

use super::{
    super::{
        added_apps::AddedApps,
        boot::{self, Boot, Prepared},
        clients::Clients,
        clock,
        closed_sockets::ClosedSockets,
        deferred::Deferred,
        early_output::print_early,
        early_stop::{REALTIME_DELAY, stopped_early, unless_stopped},
        event_queue::event_queue,
        health_checks::Checks,
        helper_threads::HelperThreads,
        job_queues::Purpose,
        launch::Resources,
        lookup::SingleLookup,
        memory::Memory,
        outages::Outages,
        own_file::OwnFile,
        panics,
        preflight::{PendingResults, Results},
        reading::Reading,
        role::Role,
        schedules::Schedules,
        termination::not_started,
        timers::Timers,
        unexplained::Unexplained,
        usage::UsageSamples,
        wall_clock::WallClock,
        web_server,
        workers::Workers,
        zones::Zones,
    },
    BootPhase, Shutdown, Supervisor, cpus_for,
    shutdown::FILES_TIMEOUT,
};
use crate::{
    config::{Loaded, Problems, Source},
    health::Notify,
    logs::{self, Logs},
    machine::{
        Machine,
        events::{EventData, Notice},
    },
    node::Hub,
    spec::{ExitCode, Plan, TerminationLog},
    sys::{pipes::Budget, process::OpenFiles, signals::Signals, spawn},
    watch::Watcher,
};

/// The exit code of a background supervisor when another one has its socket.
const SECOND_SUPERVISOR: ExitCode = 1;

/// Reads the configuration and runs it to its end.
pub(in crate::supervisor) async fn supervise(
    source: &Source,
    role: &Role,
    mut signals: Signals,
    open_files: OpenFiles,
    boot: Boot,
) -> io::Result<ExitCode> {
    let Boot { helpers, mut listen_sockets, cgroups, found } = boot;
    // While the configuration is read.
    let null = Arc::new(spawn::dev_null()?);
    let mut node = Hub::default();
    let (event_sender, thread_events) = event_queue();
    let prepared = boot::finish(found, source, &mut signals, open_files, &helpers, &listen_sockets).await;
    let Prepared { loaded: Loaded { plan, notices, .. }, preflight, results } = match prepared {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(problems)) => return Ok(unreadable(role, &problems)),
        Err(signal) => {
            // Checks may have begun.
            helpers.finish(Purpose::File, clock::now() + FILES_TIMEOUT).await;
            return Ok(stopped_early(signal));
        }
    };
    let mut clients = Clients::new(role, &helpers);
    if role.background.is_some()
        && let Err(code) = open_for_background(&mut clients, &mut signals).await?
    {
        return Ok(code);
    }
    // The applications are checked meanwhile.
    let logs = match &role.background {
        None => Logs::start(&plan.runtime.log)?,
        Some(background) => background.logs(&plan.runtime.log)?,
    };
    let checked = checked(results, source, role, &plan, &mut signals, &helpers, &mut clients).await?;
    let (results, web) = match checked {
        Ok(checked) => checked,
        Err(code) => return Ok(code),
    };
    if web.is_some() {
        node.measure_from_start();
    }
    let notices = [notices, results.notices()].concat();
    results.into_apps(&mut listen_sockets);
    let subscriber =
        tracing_subscriber::registry().with(logs::layer(logs.clone(), plan.runtime.log.verbosity));
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    let termination_log =
        if role.background.is_some() { TerminationLog::Off } else { plan.runtime.termination_log.clone() };
    panics::log_to(&logs, termination_log);
    report_early(&mut clients, notices, listen_sockets.reports().into_iter().chain(web));
    let cpus = cpus_for(&plan);
    let machine = Machine::new(plan, cpus);
    let resources = Resources {
        inherited: Arc::new(source.environment().clone()),
        packages: Arc::default(),
        sockets: listen_sockets.open().clone(),
        helpers,
        scripts: node.scripts().clone(),
        budget: Budget::new(machine.instances().count() * 2),
        null,
        open_files,
    };
    let workers = Workers::new(resources, logs.clone(), cgroups, event_sender);
    let began = clock::now();
    let mut supervisor = Supervisor {
        source,
        began,
        machine,
        workers,
        clients,
        node,
        notify: Notify::default(),
        checks: Checks::default(),
        listen_sockets,
        closed_sockets: ClosedSockets::default(),
        memory: Memory::new(began),
        logs: logs.clone(),
        timers: Timers::default(),
        watcher: Watcher::default(),
        schedules: Schedules::new(),
        zones: Zones::default(),
        unexplained: Unexplained::default(),
        signals,
        realtime_at: Some(began + REALTIME_DELAY),
        trim_at: None,
        outages: Outages::default(),
        thread_events,
        usage: UsageSamples::default(),
        wall_clock: WallClock::default(),
        program_lookup: SingleLookup::default(),
        open_files,
        evaluation: None,
        home: role.background.as_ref().map(|background| background.home.clone()),
        added: AddedApps::default(),
        own_file: OwnFile::default(),
        reading: Reading::default(),
        preflight,
        deferred: Deferred::default(),
        boot: BootPhase::NotBegun,
        shutdown: Shutdown::default(),
        effects: Vec::new(),
    };
    role.report_ready();
    let code = supervisor.run().await;
    supervisor.clean_up(role, code, &logs).await;
    // The kernel takes everything back faster than it could be given back piece by piece.
    std::mem::forget(supervisor);
    Ok(code)
}

/// Opens the control socket of a supervisor in the background: there is one for each home, and commands are the only
/// way to it. An error: procrun ends with this code.
async fn open_for_background(
    clients: &mut Clients<'_>,
    signals: &mut Signals,
) -> io::Result<Result<(), ExitCode>> {
    clients.begin_to_open();
    Ok(match unless_stopped(signals, clients.opened()).await {
        Ok(opened) => opened?.map_err(|error| {
            print_early(format_args!("error: {error}"));
            SECOND_SUPERVISOR
        }),
        Err(signal) => Err(stopped_early(signal)),
    })
}

/// Waits for the checks of what the applications need, and for the HTTP server. An error: procrun ends with this
/// code.
async fn checked(
    results: PendingResults,
    source: &Source,
    role: &Role,
    plan: &Plan,
    signals: &mut Signals,
    helpers: &HelperThreads,
    clients: &mut Clients<'_>,
) -> io::Result<Result<(Results, Option<Notice>), ExitCode>> {
    let mut web = web_server::start(plan, source);
    let code = match unless_stopped(signals, results).await {
        Ok(results) => {
            let results = results?;
            match refused(role, &plan.runtime.termination_log, &results) {
                None => match web_server::opened(&mut web, role, plan, signals, clients).await? {
                    Ok(web) => return Ok(Ok((results, web))),
                    Err(code) => code,
                },
                Some(code) => code,
            }
        }
        Err(signal) => stopped_early(signal),
    };
    let until = clock::now() + FILES_TIMEOUT;
    web_server::abandon(web, helpers, until).await;
    // With the results went the sockets, and their files.
    helpers.finish(Purpose::File, until).await;
    Ok(Err(code))
}

/// Reports what was found before there was a log: warnings of the configuration, and sockets that are open.
fn report_early(clients: &mut Clients<'_>, warnings: Vec<String>, sockets: impl Iterator<Item = Notice>) {
    let warning = |message| Notice::of_runtime(EventData::ConfigWarning { message });
    for notice in warnings.into_iter().map(warning).chain(sockets) {
        clients.report(notice, &[]);
    }
}

/// Reports the errors of the configuration, and returns the exit code.
fn unreadable(role: &Role, problems: &Problems) -> ExitCode {
    print_early(problems);
    if role.background.is_none() {
        not_started(&TerminationLog::IfThere, problems);
    }
    problems.exit_code()
}

/// Reports the applications that cannot run, and returns the exit code if there are any.
fn refused(role: &Role, termination_log: &TerminationLog, results: &Results) -> Option<ExitCode> {
    let (refused, code) = results.refusals()?;
    let mut message = String::new();
    for line in &refused {
        message.extend(["error: ", line, "\n"]);
    }
    message.push_str("nothing was started");
    print_early(&message);
    if role.background.is_none() {
        not_started(termination_log, &message);
    }
    Some(code)
}
