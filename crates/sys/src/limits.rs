//! What the kernel allows a child, and its initial state: resource limits, nice value, OOM score, umask,
//! `no_new_privs`.
//!
//! The child applies them itself between its creation and its program. Each of these belongs to a process even
//! where the memory is shared: limits and the OOM score to its `signal_struct`, the nice value and the
//! privileges to its task, the umask to its `fs_struct`, which clone(2) copies without `CLONE_FS`. The kernel
//! passes an OOM score on to all processes that share the memory, but not from or to a child of vfork
//! (`__set_oom_adj` in fs/proc/base.c). So nothing here changes the parent; a test asserts that.

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

/// How early the kernel kills a process when memory runs out (proc(5)).
const OOM_SCORE: &std::ffi::CStr = c"/proc/self/oom_score_adj";
/// What procrun gives itself, as dockerd does: the kernel takes it late, but not never.
const OWN_OOM_SCORE: i32 = -500;
/// What procrun had before it gave itself another; its children get it back.
static ORIGINAL_OOM_SCORE: OnceLock<i32> = OnceLock::new();
/// Held while procrun tries values on itself: another thread would take a tried value for the original one.
static TRIAL: Mutex<()> = Mutex::new(());
/// Where a kernel with autogroups keeps the nice value of a session (sched(7)).
const AUTOGROUP: &std::ffi::CStr = c"/proc/self/autogroup";

/// The kernel's resources by their usual names (getrlimit(2)).
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

/// What one child gets otherwise than its parent has it.
#[derive(Debug, Default)]
pub struct Limits {
    /// Resource limits; the others stay.
    pub resources: Vec<Rlimit>,
    /// -20 to 19.
    pub nice: Option<i32>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Up to 0o777.
    pub umask: Option<u32>,
    /// The bit of prctl(2).
    pub no_new_privileges: bool,
}

/// One resource limit; `u64::MAX` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    index: u8,
    soft: u64,
    hard: u64,
}

/// Which of the limits it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A resource, by its place among those that there are.
    Resource(u8),
    /// The OOM score.
    OomScore,
    /// The nice value.
    Nice,
    /// No new privileges.
    Privileges,
}

impl Part {
    /// A small number for it, from 0.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Resource(index) => index,
            Self::OomScore => 32,
            Self::Nice => 33,
            Self::Privileges => 34,
        }
    }

    /// What has this number.
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
    /// A limit of the resource of this name, if there is one. `soft` is not above `hard`.
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

