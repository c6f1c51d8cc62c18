//! The control socket and the commands, with the real binary: who asks what, and what comes of it.

mod background;
mod cgroups;
mod changes;
mod commands;
mod events;
mod input;
mod pm2_habits;
mod reasons;
mod sockets;
mod specs;
mod stdin;
mod talk;
mod trees;
mod updates;
mod wire;

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use crate::support::{Bed, DEADLINE, Procrun, wait_until};
use serde_json::Value;

/// Two apps that stay, in two namespaces, and one that has done its work.
const APPS: &str = r#"
[[apps]]
name = "api"
script = "exec sleep 1000"
instances = 2
env = { API_TOKEN = "hunter2", PLAIN = "shown" }

[[apps]]
name = "worker"
namespace = "jobs"
script = "exec sleep 1000"
"#;

/// A foreground supervisor whose `count` processes run and that can be reached.
#[track_caller]
fn supervisor(bed: &Bed, pid1: bool, count: usize) -> Procrun {
    let run = bed.isolated(&["ecosystem.toml"]).pid1_if(pid1).start();
    run.wait_for_err_lines("is online, pid", count);
    run
}

/// The status of each instance by `list`.
#[track_caller]
fn statuses(bed: &Bed) -> Vec<String> {
    let list = bed.command(&["list", "--json"]).json();
    let of = |one: &Value| format!("{} {}", one["name"].as_str().unwrap(), one["status"].as_str().unwrap());
    list["instances"].as_array().unwrap().iter().map(of).collect()
}

/// The one socket in the bed's home.
#[track_caller]
fn socket(bed: &Bed) -> PathBuf {
    let names = bed.list("home");
    let is_socket = |name: &&String| Path::new(name).extension().is_some_and(|it| it == "sock");
    let sockets: Vec<&String> = names.iter().filter(is_socket).collect();
    assert_eq!(sockets.len(), 1, "{names:?}");
    bed.path("home").join(sockets[0])
}

/// A client that says what it likes.
struct Rough {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Rough {
    #[track_caller]
    fn new(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the supervisor listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    #[track_caller]
    fn greeted(path: &Path) -> Self {
        let mut rough = Self::new(path);
        rough.say(r#"{"protocol":2,"procrun":"test"}"#);
        assert_eq!(rough.hear()["protocol"], 2);
        rough
    }

    #[track_caller]
    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("it listens");
    }

    /// The next message; null at the end.
    #[track_caller]
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Value::Null,
            Ok(_) => serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Value::Null,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    #[track_caller]
    fn asks(&mut self, line: &str) -> Value {
        self.say(line);
        self.hear()
    }
}

/// Wait until the list says so.
#[track_caller]
fn wait_for_statuses(bed: &Bed, wanted: &[&str]) {
    wait_until(&format!("the list to be {wanted:?}"), || statuses(bed) == wanted);
}
