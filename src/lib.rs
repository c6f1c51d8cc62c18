//! procrun: a foreground container init and process runtime.
//!
//! Data flows one way: what a person wrote (`config`) becomes a validated, immutable
//! `spec`; the pure `machine` decides; the `supervisor` carries the decisions out through
//! `sys`; `logs` carries what the workers say.
//!
//! | room | what lives there | what it may use |
//! |---|---|---|
//! | [`cli`] | what people type: arguments, one file a verb | all below |
//! | [`config`] | what people wrote: files, flags, environment → specs, and errors that point at the place | `program`, `spec`, `sys` |
//! | [`control`] | the control socket: messages, places, server, client | `config`, `sys` |
//! | [`spec`] | what was meant: [`spec::AppSpec`] and its parts, validated and immutable | nothing |
//! | [`program`] | what a script is: its file → what runs it and how | `spec`, `sys` |
//! | [`machine`] | every decision, pure: lifecycle, restart, backoff, ordered stop, line framing | `spec` |
//! | [`supervisor`] | the one actor that owns the process table: select → step → carry out | `machine`, `program`, `sys`, `logs`, `node`, `health`, `monitor`, `watch`, `config`, `control` |
//! | [`node`] | Node's IPC channel and the sockets of its clusters: transport only | `machine`, `spec`, `sys` |
//! | [`health`] | questions to workers and what they say of themselves: transport only | `machine`'s types, `spec`, `http`, `sys` |
//! | [`http`] | HTTP on hyper: connections, limits, a graceful end | nothing of ours |
//! | [`serve`] | the built-in file server, a worker process of its own | `http`, `spec`, `sys` |
//! | [`watch`] | files → one change: what to look at, what does not count | `spec`, `sys` |
//! | [`logs`] | pipes → framed lines → prefix, JSON or raw → stdout, stderr and files | `machine`, `spec`, `sys` |
//! | [`monitor`] | what workers, procrun, the container and the machine use | `sys` |
//! | [`tui`] | `procrun monit`: the processes on a full screen | `control`'s types |
//! | `shown` | any text → what may be shown to people, and how wide it is | nothing |
//! | [`sys`] | the system-call layer: spawn, reap, signals, credentials, pipes | nothing of ours |

pub mod cli;
pub mod config;
pub mod control;
pub mod health;
pub mod http;
pub mod logs;
pub mod machine;
pub mod monitor;
pub mod node;
pub mod program;
pub mod serve;
mod shown;
pub mod spec;
pub mod supervisor;
pub mod sys;
pub mod tui;
pub mod watch;
