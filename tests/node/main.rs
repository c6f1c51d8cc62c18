//! What needs Node (and Bun), npm or the packages of tests/apps, which `tests/setup.sh test` fetches. As root: workers
//! of other users, mounts and PID namespaces occur here too.

mod addresses_in_use;
mod bun;
mod cli;
mod cluster;
mod cluster_apps;
mod config_corpus;
mod convert;
mod dashboard;
mod drain;
mod ecosystem;
mod held_sockets;
mod js_config;
mod log_flow;
mod metrics;
mod nest;
mod next;
mod order;
mod pm2_keys;
mod programs;
mod reload;
mod restart;
mod rolling;
mod serve;
mod signals;

use procrun_test_support as support;
