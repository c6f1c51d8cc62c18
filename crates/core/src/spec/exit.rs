//! Exit codes and signal numbers as plain data.

use serde::{Deserialize, Serialize};

/// A process's exit code, 0 to 255.
pub type ExitCode = u8;

/// A signal by its Linux number, 1 to 64. Plain data: `sys` sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "i32", try_from = "i32")]
pub struct Signal(u8);

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.number()
    }
}

impl TryFrom<i32> for Signal {
    type Error = &'static str;

    fn try_from(number: i32) -> Result<Self, Self::Error> {
        Self::from_number(number).ok_or("there is no such signal")
    }
}

/// Linux signal names by number, for the architectures that share the common numbering
/// (x86, ARM, RISC-V; see signal(7)).
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first real-time signal that programs may use: glibc keeps 32 and 33 for itself.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// Hang-up.
    pub const HUP: Self = Self(1);
    /// Interrupt, Ctrl-C.
    pub const INT: Self = Self(2);
    /// Quit, Ctrl-\.
    pub const QUIT: Self = Self(3);
    /// Kill; cannot be caught.
    pub const KILL: Self = Self(9);
    /// User signal 1.
    pub const USR1: Self = Self(10);
    /// User signal 2.
    pub const USR2: Self = Self(12);
    /// Terminate.
    pub const TERM: Self = Self(15);
    /// A child has exited.
    pub const CHLD: Self = Self(17);
    /// Continue if stopped.
    pub const CONT: Self = Self(18);
    /// Window size changed.
    pub const WINCH: Self = Self(28);

    /// The signal with this number, if it may be sent (1 to 31, 34 to 64).
    pub fn from_number(number: i32) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        matches!(number, 1..=31 | RTMIN..=RTMAX).then_some(Self(number))
    }

    /// A signal by name (`SIGTERM`, `term`, `RTMIN+3`, `RTMAX-1`) or number (`15`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse::<i32>() {
            return Self::from_number(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let offset = |rest: &str, sign: char| -> Option<u8> {
            if rest.is_empty() { Some(0) } else { rest.strip_prefix(sign)?.parse().ok() }
        };
        if let Some(rest) = name.strip_prefix("RTMIN") {
            return Self::from_number(i32::from(RTMIN) + i32::from(offset(rest, '+')?));
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            let number = RTMAX.checked_sub(offset(rest, '-')?)?;
            return (number >= RTMIN).then_some(Self(number));
        }
        let name = if name == "POLL" { "IO" } else { name };
        NAMES
            .iter()
            .position(|known| known.strip_prefix("SIG") == Some(name))
            .and_then(|at| u8::try_from(at + 1).ok().map(Self))
    }

    /// The Linux number.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// The exit code that a shell or container reports for an exit by this signal: 128 + number.
    pub fn exit_code(self) -> ExitCode {
        128 + self.0
    }

    /// The real-time signals, `SIGRTMIN` to `SIGRTMAX`.
    pub fn realtime() -> impl Iterator<Item = Self> {
        (RTMIN..=RTMAX).map(Self)
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => f.write_str(name),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[test]
    fn every_signal_reads_back_from_its_own_name() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal));
        }
    }

    #[test]
    fn signals_have_the_names_people_type() {
        for text in ["TERM", "term", "SIGTERM", "15", " sigterm "] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text}");
        }
        assert_eq!(Signal::parse("RTMAX-1").unwrap().number(), 63);
        assert_eq!(Signal::parse("SIGPOLL").unwrap().number(), 29);
        for text in ["", "0", "32", "33", "65", "-1", "SIG", "TERMINATE", "RTMIN-1", "RTMAX-40", "RTMIN+31"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }
}
