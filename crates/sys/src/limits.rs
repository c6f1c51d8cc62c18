//! Limits and attributes of a child: resource limits, nice value, OOM score adjustment, umask, `no_new_privs`.
//!
//! The child applies them itself between its creation and execve(2). Each of them belongs to one process even where
//! the memory is shared: resource limits and OOM score to its `signal_struct`, nice value and privileges to its task,
//! and the umask to its `fs_struct`, which clone(2) copies without `CLONE_FS`. The kernel copies an OOM score to all
//! processes that share the memory, except between parent and child of vfork(2) (`__set_oom_adj` in fs/proc/base.c).
//! So nothing here changes the parent; a test checks that.

use std::{
    fmt, fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{Mutex, OnceLock, PoisonError},
};

use nix::{
    errno::Errno,
    libc,
    sys::resource::{self, getrlimit, setrlimit},
};

use super::proc;

/// How likely the kernel is to kill the process when memory runs out (proc_pid_oom_score_adj(5)).
const OOM_SCORE_FILE: &std::ffi::CStr = c"/proc/self/oom_score_adj";
/// The value for procrun itself, the same as dockerd's: the kernel prefers other processes, but procrun can still be
/// killed.
const OWN_OOM_SCORE: i32 = -500;
/// The value before procrun changed its own. Its children get this value.
static ORIGINAL_OOM_SCORE: OnceLock<i32> = OnceLock::new();
/// Held while procrun tries values on itself, so that no other thread reads a tried value as the original one.
static TRIAL: Mutex<()> = Mutex::new(());
/// The nice value of the session on a kernel with autogroups (sched(7)).
const AUTOGROUP_FILE: &std::ffi::CStr = c"/proc/self/autogroup";

/// The resources by their usual names (getrlimit(2)).
const RESOURCES: [(&str, resource::Resource); 16] = [
    ("as", resource::Resource::RLIMIT_AS),
    ("core", resource::Resource::RLIMIT_CORE),
    ("cpu", resource::Resource::RLIMIT_CPU),
    ("data", resource::Resource::RLIMIT_DATA),
    ("fsize", resource::Resource::RLIMIT_FSIZE),
    ("locks", resource::Resource::RLIMIT_LOCKS),
    ("memlock", resource::Resource::RLIMIT_MEMLOCK),
    ("msgqueue", resource::Resource::RLIMIT_MSGQUEUE),
    ("nice", resource::Resource::RLIMIT_NICE),
    ("nofile", resource::Resource::RLIMIT_NOFILE),
    ("nproc", resource::Resource::RLIMIT_NPROC),
    ("rss", resource::Resource::RLIMIT_RSS),
    ("rtprio", resource::Resource::RLIMIT_RTPRIO),
    ("rttime", resource::Resource::RLIMIT_RTTIME),
    ("sigpending", resource::Resource::RLIMIT_SIGPENDING),
    ("stack", resource::Resource::RLIMIT_STACK),
];

/// The limits of a child that differ from those of its parent.
#[derive(Debug, Default)]
pub struct Limits {
    /// Resource limits. All others are inherited.
    pub resources: Vec<Rlimit>,
    /// Nice value, -20 to 19 (nice(2)).
    pub nice: Option<i32>,
    /// OOM score adjustment, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// File mode creation mask, 0 to 0o777 (umask(2)).
    pub umask: Option<u32>,
    /// Set `PR_SET_NO_NEW_PRIVS` (prctl(2)).
    pub no_new_privileges: bool,
}

/// A resource limit; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    index: u8,
    soft: u64,
    hard: u64,
}

/// The kind of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The resource with this index.
    Resource(u8),
    /// The OOM score adjustment.
    OomScore,
    /// The nice value.
    Nice,
    /// `no_new_privs`.
    Privileges,
}

impl Part {
    /// The number in the shared page of a child, from 0.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Resource(index) => index,
            Self::OomScore => 32,
            Self::Nice => 33,
            Self::Privileges => 34,
        }
    }

    /// The inverse of [`Self::number`].
    pub(super) fn from_number(number: u8) -> Self {
        match number {
            32 => Self::OomScore,
            33 => Self::Nice,
            34 => Self::Privileges,
            index => Self::Resource(index),
        }
    }
}

