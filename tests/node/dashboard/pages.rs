//! What the pages show and do.

use crate::support::{Bed, wait_until};

use super::{
    browser::{Script, browse},
    shop, start,
};

/// A shop with some traffic.
const SHOWCASE: &str = r#"
[[apps]]
name = "api"
script = "showcase.js"
args = "api 8 20"
instances = 4
exec_mode = "cluster"
max_memory_restart = "300M"
depends_on = ["migrate", "cache"]
env = { NODE_ENV = "production", DATABASE_HOST = "db", API_TOKEN = "0123456789", LOG_LEVEL = "info" }

[[apps]]
name = "worker"
script = "showcase.js"
args = "worker 14 40"
instances = 2
namespace = "jobs"
depends_on = ["cache"]

[[apps]]
name = "cache"
script = "showcase.js"
args = "cache 2 60"

[[apps]]
name = "search"
script = "showcase.js"
args = "search 5 30"

[[apps]]
name = "migrate"
script = "sleep 0.2; echo '4 migrations applied'"
oneshot = true

[[apps]]
name = "mailer"
script = "echo 'cannot connect to smtp:25' >&2; exit 3"
max_restarts = 2
restart_delay = "1s"
namespace = "jobs"
"#;

#[test]
fn apps_logs_and_events_are_shown_as_they_happen() {
    let bed = shop();
    let (mut run, url) = start(&bed, "--web=0");
    browse(&bed, include_str!("pages.mjs"), &url);
    run.expect_stop();
}

#[test]
fn commands_need_the_token_and_show_their_progress() {
    let bed = shop();
    let (mut run, url) = start(&bed, "--web=0");
    browse(&bed, include_str!("commands.mjs"), &url);
    run.expect_stop();
}

#[test]
fn every_page_fits_each_window_and_has_no_barrier() {
    let bed = shop();
    let (mut run, url) = start(&bed, "--web=0");
    browse(&bed, include_str!("access.mjs"), &url);
    run.expect_stop();
}

/// The rows of the instances that are not visible do not exist.
#[test]
fn a_thousand_instances_can_be_scrolled() {
    let bed = Bed::with("[[apps]]\nname = \"many\"\nscript = \"exec sleep 1000\"\ninstances = 1000\n");
    let (mut run, url) = start(&bed, "--web=0");
    run.wait_for_err("many (999) is online");
    browse(&bed, include_str!("many.mjs"), &url);
    run.expect_stop();
}

/// With `BLESS=1` they show some minutes and go into the documentation.
#[test]
fn screenshots_are_made_in_dark_and_light() {
    let bed = Bed::with_files(SHOWCASE, &[("showcase.js", include_str!("showcase.js"))]);
    let (mut run, url) = start(&bed, "--web=0");
    browse(&bed, include_str!("images.mjs"), &url);
    run.expect_stop();
}

#[test]
fn a_crash_appears_with_its_reason() {
    let bed = shop();
    let (mut run, url) = start(&bed, "--web=0");
    let mut script = Script::start(&bed, include_str!("crash.mjs"), &url);
    script.wait_for("ready for the crash");
    let worker = run.wait_for_err("worker (3) is online, pid");
    crate::support::send(crate::support::last_pid(&worker), crate::support::SIGKILL);
    script.finish();
    wait_until("the restart", || !run.err().lines_with("worker (3) exited: signal SIGKILL").is_empty());
    run.expect_stop();
}
