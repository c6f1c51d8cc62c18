//! The check that every application has passed before it runs.
//!
//! Applications come from configuration files, over the control socket and from saved lists. All of them pass this
//! check, so the rest of the program can rely on it: names have a maximum length, durations have an upper bound, and
//! no string for the kernel contains a NUL byte. `config` reads values with the same bounds, and can point at the
//! place in the file.

use std::{collections::BTreeMap, fmt, net::IpAddr, path::Path, time::Duration};

use super::{
    Allowance, AppSpec, Backoff, Identity, Instances, Interpreter, Limits, ListenAddress, LogSpec,
    MemoryLimit, PrincipalRef, Probe, ProbeAddress, ProbeTarget, Unit, WatchSpec,
};

/// The longest duration.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The largest size in bytes: 1 PiB.
pub const MAX_BYTES: u64 = 1 << 50;
/// The maximum number of applications of one procrun.
pub const MAX_APPS: usize = 1000;
/// The maximum number of instances of one application.
pub const MAX_INSTANCES: u32 = 1000;
/// The maximum number of held sockets of one application.
pub const MAX_SOCKETS: usize = 64;
/// The maximum length of the name of an application, namespace or user, in bytes.
pub const MAX_LABEL: usize = 255;
/// The maximum length of the path of a unix socket in bytes: `sun_path` of unix(7) without its final NUL byte.
pub const MAX_SOCKET_PATH: usize = 107;
/// The maximum length of the name of a held socket in bytes: systemd's `FDNAME_MAX`, sd_listen_fds(3).
pub const MAX_SOCKET_NAME: usize = 255;
/// The largest `max_restarts`.
pub const MAX_RESTARTS: u32 = 1_000_000;
/// The largest `max_parallel`, `log_keep` and `retries`.
pub const MAX_COUNT: u32 = 1000;
/// The smallest `log_max_size` in bytes; 0 is no limit.
pub const MIN_LOG_SIZE: u64 = 1024;
/// The shortest interval of probes and of scans of watched files.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// The shortest timeout of a probe.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// The range of `nice`.
pub const NICE: (i32, i32) = (-20, 19);
/// The range of `oom_score_adj`.
pub const OOM_SCORE_ADJ: (i32, i32) = (-1000, 1000);
/// The largest `umask`.
pub const ALL_MODES: u32 = 0o777;
/// The characters besides letters and digits that the path of an HTTP probe may contain (RFC 3986).
const PATH_PUNCTUATION: &[u8] = b"-._~!$&'()*+,;=:@/?%";
/// The maximum number of characters of a value in a message.
const SHOWN: usize = 60;

/// A value of an application that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The application's name, shortened.
    pub app: String,
    /// The key of an ecosystem file that sets the value.
    pub key: &'static str,
    /// Why the value is wrong; it follows the key in the message.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, key, message } = self;
        write!(f, "`{key}` in app `{app}` {message}")
    }
}

type Check = Result<(), String>;

/// Checks an application.
///
/// # Errors
/// The first key whose value is out of its range.
pub fn validate(app: &AppSpec) -> Result<(), Violation> {
    for (key, check) in checks(app) {
        check.map_err(|message| Violation { app: shortened(&app.name), key, message })?;
    }
    Ok(())
}

/// Checks the environment that applications inherit.
///
/// # Errors
/// The first variable that a process cannot have.
pub fn validate_environment(environment: &BTreeMap<String, String>) -> Result<(), String> {
    variables(environment).map_err(|why| format!("the environment {why}"))
}

/// Checks a string that is shown and compared: one line, not empty, at most [`MAX_LABEL`] bytes.
///
/// # Errors
/// Why the string is wrong.
pub fn label(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".to_owned());
    }
    if text.len() > MAX_LABEL {
        return Err(format!("is too long: {} bytes, at most {MAX_LABEL}", text.len()));
    }
    Ok(())
}

