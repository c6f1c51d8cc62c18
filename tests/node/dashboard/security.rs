//! Names, lines, variables and events of hostile applications are text, and nothing else.

use crate::support::{Bed, wait_until};

use super::{browser::browse, start};

const MARKUP: &str = "<img src=x onerror=alert(1)>";

#[test]
fn markup_of_applications_is_only_text() {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"{MARKUP}\"\nscript = \"./main.sh\"\nnamespace = \"<script>alert(2)</script>\"\n\
         env = {{ VALUE = \"<svg onload=alert(3)>\", API_TOKEN = \"hunter2\" }}\n\
         [[apps]]\nname = \"javascript:alert(4)\"\nscript = \"exec sleep 1000\"\ndepends_on = [\"{MARKUP}\"]\n"
    ));
    bed.script(
        "main.sh",
        "#!/bin/sh\nprintf '<script>alert(5)</script>\\n\\033[31m<img src=x onerror=alert(6)>\\033[0m\\n'\n\
         printf '\\033]8;;javascript:alert(7)\\007link\\033]8;;\\007\\n\\033[2J\\033[38;5;999mhigh\\033[m\\n'\n\
         printf '\\342\\200\\256txet desrever\\n\\001\\002 control\\n'\nsleep 1000\n",
    );
    let (mut run, url) = start(&bed, "--web=0");
    run.wait_for_line("control");
    browse(&bed, include_str!("markup.mjs"), &url);
    run.expect_stop();
}

#[test]
fn on_another_address_the_page_requests_the_token_and_shows_nothing_without_it() {
    let bed = super::shop();
    let (mut run, url) = start(&bed, "--web=0.0.0.0:0");
    let url = url.replace("0.0.0.0", "127.0.0.1");
    wait_until("the worker", || !run.err().lines_with("worker (3) is online").is_empty());
    browse(&bed, include_str!("denied.mjs"), &url);
    run.expect_stop();
}
