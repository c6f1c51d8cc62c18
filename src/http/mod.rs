//! HTTP on hyper, without a runtime or an application of its own.
//!
//! | file | what it is for |
//! |---|---|
//! | `server` | accepts connections and has each request answered, with limits and a graceful end |
//! | `stream` | a socket as hyper takes it |
//! | `timer` | the runtime's timers as hyper takes them |

pub mod server;
pub mod stream;
mod timer;
