//! The dashboard in a real Chromium, with procrun and real applications behind it.
//!
//! A script of Playwright does what a user does and fails if the page does not show what it must. Each script also
//! fails if the browser reports an error or a violation of the page's policy.

mod browser;
mod pages;
mod resilience;
mod security;

use crate::support::{Bed, Procrun};

const TOKEN: &str = "0123456789abcdef";

/// An app that answers requests and writes lines, one that waits for it, and one that has crashed.
const SHOP: &str = r#"
[[apps]]
name = "api"
script = "api.js"
instances = 3
exec_mode = "cluster"
max_memory_restart = "300M"
env = { GREETING = "hello" }

[[apps]]
name = "worker"
script = "worker.sh"
namespace = "jobs"
depends_on = ["api"]

[[apps]]
name = "mailer"
script = "exit 3"
max_restarts = 0
"#;

const WORKER: &str = "#!/bin/sh\nn=0\nwhile :; do n=$((n + 1)); echo \"job $n done\"; sleep 0.2; done\n";

fn shop() -> Bed {
    let bed = Bed::with_files(SHOP, &[("api.js", include_str!("api.js"))]);
    bed.script("worker.sh", WORKER);
    bed
}

/// Starts procrun with its server; the result is the URL, too.
#[track_caller]
fn start(bed: &Bed, web: &str) -> (Procrun, String) {
    let run = bed.isolated(&["ecosystem.toml", web]).env("PROCRUN_WEB_TOKEN", TOKEN).start();
    let line = run.wait_for_err("serving probes, metrics and the API at http://");
    let url = line[line.find("http://").expect("a URL")..].trim().to_owned();
    (run, url)
}
