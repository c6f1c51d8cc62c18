//! Metrics of Node workers at `/metrics`, in the API and in `describe`, with the real Node.

mod runtime;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::support::{Bed, DEADLINE, Procrun, web::free_port};

/// A procrun with its HTTP server.
struct Web {
    run: Procrun,
    port: u16,
}

impl Web {
    #[track_caller]
    fn start(bed: &Bed) -> Self {
        let port = free_port();
        let run = bed.isolated(&["ecosystem.toml", &format!("--web={port}")]).start();
        run.wait_for_err("serving probes, metrics and the API at http://");
        Self { run, port }
    }

    /// The body of an answer. The server refuses requests for other hosts than its own.
    #[track_caller]
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }

    fn metrics(&self) -> String {
        self.get("/metrics")
    }

    /// The sum of the samples of a metric with these labels.
    #[track_caller]
    fn sum(&self, metric: &str, labels: &str) -> f64 {
        sum(&self.metrics(), metric, labels)
    }
}

fn sum(text: &str, metric: &str, labels: &str) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let is_sample = rest.starts_with(['{', ' ']) && rest.contains(labels);
        is_sample.then(|| rest.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()))?
    });
    samples.sum()
}