/// Checks a string for the kernel, whose strings end at a NUL byte.
///
/// # Errors
/// The value contains a NUL byte.
pub fn kernel_string(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("contains a NUL byte".to_owned()) } else { Ok(()) }
}

/// Whether this byte may be part of the path of an HTTP probe.
pub fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || PATH_PUNCTUATION.contains(&byte)
}

/// All checks with their keys, in the order of the key table.
fn checks(app: &AppSpec) -> Vec<(&'static str, Check)> {
    let mut checks = vec![
        ("name", label(&app.name)),
        ("namespace", label(&app.namespace)),
        ("script", full(&app.exec.script)),
        ("args", kernel_strings(&app.exec.args)),
        ("cwd", path(&app.exec.cwd)),
        ("interpreter", interpreter(&app.exec.interpreter)),
        ("interpreter_args", kernel_strings(&app.exec.interpreter_args)),
        ("instances", instances(app.instances)),
        ("listen", sockets(app)),
        ("env", variables(&app.env.vars)),
        ("instance_var", variable(&app.env.instance_var)),
        ("increment_var", app.env.increment_var.as_deref().map_or(Ok(()), variable)),
        ("depends_on", app.order.depends_on.iter().try_for_each(|other| label(&other.app))),
        ("oneshot", oneshot(app)),
        ("exp_backoff_restart_delay", backoff(app.restart.backoff)),
        ("min_uptime", duration(app.restart.min_uptime)),
        ("max_restarts", within(app.restart.max_restarts, 1, MAX_RESTARTS)),
        ("max_memory_restart", app.max_memory.map_or(Ok(()), memory)),
        ("cron_timezone", zone(app)),
        ("listen_timeout", duration(app.reload.listen_timeout)),
        ("max_parallel", within(app.reload.max_parallel, 1, MAX_COUNT)),
        ("health", app.health.liveness.as_deref().map_or(Ok(()), probe)),
        ("readiness", app.health.readiness.as_deref().map_or(Ok(()), probe)),
        ("heartbeat", app.health.heartbeat.map_or(Ok(()), positive)),
        ("kill_timeout", duration(app.stop.kill_timeout)),
        ("drain", app.stop.drain.map_or(Ok(()), duration)),
        ("pid_file", app.pid_file.as_deref().map_or(Ok(()), path)),
        ("watch", app.watch.as_deref().map_or(Ok(()), watch)),
    ];
    checks.extend(identity(&app.identity));
    checks.extend(limits(&app.limits));
    checks.extend(logs(&app.logs));
    checks
}

fn full(text: &str) -> Check {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    kernel_string(text)
}

fn kernel_strings(texts: &[String]) -> Check {
    texts.iter().try_for_each(|text| kernel_string(text))
}

fn path(path: &Path) -> Check {
    if !path.is_absolute() {
        return Err(format!("must be an absolute path, not `{}`", shortened(&path.to_string_lossy())));
    }
    kernel_string(&path.to_string_lossy())
}

fn within<T: Copy + PartialOrd + fmt::Display>(value: T, min: T, max: T) -> Check {
    if value < min || value > max {
        return Err(format!("must be from {min} to {max}, not {value}"));
    }
    Ok(())
}

fn duration(duration: Duration) -> Check {
    if duration > MAX_DURATION {
        return Err(format!("cannot be longer than 30 days, it is {} s", duration.as_secs()));
    }
    Ok(())
}

fn positive(value: Duration) -> Check {
    at_least(value, Duration::from_nanos(1)).map_err(|_| "must not be 0".to_owned())
}

fn at_least(value: Duration, min: Duration) -> Check {
    if value < min {
        return Err(format!("must be at least {} ms, it is {value:?}", min.as_millis()));
    }
    duration(value)
}

fn size(bytes: u64) -> Check {
    if bytes > MAX_BYTES { Err(format!("is too large: {bytes} bytes")) } else { Ok(()) }
}