impl Rlimit {
    /// A limit of the resource with this name. `None`: there is no such resource. `soft` must not be above `hard`.
    pub fn new(name: &str, soft: u64, hard: u64) -> Option<Self> {
        let index = RESOURCES.iter().position(|(known, _)| *known == name)?;
        Some(Self { index: u8::try_from(index).ok()?, soft, hard })
    }

    fn name(self) -> &'static str {
        RESOURCES[usize::from(self.index)].0
    }

    fn resource(self) -> resource::Resource {
        RESOURCES[usize::from(self.index)].1
    }
}

/// A limit that was refused, and why.
#[derive(Debug)]
pub struct Refusal {
    what: String,
    why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not allowed: {}", self.what, self.why)
    }
}

impl std::error::Error for Refusal {}

impl Limits {
    /// Applies the limits that may need privileges, before the change of user. On a failure returns the refused part
    /// and sets `errno`.
    ///
    /// Only in a child: it makes only system calls.
    pub(super) fn apply(&self) -> Option<Part> {
        // First, because it needs a descriptor, and a limit of descriptors may follow.
        match self.oom_score_adj {
            Some(score) if write_number(OOM_SCORE_FILE, score).is_err() => return Some(Part::OomScore),
            Some(_) => {}
            // Raising the value is always allowed.
            None => drop(ORIGINAL_OOM_SCORE.get().map(|score| write_number(OOM_SCORE_FILE, *score))),
        }
        for limit in &self.resources {
            if setrlimit(limit.resource(), limit.soft, limit.hard).is_err() {
                return Some(Part::Resource(limit.index));
            }
        }
        if let Some(nice) = self.nice {
            if set_nice(nice).is_err() {
                return Some(Part::Nice);
            }
            // Each worker has its own session. On a kernel with autogroups the nice value counts within the session
            // only, so the session's value is set too. Most kernels in containers have no such file.
            let _ = write_number(AUTOGROUP_FILE, nice);
        }
        if let Some(umask) = self.umask {
            // SAFETY: takes an integer and cannot fail.
            unsafe { libc::umask(umask) };
        }
        None
    }

    /// Sets `no_new_privs` if requested, after everything that needs privileges.
    pub(super) fn drop_privileges(&self) -> Option<Part> {
        let refused =
            // SAFETY: takes integers.
            self.no_new_privileges && unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0;
        refused.then_some(Part::Privileges)
    }

    /// Checks whether a child may have all of these limits. procrun sets them on itself for a moment where that can
    /// be undone: capabilities do not show it, because those of a user namespace do not count here.
    ///
    /// # Errors
    ///
    /// The first refusal. Refusals that only show at the start are not reported.
    pub fn check(&self) -> Result<(), Refusal> {
        let _trial = TRIAL.lock().unwrap_or_else(PoisonError::into_inner);
        for limit in &self.resources {
            let Ok((soft, hard)) = getrlimit(limit.resource()) else { continue };
            if limit.hard > hard {
                // The own soft limit stays, and lowering a hard limit is always allowed.
                setrlimit(limit.resource(), soft, limit.hard)
                    .and_then(|()| setrlimit(limit.resource(), soft, hard))
                    .map_err(|errno| self.refusal(Part::Resource(limit.index), &errno.into()))?;
            }
        }
        let own = own_nice();
        if let Some(nice) = self.nice
            && nice < own
            && !self.allows_nice(nice)
        {
            set_nice(nice)
                .and_then(|()| set_nice(own))
                .map_err(|error| self.refusal(Part::Nice, &error.into()))?;
        }
        if let Some(score) = self.oom_score_adj {
            check_oom_score(score).map_err(|error| self.refusal(Part::OomScore, &error))?;
        }
        Ok(())
    }

    /// Whether the own resource limit `RLIMIT_NICE` allows this nice value.
    fn allows_nice(&self, nice: i32) -> bool {
        let needed = u64::try_from(20 - nice).unwrap_or(u64::MAX);
        self.resources.iter().any(|limit| limit.name() == "nice" && limit.soft >= needed)
    }

