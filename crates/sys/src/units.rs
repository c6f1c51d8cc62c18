//! The kernel's units: clock ticks and pages, and the time since the machine started.

use nix::{
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};

/// How many ticks of `/proc/PID/stat` a second has; 100 on every Linux there is.
pub fn ticks_a_second() -> u64 {
    positive(SysconfVar::CLK_TCK, 100)
}

/// Bytes of a page.
pub fn page_size() -> u64 {
    positive(SysconfVar::PAGE_SIZE, 4096)
}

fn positive(what: SysconfVar, usual: u64) -> u64 {
    let answer = sysconf(what).ok().flatten().and_then(|number| u64::try_from(number).ok());
    answer.filter(|number| *number > 0).unwrap_or(usual)
}

/// Ticks since the machine started, as the kernel counts the start of a process.
pub fn ticks_since_boot() -> u64 {
    // Fails for no clock that Linux has had since 2.6.39.
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return 0 };
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    let ticks = ticks_a_second();
    part(time.tv_sec()) * ticks + part(time.tv_nsec()) * ticks / 1_000_000_000
}