/// What is not allowed, and why.
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
    /// Takes on what may need the rights that a change of user gives away. Returns what was refused,
    /// with `errno` set.
    ///
    /// Only in a child: makes nothing but system calls.
    pub(super) fn apply(&self) -> Option<Part> {
        // First, because it takes a descriptor, and a limit of them may come next.
        match self.oom_score_adj {
            Some(score) if write_number(OOM_SCORE, score).is_err() => return Some(Part::OomScore),
            Some(_) => {}
            // Raising it is always allowed.
            None => drop(ORIGINAL_OOM_SCORE.get().map(|score| write_number(OOM_SCORE, *score))),
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
            // Each worker has a session of its own, and where the kernel groups by session the value of a
            // process means nothing to other groups. Most kernels in containers have no such file.
            let _ = write_number(AUTOGROUP, nice);
        }
        if let Some(umask) = self.umask {
            // SAFETY: takes an integer and cannot fail.
            unsafe { libc::umask(umask) };
        }
        None
    }

    /// Gives up new privileges, if that is wanted: after everything that needs old ones.
    pub(super) fn give_up_privileges(&self) -> Option<Part> {
        let refused =
            // SAFETY: takes integers.
            self.no_new_privileges && unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0;
        refused.then_some(Part::Privileges)
    }

    /// Whether a child may have all of this. procrun finds out by setting it on itself for a moment, where that
    /// can be undone: capabilities do not tell, since those of a user namespace do not count here.
    ///
    /// # Errors
    /// The first refusal. What cannot be known before the start is not among them.
    pub fn check(&self) -> Result<(), Refusal> {
        let _trial = TRIAL.lock().unwrap_or_else(PoisonError::into_inner);
        for limit in &self.resources {
            let Ok((soft, hard)) = getrlimit(limit.resource()) else { continue };
            if limit.hard > hard {
                // Its own soft limit stays as it is, and lowering a hard one again is always allowed.
                setrlimit(limit.resource(), soft, limit.hard)
                    .and_then(|()| setrlimit(limit.resource(), soft, hard))
                    .map_err(|errno| self.refusal(Part::Resource(limit.index), &errno.into()))?;
            }
        }
        let own = own_nice();
        if let Some(nice) = self.nice
            && nice < own
            && !self.lets_be_nice(nice)
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

    /// Whether its own resource limit allows this nice value.
    fn lets_be_nice(&self, nice: i32) -> bool {
        let needed = u64::try_from(20 - nice).unwrap_or(u64::MAX);
        self.resources.iter().any(|limit| limit.name() == "nice" && limit.soft >= needed)
    }

    /// Whether it holds a limit of the resource of this name.
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
                Refusal { what, why: why_no_more(limit) }
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

/// Why a limit cannot be that high.
fn why_no_more(limit: &Rlimit) -> String {
    let name = limit.name();
    let most = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    if let Some(most) = most.filter(|most: &u64| name == "nofile" && limit.hard > *most) {
        return format!(
            "the kernel gives no process more than {most} (fs.nr_open)\n  hint: set {most} or less"
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

/// A limit as it is written.
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

/// Whether a child of this process may have this OOM score. A process that may do everything does not try: that
/// would permanently change how low its children may go.
fn check_oom_score(wanted: i32) -> io::Result<()> {
    let file = open(OOM_SCORE)?;
    let own: i32 = fs::read_to_string("/proc/self/oom_score_adj")?.trim().parse().unwrap_or(0);
    if wanted >= own || may_raise_limits() {
        return Ok(());
    }
    put_number(&file, wanted).and_then(|()| put_number(&file, own)).map_err(io::Error::from)
}

/// Makes the kernel choose a worker before procrun when memory runs out, where that is allowed: without its
/// supervisor no worker would be restarted, and without PID 1 all of them are killed.
pub fn lower_own_oom_score() {
    let Ok(text) = fs::read_to_string("/proc/self/oom_score_adj") else { return };
    let Ok(before) = text.trim().parse::<i32>() else { return };
    if before > OWN_OOM_SCORE && write_number(OOM_SCORE, OWN_OOM_SCORE).is_ok() {
        let _ = ORIGINAL_OOM_SCORE.set(before);
    }
}

/// Whether this process has CAP_SYS_RESOURCE, be it in a user namespace only.
fn may_raise_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let effective = proc::status("self", "CapEff").and_then(|set| u64::from_str_radix(&set, 16).ok());
    effective.is_some_and(|set| set >> CAP_SYS_RESOURCE & 1 == 1)
}

/// Writes a number to a file of `/proc`; makes only system calls.
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

/// A number in decimal, from the returned place on: without allocating.
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
    fn a_part_comes_back_from_its_number() {
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
        // Whether it may depends on the user of the test.
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
                        // Whether it may depends on the user of the test.
                        let _ = limits.check();
                    }
                });
            }
        });
        assert_eq!(own(), (soft, hard));
    }

    #[test]
    fn more_files_than_the_kernel_has_are_refused_to_everybody() {
        let most = fs::read_to_string("/proc/sys/fs/nr_open").unwrap();
        let most: u64 = most.trim().parse().unwrap();
        let limits = Limits {
            resources: vec![Rlimit::new("nofile", most + 1, most + 1).unwrap()],
            ..Limits::default()
        };
        let refusal = limits.check().unwrap_err().to_string();
        assert!(
            refusal.starts_with(&format!("the limit `nofile` of {} is not allowed: ", most + 1)),
            "{refusal}"
        );
        assert!(refusal.contains(&format!("more than {most} (fs.nr_open)")), "{refusal}");
    }
}