    /// Whether there is a limit of the resource with this name.
    pub fn sets(&self, name: &str) -> bool {
        self.resources.iter().any(|limit| limit.name() == name)
    }

    /// The refusal as an error message.
    pub fn refusal(&self, part: Part, error: &io::Error) -> Refusal {
        let denied = matches!(error.kind(), io::ErrorKind::PermissionDenied);
        match part {
            Part::Resource(index) => {
                let Some(limit) = self.resources.iter().find(|limit| limit.index == index) else {
                    return Refusal { what: "a resource limit".to_owned(), why: error.to_string() };
                };
                let name = limit.name();
                let what = format!("the limit `{name}` of {}", Amount(limit.hard));
                if !denied {
                    return Refusal { what, why: error.to_string() };
                }
                Refusal { what, why: explain_maximum(limit) }
            }
            Part::Nice => {
                let what = format!("`nice` = {}", self.nice.unwrap_or_default());
                let why = if denied {
                    let own = own_nice();
                    format!(
                        "procrun's own is {own}, and a lower value needs CAP_SYS_NICE\n  \
                         hint: add that capability to the container, or set {own} or more"
                    )
                } else {
                    error.to_string()
                };
                Refusal { what, why }
            }
            Part::OomScore => {
                let what = format!("`oom_score_adj` = {}", self.oom_score_adj.unwrap_or_default());
                let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
                let own = own.trim();
                let why = if denied && !own.is_empty() {
                    format!(
                        "procrun's own is {own}, and a lower value needs CAP_SYS_RESOURCE\n  \
                         hint: add that capability to the container, or set {own} or more"
                    )
                } else {
                    format!("/proc/self/oom_score_adj cannot be written: {error}")
                };
                Refusal { what, why }
            }
            Part::Privileges => Refusal { what: "`no_new_privileges`".to_owned(), why: error.to_string() },
        }
    }
}

/// Explains why a limit cannot be that high.
fn explain_maximum(limit: &Rlimit) -> String {
    let name = limit.name();
    let max = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    if let Some(max) = max.filter(|max: &u64| name == "nofile" && limit.hard > *max) {
        return format!(
            "the kernel gives no process more than {max} (fs.nr_open)\n  hint: set {max} or less"
        );
    }
    let own = getrlimit(limit.resource()).map_or(0, |(_, hard)| hard);
    format!(
        "procrun's own hard limit is {}, and a higher value needs CAP_SYS_RESOURCE\n  \
         hint: give the container more (`docker run --ulimit {name}={}`), or set less",
        Amount(own),
        if limit.hard == u64::MAX { "-1".to_owned() } else { limit.hard.to_string() },
    )
}

/// A limit as it is printed.
struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("unlimited"),
            amount => write!(f, "{amount}"),
        }
    }
}

