//! HTTP on hyper, without a runtime or an application of its own.
//!
//! | file | contents |
//! |---|---|
//! | `places` | the number of connections, and which one leaves when all places are taken |
//! | `server` | accepts connections and answers requests, with limits and a graceful end |

mod places;
pub mod server;

pub use places::{InProgress, WhenFull};
