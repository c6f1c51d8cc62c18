//! The connection of a probe.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

/// How a probe reaches a worker.
#[derive(Debug)]
pub enum ProbeTransport {
    /// The first of these addresses that accepts the connection.
    Addresses(Vec<SocketAddr>),
    /// This connection, which is non-blocking.
    Connection(std::net::TcpStream),
}

/// The connection of a probe to a worker.
pub(super) async fn connection(transport: ProbeTransport) -> Result<TcpStream, String> {
    match transport {
        ProbeTransport::Addresses(addresses) => connect(&addresses).await,
        ProbeTransport::Connection(stream) => {
            TcpStream::from_std(stream).map_err(|error| without_errno(&error))
        }
    }
}

/// Connects to the first address that accepts; otherwise the reasons of all failures.
pub(super) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut refusals = Vec::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refusals.push((address.to_string(), without_errno(&error))),
        }
    }
    Err(join_failures(&refusals))
}

/// Each address with its failure: the last failure alone would hide the first.
fn join_failures(refusals: &[(String, String)]) -> String {
    match refusals {
        [(first, why), others @ ..] if others.iter().all(|(_, other)| other == why) => {
            let addresses: Vec<&str> = std::iter::once(first)
                .chain(others.iter().map(|(address, _)| address))
                .map(|it| &**it)
                .collect();
            format!("{}: {why}", addresses.join(" and "))
        }
        _ => refusals.iter().map(|(address, why)| format!("{address}: {why}")).collect::<Vec<_>>().join("; "),
    }
}

/// The error without the number that the standard library appends.
fn without_errno(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::join_failures;

    #[test]
    fn the_failure_of_each_address_is_reported() {
        let refused = |address: &str, why: &str| (address.to_owned(), why.to_owned());
        let all = [refused("127.0.0.1:80", "connection refused"), refused("[::1]:80", "connection refused")];
        assert_eq!(join_failures(&all), "127.0.0.1:80 and [::1]:80: connection refused");
        assert_eq!(join_failures(&all[..1]), "127.0.0.1:80: connection refused");
        let [first, _] = all;
        let second = refused("[::1]:80", "cannot assign requested address");
        assert_eq!(
            join_failures(&[first, second]),
            "127.0.0.1:80: connection refused; [::1]:80: cannot assign requested address"
        );
    }
}
