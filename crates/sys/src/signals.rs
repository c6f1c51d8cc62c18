//! Receives signals as an asynchronous stream.

use std::{
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    ptr,
};

use nix::{libc, sys::signal::SigSet};
use signal_hook::{
    iterator::{backend::SignalDelivery, exfiltrator::WithOrigin},
    low_level::siginfo::{Cause, Origin},
};

use super::reap::Pid;

/// One received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The signal number, 1 to 64.
    pub number: i32,
    /// The sender.
    pub sender: Sender,
}

/// The sender of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: Ctrl-C, a hangup of the terminal, the exit of a child.
    Kernel,
    /// A process with this id; 0 if it is outside of this PID namespace.
    Process(Pid),
}

/// Installed signal handlers, which store the signals that arrive.
///
/// PID 1 has no default actions: the kernel drops a signal without a handler, SIGTERM included (kill(2)), unless all
/// threads block it. So all signals stay blocked ([`block_all`]) until their handlers are installed.
pub struct Installed(SignalDelivery<UnixStream, WithOrigin>);

/// Installs handlers for the signals that procrun uses: exit of a child, stop, hangup, and those that it forwards to
/// workers. [`Signals::receive_realtime`] installs the thirty handlers of the real-time signals later, so that the
/// first worker starts earlier.
///
/// # Errors
///
/// The error of socketpair(2) or sigaction(2).
pub fn install() -> io::Result<Installed> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    let named = [
        libc::SIGCHLD,
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
        libc::SIGCONT,
    ];
    let installed = SignalDelivery::with_pipe(read, OwnedFd::from(write), WithOrigin::default(), named)?;
    // Signals that the process that started procrun has blocked would never arrive.
    SigSet::empty().thread_set_mask()?;
    Ok(Installed(installed))
}

/// Blocks all signals in this thread and in those that it creates: other threads of the process receive them. If there
/// is none, the signals wait until [`install`] unblocks them.
pub fn block_all() {
    let _ = SigSet::all().thread_set_mask();
}

/// The dispositions of all signals of this process at one moment.
pub struct Dispositions(Vec<(i32, libc::sigaction)>);

impl Dispositions {
    /// Reads the current dispositions.
    pub fn now() -> Self {
        Self((1..=libc::SIGRTMAX()).filter_map(|number| Some((number, disposition(number)?))).collect())
    }

    /// Restores these dispositions. Otherwise the handlers of [`install`] would stay without a receiver, and signals
    /// would be lost.
    pub fn restore(&self) {
        for (number, action) in &self.0 {
            // SAFETY: `action` is what the kernel gave for this number; its handler, if it has
            // one, is a function of this program. SIGKILL and SIGSTOP are refused.
            unsafe { libc::sigaction(*number, action, ptr::null_mut()) };
        }
    }
}

/// `None`: there is no such signal, or the C library uses it itself.
fn disposition(number: i32) -> Option<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: changes nothing, and writes a whole `sigaction` if it answers with 0.
    unsafe { (libc::sigaction(number, ptr::null(), action.as_mut_ptr()) == 0).then(|| action.assume_init()) }
}

/// The stream of received signals.
pub struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
    wake: tokio::net::UnixStream,
    /// Signals of [`Self::put_back`].
    returned: Vec<Received>,
}

impl Signals {
    /// Connects the handlers to the async runtime of the calling task.
    ///
    /// # Errors
    ///
    /// The error of dup(2) or epoll_ctl(2).
    pub fn new(installed: Installed) -> io::Result<Self> {
        let wake = tokio::net::UnixStream::from_std(installed.0.get_read().try_clone()?)?;
        Ok(Self { delivery: installed.0, wake, returned: Vec::new() })
    }

    /// Installs handlers for the real-time signals.
    ///
    /// # Errors
    ///
    /// The error of sigaction(2).
    pub fn receive_realtime(&self) -> io::Result<()> {
        let handle = self.delivery.handle();
        (libc::SIGRTMIN()..=libc::SIGRTMAX()).try_for_each(|number| handle.add_signal(number))
    }

    /// Waits for signals and appends them to `into`. The kernel may merge equal signals that arrive close together.
    /// Cancel-safe: signals that were not appended come with the next call.
    ///
    /// # Errors
    ///
    /// The error of epoll_wait(2).
    pub async fn wait(&mut self, into: &mut Vec<Received>) -> io::Result<()> {
        if !self.returned.is_empty() {
            into.append(&mut self.returned);
            return Ok(());
        }
        self.wake.readable().await?;
        self.take_arrived(into);
        Ok(())
    }

    /// Appends the signals of which the runtime knows, without waiting. While there are none it makes no system call.
    pub fn take_arrived(&mut self, into: &mut Vec<Received>) {
        // A handler stores the signal before it writes a byte here. So reading all bytes first loses no signal.
        let mut bytes = [0; 64];
        let mut has_arrived = false;
        while self.wake.try_read(&mut bytes).is_ok_and(|n| n > 0) {
            has_arrived = true;
        }
        if has_arrived {
            into.extend(self.delivery.pending().map(|origin| received(&origin)));
        }
    }

    /// Puts signals back for a later receiver: the next [`Self::wait`] returns them first.
    pub fn put_back(&mut self, signals: Vec<Received>) {
        self.returned.extend(signals);
    }
}

fn received(origin: &Origin) -> Received {
    let sender = match origin.cause {
        Cause::Sent(_) => Sender::Process(origin.process.map_or(0, |process| process.pid)),
        _ => Sender::Kernel,
    };
    Received { number: origin.signal, sender }
}
