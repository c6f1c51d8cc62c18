//! What needs neither root nor Node: the binary with shells, Python and the tools of the base system.
//! procrun as PID 1 is in a PID namespace, for which a kernel with user namespaces needs no root.

mod completions;
mod environment;
mod exit_codes;
mod logs;
mod monit_screen;
mod pid1;
mod watch;
mod web;

use procrun_test_support as support;
