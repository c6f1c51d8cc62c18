//! HTTP on hyper, without a runtime or an application of its own.
//!
//! | file | contents |
//! |---|---|
//! | `server` | accepts connections and answers requests, with limits and a graceful end |
//! | `stream` | a socket in the form that hyper needs |
//! | `timer` | the timers of the runtime in the form that hyper needs |

pub mod server;
pub mod stream;
mod timer;
