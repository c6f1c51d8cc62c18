//! From "ask it how it is" to a question: where its port is, and what runs in its place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::actor::{Supervisor, now};
use crate::{
    health::{Answer, ProbeRequest, ProbeTransport, Prober},
    machine::{Input, InstanceId, ProbeKind, Run},
    node::Route,
    spec::{ProbeAddress, ProbeTarget},
    sys::reap::{Pid, Status},
};

/// The questions under transport.
#[derive(Debug, Default)]
pub(super) struct Checks {
    prober: Prober,
}

impl Checks {
    /// Waits for answers. Cancel-safe.
    pub(super) async fn answers(&mut self) -> Vec<Input> {
        let answers = self.prober.answers().await.into_iter();
        answers.map(|Answer { run, kind, result }| Input::Probed { run, kind, result }).collect()
    }

    /// Handles a reaped child. Returns whether it was the program of an exec probe.
    pub(super) fn reaped(&mut self, pid: Pid, status: Status) -> bool {
        self.prober.reaped(pid, status)
    }

    /// The run of an instance has ended.
    pub(super) fn ended(&mut self, instance: InstanceId) {
        self.prober.ended(instance);
    }
}

impl Supervisor<'_> {
    /// Starts a probe of a run. Never waits for it.
    pub(super) fn ask_how_it_is(&mut self, run: Run, kind: ProbeKind) {
        let Some(view) = self.machine.instance(run.instance) else { return };
        let health = &view.spec.health;
        let probe = match kind {
            ProbeKind::Liveness => health.liveness.as_deref(),
            ProbeKind::Readiness => health.readiness.as_deref(),
        };
        let Some(probe) = probe else { return };
        let (checks, workers) = (&mut self.checks, &mut self.workers);
        let port = |at: &ProbeAddress| at.port.map_or_else(|| workers.port(run), Ok);
        let question = match &probe.target {
            ProbeTarget::Http { at, path } => port(at).and_then(|port| {
                let (addresses, host, path) = (addresses(at, port), host(at, port), path.clone());
                // Workers of a cluster share the port: any of them would answer.
                let transport = match self.node.route(run, &addresses) {
                    Route::Network => ProbeTransport::Addresses(addresses),
                    Route::Connection(stream) => ProbeTransport::Connection(stream),
                    Route::Closed(why) => return Err(format!("GET http://{host}{path}: {why}")),
                };
                Ok(ProbeRequest::Http { transport, host, path })
            }),
            ProbeTarget::Tcp(at) => match port(at).map(|port| addresses(at, port)) {
                Ok(addresses) => match self.node.listens_at(run, &addresses) {
                    Some(true) => return checks.prober.answer(run, kind, Ok(())),
                    Some(false) => Err("it does not listen yet".to_owned()),
                    None => Ok(ProbeRequest::Tcp(addresses)),
                },
                Err(why) => Err(why),
            },
            ProbeTarget::Exec(_) | ProbeTarget::Shell(_) if checks.prober.is_stuck(run.instance, kind) => {
                Err("its last check has not ended: its start hangs, or not even SIGKILL ends it".to_owned())
            }
            ProbeTarget::Exec(words) => workers.start_check(&view, words).map(ProbeRequest::Program),
            ProbeTarget::Shell(line) => {
                let words = ["/bin/sh", "-c", line].map(str::to_owned);
                workers.start_check(&view, &words).map(ProbeRequest::Program)
            }
        };
        match question {
            Ok(question) => checks.prober.start(run, kind, question, now(), probe.timeout),
            Err(why) => checks.prober.answer(run, kind, Err(why)),
        }
    }
}

fn addresses(ProbeAddress { host, .. }: &ProbeAddress, port: u16) -> Vec<SocketAddr> {
    match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        // No name is resolved: that can take any time.
        Err(_) => [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
            .map(|address| SocketAddr::new(address, port))
            .into(),
    }
}

/// The value of the header `Host`: without the port where it is the default one (RFC 9110, 7.2).
fn host(ProbeAddress { host, .. }: &ProbeAddress, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if port == 80 { host } else { format!("{host}:{port}") }
}