fn interpreter(interpreter: &Interpreter) -> Check {
    match interpreter {
        Interpreter::Program(program) => full(program),
        Interpreter::Auto | Interpreter::None | Interpreter::BuiltIn => Ok(()),
    }
}

fn instances(instances: Instances) -> Check {
    match instances {
        Instances::Count(count) => within(count, 1, MAX_INSTANCES),
        Instances::CpusMinus(less) => within(less, 0, MAX_INSTANCES),
    }
}

fn sockets(app: &AppSpec) -> Check {
    if app.listen.len() > MAX_SOCKETS {
        return Err(format!("has {} sockets, at most {MAX_SOCKETS} are opened", app.listen.len()));
    }
    for (number, socket) in app.listen.iter().enumerate() {
        let name = &socket.name;
        // sd_listen_fds(3): one variable contains the names with colons between them.
        let is_name = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && byte != b':';
        if name.is_empty() || name.len() > MAX_SOCKET_NAME || !name.bytes().all(is_name) {
            return Err(format!("has a socket with the name `{}`", shortened(name)));
        }
        if app.listen[..number].iter().any(|other| other.address == socket.address) {
            return Err(format!("names {} twice", shortened(&socket.address.to_string())));
        }
        if let ListenAddress::Unix(file) = &socket.address {
            path(file)?;
            if file.as_os_str().len() > MAX_SOCKET_PATH {
                let length = file.as_os_str().len();
                return Err(format!(
                    "has a path of {length} bytes, a unix socket's has at most {MAX_SOCKET_PATH}"
                ));
            }
        }
    }
    Ok(())
}

fn variables(variables: &BTreeMap<String, String>) -> Check {
    for (name, value) in variables {
        if name.is_empty() {
            return Err("has a variable without a name".to_owned());
        }
        if name.contains(['=', '\0']) {
            return Err(format!("has the name `{}`, which is not valid for a variable", shortened(name)));
        }
        if value.contains('\0') {
            return Err(format!("has a NUL byte in `{}`", shortened(name)));
        }
    }
    Ok(())
}

fn variable(name: &str) -> Check {
    full(name)?;
    if name.contains('=') { Err("cannot contain `=`".to_owned()) } else { Ok(()) }
}

