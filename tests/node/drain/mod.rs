//! A clustered worker that must stop finishes its connections first, with the real Node: no request is lost.

mod load;
mod preload;
mod requests;

use crate::support::{Bed, Procrun, SIGHUP, last_pid, web::Client};

/// Answers with its process id; `/slow` waits for the file `go`.
const SERVER: &str = r"
const server = require('http').createServer((request, response) => {
  if (request.url !== '/slow') return response.end(`${process.pid}`);
  console.log('asked slowly');
  const look = setInterval(() => {
    if (!require('fs').existsSync('go')) return;
    clearInterval(look);
    response.end(`${process.pid}`);
  }, 5);
});
server.listen(0, () => console.log('listening on', server.address().port));
";

/// What many applications do with a stop signal.
const CLOSES: &str = r"
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => server.close((error) => process.exit(error ? 1 : 0)));
}
";

fn app(instances: u32, keys: &str) -> String {
    format!(
        "[[apps]]\nname = \"app\"\nscript = \"app.js\"\ninstances = {instances}\nmin_uptime = 0\n{keys}\n"
    )
}

/// The port, once procrun has reported that this number of workers listens.
#[track_caller]
fn port_of(procrun: &Procrun, workers: usize) -> u16 {
    procrun.wait_for_err_lines("listens on", workers);
    let lines = procrun.wait_for_lines("listening on", workers);
    lines[0].split_whitespace().next_back().and_then(|word| word.parse().ok()).expect("a port")
}

fn scale(procrun: &Procrun, bed: &Bed, instances: u32, keys: &str) {
    bed.file("ecosystem.toml", app(instances, keys));
    procrun.signal(SIGHUP);
}

/// Connects until this worker answers.
#[track_caller]
fn client_of_worker(port: u16, pid: i32) -> Client {
    let mut others = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(port).unwrap();
        if client.request("/").unwrap().body == pid.to_string() {
            return client;
        }
        others.push(client);
    }
    panic!("{pid} got none of 10 connections");
}

/// Two workers; the second one has to stop.
struct TwoWorkers {
    bed: Bed,
    procrun: Procrun,
    port: u16,
    pid: i32,
    keys: String,
}

impl TwoWorkers {
    fn new(script: &str, keys: &str) -> Self {
        // By round robin: a connection to a given worker is the first or the second.
        let keys = &format!("balance = \"round-robin\"\n{keys}");
        // After procrun's own script, which has listened before.
        let heard = "process.on('internalMessage', ({ act }) => act === 'drain' && console.log('drains'));";
        let bed = Bed::with_files(&app(2, keys), &[("app.js", &format!("{heard}\n{script}"))]);
        let procrun = bed.start_with_debug_log();
        let port = port_of(&procrun, 2);
        let line = procrun.wait_for_err_lines("app (1) is online", 1).remove(0);
        Self { bed, port, pid: last_pid(&line), keys: keys.to_owned(), procrun }
    }

    fn connect(&self) -> Client {
        client_of_worker(self.port, self.pid)
    }

    /// Removes the second worker, and waits until it drains.
    fn drain(&self) {
        scale(&self.procrun, &self.bed, 1, &self.keys);
        self.procrun.wait_for_err_lines("draining its connections", 1);
        self.procrun.wait_for_lines("drains", 1);
    }

    fn wait_end(&self, how: &str) {
        self.procrun.wait_for_err_lines(&format!("app (1) exited: {how}"), 1);
    }
}
