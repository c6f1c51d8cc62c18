//! The tokens by which the poller names the channels of runs and the sockets.

use super::super::cluster::ListenerId;

/// Marks the token of a socket; without it, a token is the number of a run.
const SOCKET_BIT: u64 = 1 << 63;

/// The token of a socket.
pub(super) fn token_of_listener(listener: ListenerId) -> u64 {
    SOCKET_BIT | u64::from(listener.0)
}

/// The socket of a token. `None`: it is the token of a run.
pub(super) fn listener_of_token(token: u64) -> Option<ListenerId> {
    if token & SOCKET_BIT == 0 {
        return None;
    }
    Some(ListenerId(u32::try_from(token & !SOCKET_BIT).expect("32 bits")))
}
