//! Unix datagram sockets with an abstract name, and the sender of a datagram.
//!
//! The kernel closes descriptors that procrun receives, because the call passes no buffer for them (unix(7)).

use std::{
    io,
    mem::{MaybeUninit, size_of},
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt::PassCred},
};

/// Creates a non-blocking socket that is bound to an abstract name (unix(7)) and receives the credentials of senders
/// (`SO_PASSCRED`).
///
/// # Errors
///
/// The error of socket(2), bind(2) or setsockopt(2).
pub fn bind(name: &str) -> io::Result<OwnedFd> {
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, PassCred, &true)?;
    Ok(socket.into())
}

/// A received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The number of bytes in the buffer.
    pub length: usize,
    /// The datagram was longer than the buffer; the rest is lost.
    pub is_truncated: bool,
    /// The user id of the sender as reported by the kernel. `None`: no report.
    pub uid: Option<u32>,
}

#[expect(clippy::cast_possible_truncation, reason = "it is twelve")]
const SIZE_OF_CREDENTIALS: u32 = size_of::<libc::ucred>() as u32;

/// The value of CMSG_SPACE for credentials.
// SAFETY: a computation without side effects.
const CONTROL_SPACE: u32 = unsafe { libc::CMSG_SPACE(SIZE_OF_CREDENTIALS) };

/// A buffer for a header and the credentials of the sender only, aligned for the header.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    room: [u8; CONTROL_SPACE as usize],
}

/// Receives one datagram.
///
/// # Errors
///
/// `WouldBlock` if no datagram is pending; otherwise the error of recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control { room: [0; CONTROL_SPACE as usize] };
    // SAFETY: all zeros is a valid header without name, bytes and control data.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL_SPACE as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `message` points to a buffer and control data that outlive the call.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written headers into `control` up to `msg_controllen`, and the macros
    // stay within that; the sender's data is read without asking for alignment.
    let uid = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_sender = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_CREDENTIALS;
        is_sender.then(|| libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned().uid)
    };
    Ok(Received { length, is_truncated: message.msg_flags & libc::MSG_TRUNC != 0, uid })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::{
        sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
        unistd::geteuid,
    };

    use super::*;

    #[test]
    fn the_sender_is_known_and_what_it_sends_along_is_closed() {
        let name = format!("procrun-test-{}", std::process::id());
        let socket = bind(&name).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let address = UnixAddr::new_abstract(name.as_bytes()).unwrap();
        let (mut read, write) = io::pipe().unwrap();
        let bytes = [io::IoSlice::new(b"READY=1")];
        let fds = [write.as_raw_fd()];
        let with = [ControlMessage::ScmRights(&fds)];
        sendmsg(sender.as_raw_fd(), &bytes, &with, MsgFlags::empty(), Some(&address)).unwrap();
        drop(write);
        let mut buffer = [0; 16];
        let got = receive(socket.as_fd(), &mut buffer).unwrap();
        assert_eq!(got, Received { length: 7, is_truncated: false, uid: Some(geteuid().as_raw()) });
        // The write end is closed everywhere, or this would wait forever.
        assert_eq!(io::Read::read(&mut read, &mut [0]).unwrap(), 0);

        sender.send_to_addr(&[b'x'; 40], &SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let got = receive(socket.as_fd(), &mut buffer).unwrap();
        assert_eq!((got.length, got.is_truncated), (16, true));
        assert_eq!(receive(socket.as_fd(), &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
