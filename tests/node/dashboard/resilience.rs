//! The supervisor ends and comes back while a page is open.

use crate::support::web::free_port;

use super::{browser::Script, shop, start};

#[test]
fn the_page_survives_a_new_supervisor() {
    let bed = shop();
    let option = format!("--web={}", free_port());
    let (mut run, url) = start(&bed, &option);
    let mut script = Script::start(&bed, include_str!("resilience.mjs"), &url);
    script.wait_for("ready for the stop");
    run.expect_stop();
    script.wait_for("ready for the start");
    let (mut run, _) = start(&bed, &option);
    script.finish();
    run.expect_stop();
}
