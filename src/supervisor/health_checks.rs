//! Health probes of runs: from the effect of the machine to the request that a probe sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{clock, workers::Workers};
use crate::{
    health::{Answer, ProbeRequest, ProbeTransport, Prober},
    machine::{Input, InstanceId, Machine, ProbeKind, Run},
    node::{Hub, Route},
    spec::{ProbeAddress, ProbeTarget},
    sys::reap::{Pid, Status},
};

/// The probes under transport.
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

    /// Starts a probe of a run. Never waits for it.
    pub(super) fn start(
        &mut self,
        run: Run,
        kind: ProbeKind,
        machine: &Machine,
        workers: &mut Workers,
        node: &mut Hub,
    ) {
        let Some(view) = machine.instance(run.instance) else { return };
        let health = &view.spec.health;
        let probe = match kind {
            ProbeKind::Liveness => health.liveness.as_deref(),
            ProbeKind::Readiness => health.readiness.as_deref(),
        };
        let Some(probe) = probe else { return };
        let port = |at: &ProbeAddress| at.port.map_or_else(|| workers.port(run), Ok);
        let request = match &probe.target {
            ProbeTarget::Http { at, path } => port(at).and_then(|port| {
                let (addresses, host, path) = (addresses(at, port), host(at, port), path.clone());
                // Workers of a cluster share the port: any of them would answer.
                let transport = match node.route(run, &addresses) {
                    Route::Network => ProbeTransport::Addresses(addresses),
                    Route::Connection(stream) => ProbeTransport::Connection(stream),
                    Route::Closed(why) => return Err(format!("GET http://{host}{path}: {why}")),
                };
                Ok(ProbeRequest::Http { transport, host, path })
            }),
            ProbeTarget::Tcp(at) => match port(at).map(|port| addresses(at, port)) {
                Ok(addresses) => match node.listens_at(run, &addresses) {
                    Some(true) => return self.prober.answer(run, kind, Ok(())),
                    Some(false) => Err("it does not listen yet".to_owned()),
                    None => Ok(ProbeRequest::Tcp(addresses)),
                },
                Err(why) => Err(why),
            },
            ProbeTarget::Exec(_) | ProbeTarget::Shell(_) if self.prober.is_stuck(run.instance, kind) => {
                Err("its last check has not ended: its start hangs, or not even SIGKILL ends it".to_owned())
            }
            ProbeTarget::Exec(words) => workers.start_check(&view, words).map(ProbeRequest::Program),
            ProbeTarget::Shell(line) => {
                let words = ["/bin/sh", "-c", line].map(str::to_owned);
                workers.start_check(&view, &words).map(ProbeRequest::Program)
            }
        };
        match request {
            Ok(request) => self.prober.start(run, kind, request, clock::now(), probe.timeout),
            Err(why) => self.prober.answer(run, kind, Err(why)),
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