fn own_nice() -> i32 {
    // SAFETY: takes integers. It cannot fail for the calling process; -1 is also a value.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

fn set_nice(nice: i32) -> Result<(), Errno> {
    // SAFETY: takes integers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Checks whether a child may have this OOM score adjustment. A process with CAP_SYS_RESOURCE does not try: that
/// would permanently change the lower bound for its children.
fn check_oom_score(adjustment: i32) -> io::Result<()> {
    let file = open(OOM_SCORE_FILE)?;
    let own: i32 = fs::read_to_string("/proc/self/oom_score_adj")?.trim().parse().unwrap_or(0);
    if adjustment >= own || may_raise_limits() {
        return Ok(());
    }
    put_number(&file, adjustment).and_then(|()| put_number(&file, own)).map_err(io::Error::from)
}

/// Makes the kernel prefer workers over procrun when memory runs out, if that is allowed. Without the supervisor no
/// worker restarts, and the kernel kills all processes when PID 1 ends.
pub fn lower_own_oom_score() {
    let Ok(text) = fs::read_to_string("/proc/self/oom_score_adj") else { return };
    let Ok(before) = text.trim().parse::<i32>() else { return };
    if before > OWN_OOM_SCORE && write_number(OOM_SCORE_FILE, OWN_OOM_SCORE).is_ok() {
        let _ = ORIGINAL_OOM_SCORE.set(before);
    }
}

/// Whether this process has CAP_SYS_RESOURCE, even if only in a user namespace.
fn may_raise_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let effective = proc::status("self", "CapEff").and_then(|set| u64::from_str_radix(&set, 16).ok());
    effective.is_some_and(|set| set >> CAP_SYS_RESOURCE & 1 == 1)
}

/// Writes a number to a file in `/proc`. Makes only system calls.
fn write_number(path: &std::ffi::CStr, number: i32) -> Result<(), Errno> {
    put_number(&open(path)?, number)
}

fn open(path: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the path is a C string; the descriptor is new and has no other owner.
    let fd = Errno::result(unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn put_number(file: &OwnedFd, number: i32) -> Result<(), Errno> {
    let (text, begin) = decimal(number);
    let text = &text[begin..];
    // SAFETY: the buffer is valid for its length.
    Errno::result(unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) }).map(drop)
}

/// Formats a number in decimal without an allocation. The digits begin at the returned index.
fn decimal(number: i32) -> ([u8; 11], usize) {
    let (mut text, mut begin) = ([0; 11], 11);
    let mut rest = number.unsigned_abs();
    loop {
        begin -= 1;
        text[begin] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        begin -= 1;
        text[begin] = b'-';
    }
    (text, begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_kernel_reads_them() {
        for number in [0, 7, -1, 19, -20, 1000, -1000, i32::MAX, i32::MIN] {
            let (text, begin) = decimal(number);
            assert_eq!(std::str::from_utf8(&text[begin..]).unwrap(), number.to_string());
        }
    }

    #[test]
    fn a_part_is_decoded_from_its_number() {
        for part in [Part::Resource(0), Part::Resource(15), Part::OomScore, Part::Nice, Part::Privileges] {
            assert_eq!(Part::from_number(part.number()), part);
        }
    }

    #[test]
    fn limits_are_restored_after_they_were_tried() {
        let own = |name| getrlimit(Rlimit::new(name, 0, 0).unwrap().resource()).unwrap();
        let (before, nice) = (own("nofile"), own_nice());
        let more = Limits {
            resources: vec![Rlimit::new("nofile", 16, before.1 + 1).unwrap()],
            nice: Some(nice - 1),
            ..Limits::default()
        };
        // The result depends on the user that runs the test.
        let _ = more.check();
        assert_eq!((own("nofile"), own_nice()), (before, nice));
        let less = Limits {
            resources: vec![Rlimit::new("nofile", 16, 16).unwrap()],
            nice: Some(19),
            oom_score_adj: Some(1000),
            ..Limits::default()
        };
        less.check().unwrap();
        assert_eq!((own("nofile"), own_nice()), (before, nice));
    }

    #[test]
    fn threads_that_try_limits_at_the_same_time_change_nothing() {
        let own = || getrlimit(Rlimit::new("msgqueue", 0, 0).unwrap().resource()).unwrap();
        let (soft, hard) = own();
        std::thread::scope(|scope| {
            for more in 1..=4 {
                scope.spawn(move || {
                    let raised = Rlimit::new("msgqueue", soft, hard.saturating_add(more)).unwrap();
                    let limits = Limits { resources: vec![raised], ..Limits::default() };
                    for _ in 0..200 {
                        // The result depends on the user that runs the test.
                        let _ = limits.check();
                    }
                });
            }
        });
        assert_eq!(own(), (soft, hard));
    }

    #[test]
    fn more_files_than_the_kernel_allows_are_always_refused() {
        let max = fs::read_to_string("/proc/sys/fs/nr_open").unwrap();
        let max: u64 = max.trim().parse().unwrap();
        let limits =
            Limits { resources: vec![Rlimit::new("nofile", max + 1, max + 1).unwrap()], ..Limits::default() };
        let refusal = limits.check().unwrap_err().to_string();
        assert!(
            refusal.starts_with(&format!("the limit `nofile` of {} is not allowed: ", max + 1)),
            "{refusal}"
        );
        assert!(refusal.contains(&format!("more than {max} (fs.nr_open)")), "{refusal}");
    }
}
