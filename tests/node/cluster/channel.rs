//! The IPC channel of a worker: what it may send, and hostile messages.

use std::fmt::Write as _;

use crate::support::{
    Bed, SIGTERM,
    web::{get, port_of},
};

use super::{SERVER, app};

#[test]
fn a_hostile_worker_is_cut_off_and_affects_no_other() {
    let hostile = r"
const fs = require('fs');
const write = (bytes) => {
  for (let at = 0; at < bytes.length; ) {
    try { at += fs.writeSync(process.channel.fd, bytes, at); } catch (error) { if (error.code !== 'EAGAIN') return; }
  }
};
const say = (message) => write(Buffer.from(JSON.stringify(message) + '\n'));
const ways = {
  garbage: () => write(Buffer.from('GET / HTTP/1.1\n')),
  endless: () => write(Buffer.alloc(2 << 20, 'x')),
  acts: () => { for (let i = 0; i < 100; i++) say({ cmd: 'NODE_CLUSTER', act: 'fly', seq: i }); },
  seq: () => { for (let i = 0; i < 100; i++) say({ cmd: 'NODE_CLUSTER', ack: i, accepted: true, seq: i }); },
  deaf: () => {
    // Asks for ever and never reads: procrun stops listening to it, and nothing grows.
    const question = { cmd: 'NODE_CLUSTER', act: 'queryServer', address: null, port: 0, addressType: 4, index: 0 };
    console.log('deafening');
    for (let i = 0; ; i++) say({ ...question, seq: i, data: 'x'.repeat(10000) });
  },
  flood: () => { console.log('flooding'); for (;;) write(Buffer.from('1\n'.repeat(4096))); },
};
ways[process.env.name]();
setInterval(() => {}, 1000);
";
    let ways = ["garbage", "endless", "acts", "seq", "deaf", "flood"];
    let mut ecosystem = app("instances = 1");
    for way in ways {
        let keys = "script = \"hostile.js\"\ninstances = 1\nautorestart = false\nkill_timeout = 100";
        write!(ecosystem, "[[apps]]\nname = \"{way}\"\n{keys}\n").unwrap();
    }
    let bed = Bed::with_files(&ecosystem, &[("app.js", SERVER), ("hostile.js", hostile)]);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 1);
    procrun.wait_for_err_lines("a line that is not a Node message: its channel is closed", 1);
    procrun.wait_for_err_lines("a message of more than 1 MiB: its channel is closed", 1);
    procrun.wait_for_err_lines("sent a cluster message that Node does not have", 1);
    procrun.wait_for_err_lines("acknowledged a handle that was never sent", 1);
    procrun.wait_for_lines("deafening", 1);
    procrun.wait_for_lines("flooding", 1);
    for _ in 0..20 {
        get(port, "/").expect("the others are served meanwhile");
    }
    procrun.expect_stop();
}

#[test]
fn a_fork_mode_worker_sends_ready_and_is_stopped_by_a_message() {
    let script = r"
process.on('message', (message) => { console.log('got', message); process.exit(0); });
process.on('SIGTERM', () => { console.log('got a signal'); process.exit(0); });
process.send({ hello: 'there' });
process.send('ready');
";
    let bed = Bed::with_files(&app("shutdown_with_message = true"), &[("app.js", script)]);
    let procrun = bed.start_with_debug_log();
    procrun.wait_for_err_lines("app (0) reports that it is ready", 1);
    assert_eq!(procrun.err().lines_with("app (0) has sent a message").len(), 1);
    procrun.signal(SIGTERM);
    procrun.wait_for_lines("got shutdown", 1);
    assert!(procrun.out().lines_with("got a signal").is_empty());
    assert_eq!(procrun.err().lines_with("sending the message `shutdown`").len(), 1);
    assert!(procrun.err().lines_with("sending SIG").is_empty());
}
