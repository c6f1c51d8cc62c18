//! Clients that send requests without a pause while a test does its work.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{wait_until, web::Client};

const CLIENTS: usize = 8;

/// The requests that each client still sends when the work is done.
const REQUESTS_AFTERWARDS: usize = 50;

/// After this number of requests a client opens a new connection, so that each worker has some.
const REQUESTS_OF_CONNECTION: usize = 50;

/// The requests of all clients so far.
pub struct Requests(AtomicUsize);

impl Requests {
    /// Waits for this number of further requests.
    #[track_caller]
    pub fn wait_for_more(&self, more: usize) {
        let before = self.0.load(Ordering::Relaxed);
        wait_until("more requests", || self.0.load(Ordering::Relaxed) >= before + more);
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Load {
    pub requests: usize,
    /// Each failed request with the local port of its connection; the port is 0 if there was no connection.
    pub errors: Vec<(u16, io::Error)>,
    /// Connections that were closed by an answer although the client keeps them open.
    pub closed_by_answer: usize,
}

/// Ends the clients, also when the work panics.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends requests to a path from several clients during `work`, and some more afterwards. A client keeps its
/// connection for several requests, or opens one for each.
pub fn under_load(port: u16, path: &str, keep_alive: bool, work: impl FnOnce(&Requests)) -> Load {
    let (done, requests) = (AtomicBool::new(false), Requests(AtomicUsize::new(0)));
    let client = || {
        let mut load = Load::default();
        let mut client = None;
        let mut left = REQUESTS_AFTERWARDS;
        while left > 0 {
            left -= usize::from(done.load(Ordering::Relaxed));
            load.requests += 1;
            requests.0.fetch_add(1, Ordering::Relaxed);
            match request(&mut client, port, path, keep_alive) {
                Ok(is_last) => load.closed_by_answer += usize::from(is_last && keep_alive),
                Err(error) => load.errors.push(error),
            }
            if load.requests.is_multiple_of(REQUESTS_OF_CONNECTION) {
                client = None;
            }
        }
        load
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let finish = Finish(&done);
        work(&requests);
        drop(finish);
        clients.into_iter().fold(Load::default(), |mut sum, client| {
            let load = client.join().expect("a client does not panic");
            sum.requests += load.requests;
            sum.errors.extend(load.errors);
            sum.closed_by_answer += load.closed_by_answer;
            sum
        })
    })
}

/// Sends a request on the connection of the client, or on a new one. Returns whether the answer was the last one of
/// its connection, or the local port with the error.
fn request(
    client: &mut Option<Client>,
    port: u16,
    path: &str,
    keep_alive: bool,
) -> Result<bool, (u16, io::Error)> {
    let mut connection = match client.take() {
        Some(connection) => connection,
        None => Client::connect(port).map_err(|error| (0, error))?,
    };
    let from = connection.port().map_err(|error| (0, error))?;
    let mut answer = || {
        connection.send(path, if keep_alive { "" } else { "Connection: close\r\n" })?;
        connection.receive()
    };
    let is_last = answer().map_err(|error| (from, error))?.is_last;
    if keep_alive && !is_last {
        *client = Some(connection);
    }
    Ok(is_last)
}