fn identity(identity: &Identity) -> [(&'static str, Check); 2] {
    let principal = |principal: &Option<PrincipalRef>| match principal {
        // (uid_t)-1 means "do not change" to the kernel.
        Some(PrincipalRef::Id(u32::MAX)) => Err("must be from 0 to 4294967294".to_owned()),
        Some(PrincipalRef::Name(name)) if name.contains([':', '/']) => {
            Err(format!("must be a name or a number, not `{}`", shortened(name)))
        }
        Some(PrincipalRef::Name(name)) => label(name),
        Some(PrincipalRef::Id(_)) | None => Ok(()),
    };
    [("uid", principal(&identity.user)), ("gid", principal(&identity.group))]
}

fn limits(limits: &Limits) -> [(&'static str, Check); 4] {
    let resources = limits.resources.iter().try_for_each(|(resource, Allowance { soft, hard })| {
        let amount = |amount: u64| match resource.unit() {
            _ if amount == Allowance::UNLIMITED => Ok(()),
            Unit::Bytes => size(amount),
            Unit::UpTo(most) => within(amount, 0, most.into()),
        };
        let order =
            if soft > hard { Err("sets the soft limit above the hard limit".to_owned()) } else { Ok(()) };
        let check = amount(*soft).and_then(|()| amount(*hard)).and(order);
        check.map_err(|why| format!("has `{}`, which {why}", resource.name()))
    });
    let in_range = |value: Option<i32>, (min, max)| value.map_or(Ok(()), |value| within(value, min, max));
    let umask = limits.umask.is_none_or(|mask| mask <= ALL_MODES);
    [
        ("rlimits", resources),
        ("nice", in_range(limits.nice, NICE)),
        ("oom_score_adj", in_range(limits.oom_score_adj, OOM_SCORE_ADJ)),
        ("umask", umask.then_some(()).ok_or_else(|| "must be from 000 to 777".to_owned())),
    ]
}

/// A worker of a cluster, or of an application with held sockets, does not exit by itself.
fn oneshot(app: &AppSpec) -> Check {
    if app.order.oneshot && app.can_overlap() {
        return Err("is a task that ends, but a cluster or an app with `listen` serves".to_owned());
    }
    Ok(())
}

fn backoff(backoff: Backoff) -> Check {
    match backoff {
        Backoff::Fixed(delay) => duration(delay),
        Backoff::Exponential { initial, .. } => positive(initial),
    }
}

fn memory(limit: MemoryLimit) -> Check {
    match limit {
        MemoryLimit::Bytes(0) => Err("must not be 0".to_owned()),
        MemoryLimit::Bytes(bytes) => size(bytes),
        MemoryLimit::Share(share) if share.is_possible() => Ok(()),
        MemoryLimit::Share(share) => Err(format!("must be a share from 0.01% to 100%, not {share}")),
    }
}

fn zone(app: &AppSpec) -> Check {
    app.schedule.as_ref().and_then(|schedule| schedule.zone_name.as_deref()).map_or(Ok(()), label)
}

fn probe(probe: &Probe) -> Check {
    let Probe { target, interval, timeout, retries, start_period } = probe;
    let part = |name: &str, check: Check| check.map_err(|why| format!("has `{name}`, which {why}"));
    part("interval", at_least(*interval, MIN_INTERVAL))?;
    part("timeout", at_least(*timeout, MIN_TIMEOUT))?;
    part("retries", within(*retries, 1, MAX_COUNT))?;
    part("start_period", duration(*start_period))?;
    match target {
        ProbeTarget::Http { at, path } => part("http", address(at).and_then(|()| http_path(path))),
        ProbeTarget::Tcp(at) => part("tcp", address(at)),
        ProbeTarget::Shell(line) => part("exec", full(line)),
        ProbeTarget::Exec(words) => match words.first() {
            None => part("exec", Err("has no program".to_owned())),
            Some(program) => part("exec", full(program).and_then(|()| kernel_strings(words))),
        },
    }
}

fn address(ProbeAddress { host, port }: &ProbeAddress) -> Check {
    if host.parse::<IpAddr>().is_err() && host != ProbeAddress::LOCALHOST {
        return Err(format!("names the host `{}`, but names are not resolved", shortened(host)));
    }
    if *port == Some(0) { Err("has the port 0".to_owned()) } else { Ok(()) }
}

fn http_path(path: &str) -> Check {
    match path.bytes().find(|byte| !is_path_byte(*byte)) {
        Some(byte) => {
            Err(format!("contains the byte `{}`, which is not allowed in a path", byte.escape_ascii()))
        }
        None if !path.starts_with('/') => Err("must begin with a slash".to_owned()),
        None => Ok(()),
    }
}

fn watch(watch: &WatchSpec) -> Check {
    watch.paths.iter().try_for_each(|watched| path(watched))?;
    at_least(watch.interval, MIN_INTERVAL)?;
    duration(watch.delay)
}

fn logs(logs: &LogSpec) -> [(&'static str, Check); 6] {
    let files = &logs.files;
    let file = |file: &Option<std::path::PathBuf>| file.as_deref().map_or(Ok(()), path);
    let max_size = match files.max_size {
        0 => Ok(()),
        bytes => within(bytes, MIN_LOG_SIZE, MAX_BYTES),
    };
    [
        ("out_file", file(&files.out)),
        ("error_file", file(&files.error)),
        ("log_file", file(&files.combined)),
        ("log_max_size", max_size),
        ("log_keep", within(files.keep, 0, MAX_COUNT)),
        ("log_date_format", logs.date_format.as_deref().map_or(Ok(()), label)),
    ]
}

/// The beginning of a value without control characters: a value may have any length.
fn shortened(text: &str) -> String {
    let mut shown: String =
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
