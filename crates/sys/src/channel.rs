//! A pair of connected sockets for bytes and descriptors: Node's IPC channel.
//!
//! procrun only sends descriptors. The kernel closes a descriptor that procrun receives, because the call passes no
//! buffer for it (unix(7)): a worker cannot fill procrun's descriptor table.

use std::{
    io,
    mem::{MaybeUninit, size_of},
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    ptr,
};

use nix::libc;

/// Creates a pair: procrun's end, non-blocking, and the end for the worker.
///
/// # Errors
///
/// The error of socketpair(2) or fcntl(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (own_end, other_end) = UnixStream::pair()?;
    own_end.set_nonblocking(true)?;
    Ok((own_end.into(), other_end.into()))
}

#[expect(clippy::cast_possible_truncation, reason = "it is four")]
const SIZE_OF_FD: u32 = size_of::<RawFd>() as u32;

/// The value of CMSG_SPACE for one descriptor.
// SAFETY: a computation without side effects.
const CONTROL_SPACE: u32 = unsafe { libc::CMSG_SPACE(SIZE_OF_FD) };

/// A buffer for a header and one descriptor, aligned for the header.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    room: [u8; CONTROL_SPACE as usize],
}

/// Sends as many bytes as fit into the socket buffer, and a descriptor with the first of them. Returns their number.
///
/// # Errors
///
/// `WouldBlock` if no byte fits; otherwise the error of sendmsg(2). SIGPIPE is not sent.
pub fn send(channel: BorrowedFd<'_>, bytes: &[u8], with: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control { room: [0; CONTROL_SPACE as usize] };
    // SAFETY: all zeros is a valid header without name, bytes and control data.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    if let Some(descriptor) = with {
        message.msg_control = (&raw mut control).cast();
        // SAFETY: CMSG_LEN only counts. The first header is in `control`, which has room for it and
        // one descriptor and is aligned for a header.
        unsafe {
            message.msg_controllen = CONTROL_SPACE as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(SIZE_OF_FD) as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast::<RawFd>(), descriptor.as_raw_fd());
        }
    }
    // SAFETY: `message` points to bytes, control data and a descriptor that outlive the call; the
    // kernel does not write to the bytes.
    let sent = unsafe {
        libc::sendmsg(channel.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives pending bytes, at most one buffer full. Returns their number; 0 is the end of the stream. Descriptors are
/// closed.
///
/// # Errors
///
/// `WouldBlock` if no bytes are pending; otherwise the error of recv(2).
pub fn receive(channel: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for its length.
    let got = unsafe {
        libc::recv(channel.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Shuts down both directions (shutdown(2)): each side reads what is pending, then the end of the stream.
pub fn shut_down(channel: BorrowedFd<'_>) {
    // SAFETY: takes two integers. It can only fail when the other side is gone already.
    unsafe { libc::shutdown(channel.as_raw_fd(), libc::SHUT_RDWR) };
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{IoSliceMut, Read, Write},
        os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    };

    use nix::{
        cmsg_space,
        sys::socket::{ControlMessageOwned, MsgFlags, recvmsg},
    };

    use super::{pair, receive, send, shut_down};

    #[test]
    fn a_descriptor_arrives_with_the_first_byte_and_works() {
        let (own_end, other_end) = pair().unwrap();
        let (mut read, write) = std::io::pipe().unwrap();
        assert_eq!(send(own_end.as_fd(), b"with", Some(write.as_fd())).unwrap(), 4);
        assert_eq!(send(own_end.as_fd(), b"without", None).unwrap(), 7);
        drop(write);

        let mut bytes = [0; 64];
        let mut space = cmsg_space!([i32; 4]);
        let mut pieces = [IoSliceMut::new(&mut bytes)];
        let message =
            recvmsg::<()>(other_end.as_raw_fd(), &mut pieces, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
                .unwrap();
        let got = message.bytes;
        let fds: Vec<i32> = message
            .cmsgs()
            .unwrap()
            .flat_map(|control| match control {
                ControlMessageOwned::ScmRights(fds) => fds,
                _ => Vec::new(),
            })
            .collect();
        assert_eq!((&bytes[..got], fds.len()), (&b"with"[..], 1), "two messages are never merged");
        // SAFETY: the kernel has just made this descriptor for us.
        let mut arrived = File::from(unsafe { OwnedFd::from_raw_fd(fds[0]) });
        arrived.write_all(b"hello").unwrap();
        drop(arrived);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_received_descriptor_is_closed() {
        let (own_end, other_end) = pair().unwrap();
        let (mut read, write) = std::io::pipe().unwrap();
        send(other_end.as_fd(), b"take it", Some(write.as_fd())).unwrap();
        drop(write);
        let mut bytes = [0; 64];
        assert_eq!(receive(own_end.as_fd(), &mut bytes).unwrap(), 7);
        // The write end is closed everywhere, or this would wait forever.
        assert_eq!(read.read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn a_full_or_closed_channel_is_an_error() {
        let (own_end, other_end) = pair().unwrap();
        while send(own_end.as_fd(), &[b'x'; 4096], None).is_ok() {}
        let error = send(own_end.as_fd(), b"x", None).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        let error = receive(own_end.as_fd(), &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        drop(other_end);
        assert_eq!(send(own_end.as_fd(), b"x", None).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn messages_before_the_end_are_still_read() {
        let (own_end, other_end) = pair().unwrap();
        send(other_end.as_fd(), b"last words", None).unwrap();
        shut_down(own_end.as_fd());
        let mut bytes = [0; 64];
        assert_eq!(receive(own_end.as_fd(), &mut bytes).unwrap(), 10);
        assert_eq!(receive(own_end.as_fd(), &mut bytes).unwrap(), 0);
        assert_eq!(receive(other_end.as_fd(), &mut bytes).unwrap(), 0);
    }
}
