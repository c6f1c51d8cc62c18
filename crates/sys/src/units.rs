//! Units of the kernel: clock ticks, pages, and the time since boot.

use nix::{
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};

/// Clock ticks a second, the unit of times in `/proc/PID/stat` (sysconf(3), `_SC_CLK_TCK`); 100 on all known systems.
pub fn ticks_a_second() -> u64 {
    positive(SysconfVar::CLK_TCK, 100)
}

/// The size of a page in bytes.
pub fn page_size() -> u64 {
    positive(SysconfVar::PAGE_SIZE, 4096)
}

fn positive(variable: SysconfVar, default: u64) -> u64 {
    let value = sysconf(variable).ok().flatten().and_then(|number| u64::try_from(number).ok());
    value.filter(|number| *number > 0).unwrap_or(default)
}

/// Clock ticks since boot, including suspend: the unit of the start time of a process.
pub fn ticks_since_boot() -> u64 {
    // `CLOCK_BOOTTIME` exists since Linux 2.6.39.
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return 0 };
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    let ticks = ticks_a_second();
    part(time.tv_sec()) * ticks + part(time.tv_nsec()) * ticks / 1_000_000_000
}
