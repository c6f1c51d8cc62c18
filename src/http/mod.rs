//! HTTP on hyper, without a runtime or an application of its own.
//!
//! | file | contents |
//! |---|---|
//! | `server` | accepts connections and answers requests, with limits and a graceful end |

pub mod server;
