//! Small programs that more than one test runs as workers.

/// Prints `<first argument> up <pid>`, and on SIGTERM, SIGINT, SIGQUIT or SIGHUP
/// `<first argument> bye <signal>`, and exits 0.
pub const STEADY: &str = r#"#!/bin/sh
for signal in TERM INT QUIT HUP; do
    trap "echo \"$1 bye $signal\"; exit 0" $signal
done
echo "$1 up $$"
while :; do
    sleep 1000 &
    wait $!
done
"#;

/// Prints `up <pid>`, then `got <number>` for every signal; exits 0 on 1, 2, 3 and 15. It also appends its output to
/// the file of its first argument, if it has one.
pub const SIGNALS: &str = r#"#!/usr/bin/env python3
import os, signal, sys
wanted = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
def report(text):
    if len(sys.argv) > 1:
        with open(sys.argv[1], "a") as file:
            file.write(text + "\n")
    os.write(1, (text + "\n").encode())
report("up %d" % os.getpid())
while True:
    got = signal.sigwaitinfo(wanted).si_signo
    report("got %d" % got)
    if got in (1, 2, 3, 15):
        break
"#;

/// Prints `up <pid>`, then `got <number>` for every signal, and never exits.
pub const STUBBORN: &str = r#"#!/usr/bin/env python3
import os, signal
wanted = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
os.write(1, b"up %d\n" % os.getpid())
while True:
    os.write(1, b"got %d\n" % signal.sigwaitinfo(wanted).si_signo)
"#;

/// Appends a line with the time in nanoseconds to the file of its first argument, and exits with the code of its
/// second one.
pub const CRASHER: &str = r#"#!/bin/sh
date +%s%N >> "$1"
exit "$2"
"#;

/// Prints `fd <number> <target>` for each of its descriptors, then `done`, and waits.
pub const DESCRIPTORS: &str = r#"#!/usr/bin/env python3
import os, time
for fd in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        print("fd", fd, os.readlink("/proc/self/fd/" + fd))
    except FileNotFoundError:
        pass
print("done", flush=True)
time.sleep(1000)
"#;
