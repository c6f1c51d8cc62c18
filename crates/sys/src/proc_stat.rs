//! The state of a process from `/proc/PID/stat` (proc_pid_stat(5)).
//!
//! [`parse`] is pure. The name of a process may contain any bytes, `)` and spaces included, so the fields are read
//! after the last `)`.

use memchr::memrchr;

use super::{proc::Reader, reap::Pid};

/// The state of one process at one moment. Times are in clock ticks
/// ([`ticks_a_second`](super::units::ticks_a_second)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The process has exited and its parent has not waited for it yet.
    pub is_zombie: bool,
    /// The process has executed a program since its creation.
    pub has_executed: bool,
    /// The process id of the parent.
    pub parent: Pid,
    /// The process id of the process group leader.
    pub group: Pid,
    /// The process id of the session leader.
    pub session: Pid,
    /// User and system time of all threads of the process.
    pub own: u64,
    /// User and system time of the children that the process has waited for, and of their children.
    pub children: u64,
    /// The number of threads.
    pub threads: u32,
    /// Start time after the boot of the machine. Together with the process id it identifies one process.
    pub start: u64,
    /// Resident memory (RSS) in pages ([`page_size`](super::units::page_size)).
    pub pages: u64,
}

/// `PF_FORKNOEXEC` of the kernel's `include/linux/sched.h`.
const NOT_EXECUTED: u64 = 0x40;

/// Parses the content of a `stat` file. `None`: the content is truncated or not of this format.
pub fn parse(text: &[u8]) -> Option<Stat> {
    let after_name = memrchr(b')', text)? + 1;
    let text = std::str::from_utf8(&text[after_name..]).ok()?;
    // The first field here is field 3, the state.
    let mut fields = text.split_ascii_whitespace();
    let mut skip = |count: usize| fields.nth(count);
    let is_zombie = matches!(skip(0)?, "Z" | "X");
    let parent = skip(0)?.parse().ok()?;
    let group = skip(0)?.parse().ok()?;
    let session = skip(0)?.parse().ok()?;
    let mut number = |count: usize| -> Option<u64> {
        // Some fields are signed. Some kernels have reported negative times of children.
        let number: i64 = skip(count)?.parse().ok()?;
        Some(number.max(0).unsigned_abs())
    };
    let has_executed = number(2)? & NOT_EXECUTED == 0;
    let own = number(4)? + number(0)?;
    let children = number(0)? + number(0)?;
    let threads = u32::try_from(number(2)?).unwrap_or(u32::MAX);
    let start = number(1)?;
    let pages = number(1)?;
    Some(Stat { is_zombie, has_executed, parent, group, session, own, children, threads, start, pages })
}

/// Reads the `stat` file of a process with a reader that is used for many files. `None`: the process has ended.
pub fn read(pid: Pid, reader: &mut Reader) -> Option<Stat> {
    parse(reader.read(format_args!("/proc/{pid}/stat")).ok()?)
}

/// The current state of one process. `None`: the process has ended.
pub fn of(pid: Pid) -> Option<Stat> {
    read(pid, &mut Reader::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Stat, parse};

    const REST: &str = "S 7 4242 4243 34816 4242 4194560 1111 2222 3 4 150 25 60 6 20 0 11 0 987654 1000000000 2500 \
        18446744073709551615 1 1 0 0 0 0 0 4096 81923 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
    const EXPECTED: Stat = Stat {
        is_zombie: false,
        has_executed: true,
        parent: 7,
        group: 4242,
        session: 4243,
        own: 175,
        children: 66,
        threads: 11,
        start: 987_654,
        pages: 2500,
    };

    fn named(name: &[u8]) -> Vec<u8> {
        [b"4242 (", name, b") ", REST.as_bytes()].concat()
    }

    #[test]
    fn a_process_may_have_any_name() {
        for name in [&b"node"[..], b"", b"a b", b") S 1 1 1", b"((", b"x) (y", b"\xff\n1 (z) R 1"] {
            assert_eq!(parse(&named(name)), Some(EXPECTED), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn children_with_negative_times_have_none() {
        let text = String::from_utf8(named(b"x")).unwrap().replace(" 60 6 ", " -60 6 ");
        assert_eq!(parse(text.as_bytes()).map(|stat| stat.children), Some(6));
    }

    #[test]
    fn an_ended_process_is_a_zombie() {
        let text = String::from_utf8(named(b"x")).unwrap().replacen(" S ", " Z ", 1);
        assert_eq!(parse(text.as_bytes()), Some(Stat { is_zombie: true, ..EXPECTED }));
    }

    proptest! {
        #[test]
        fn what_is_cut_or_garbage_is_no_process(cut in 0usize..120, text in prop::collection::vec(any::<u8>(), 0..80)) {
            let whole = named(b"x");
            let short = &whole[..cut.min(whole.len())];
            prop_assert!(parse(short).is_none_or(|stat| stat.parent == EXPECTED.parent));
            parse(&text);
        }
    }
}
