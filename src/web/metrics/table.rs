//! Every metric. Names, units and labels are stable; the reference page is made from this table.

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It grows. Its samples end with `_total`.
    Counter,
    Gauge,
    /// Counts of observations by their size, and the sum. Its samples end with `_bucket`, `_sum` and `_count`.
    Histogram,
    /// It is always 1, and its labels are the information. Its samples end with `_info`.
    Info,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metric {
    /// Without unit and suffix.
    pub(super) name: &'static str,
    /// A part of the name.
    pub(super) unit: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

const fn metric(
    kind: Kind,
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, unit: if unit.is_empty() { None } else { Some(unit) }, kind, labels, help }
}

const APP: &[&str] = &["app"];
const INSTANCE: &[&str] = &["app", "id"];
const INSTANCE_KIND: &[&str] = &["app", "id", "kind"];
const INSTANCE_PERCENTILE: &[&str] = &["app", "id", "percentile"];

macro_rules! metrics {
    ($($constant:ident = $kind:ident, $name:literal, $unit:literal, $labels:expr, $help:literal;)*) => {
        $(pub(super) static $constant: Metric = metric(Kind::$kind, $name, $unit, $labels, $help);)*

        /// All metrics, in the order in which they are written.
        #[cfg(test)]
        pub(super) static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    BUILD = Info, "procrun", "", &["version"], "The version of procrun";
    START_TIME = Gauge, "procrun_start_time", "seconds", &[], "When procrun was started, in seconds since 1970";
    OWN_CPU = Counter, "procrun_cpu", "seconds", &[], "CPU time of procrun itself";
    OWN_MEMORY = Gauge, "procrun_resident_memory", "bytes", &[], "Resident memory of procrun itself";
    OWN_FILES = Gauge, "procrun_open_files", "", &[], "Open file descriptors of procrun itself";
    READY = Gauge, "procrun_ready", "", &[], "1 if /readyz passes";
    STARTED = Gauge, "procrun_started", "", &[], "1 if /startupz passes";
    STOPPING = Gauge, "procrun_stopping", "", &[], "1 from the first stop signal on";
    FAILING = Gauge, "procrun_failing_parts", "", &[], "Parts of procrun that do not work";
    EVENTS = Counter, "procrun_events", "", &["kind"], "Events by kind";
    LOG_LINES = Counter, "procrun_log_lines", "", &[], "Log lines of all processes; absent with log_history_lines = 0";
    LOG_BYTES = Counter, "procrun_log_written", "bytes", &[], "Bytes written to stdout and stderr";
    CONTAINER_CPU = Counter, "procrun_container_cpu", "seconds", &[], "CPU time of the cgroup";
    CONTAINER_QUOTA = Gauge, "procrun_container_cpu_quota", "cores", &[], "CPUs that the cgroup may use; absent without a quota";
    CONTAINER_THROTTLED = Counter, "procrun_container_cpu_throttled", "seconds", &[], "Time for which the CPU quota has throttled the cgroup";
    CONTAINER_MEMORY = Gauge, "procrun_container_memory", "bytes", &[], "Memory of the cgroup that the kernel cannot reclaim";
    CONTAINER_CHARGED = Gauge, "procrun_container_memory_charged", "bytes", &[], "Memory of the cgroup with the page cache";
    CONTAINER_LIMIT = Gauge, "procrun_container_memory_limit", "bytes", &[], "Memory that the cgroup may use; absent without a limit";
    CONTAINER_OOM = Counter, "procrun_container_oom_kills", "", &[], "OOM kills in the cgroup";
    CONTAINER_TASKS = Gauge, "procrun_container_tasks", "", &[], "Processes and threads in the cgroup";
    CONTAINER_TASKS_LIMIT = Gauge, "procrun_container_tasks_limit", "", &[], "Processes and threads that the cgroup may have; absent without a limit";
    APP_INSTANCES = Gauge, "procrun_app_instances", "", &["app", "namespace", "status"], "Instances by status";
    APP_READY = Gauge, "procrun_app_ready", "", APP, "1 if enough instances are ready";
    APP_READY_INSTANCES = Gauge, "procrun_app_ready_instances", "", APP, "Instances that are ready";
    APP_REQUIRED_INSTANCES = Gauge, "procrun_app_required_instances", "", APP, "Instances that must be ready (ready_when)";
    APP_STARTS = Counter, "procrun_app_starts", "", APP, "Programs that were executed";
    APP_EXITS = Counter, "procrun_app_exits", "", &["app", "reason"], "Ends of main processes by exit reason, also failed starts";
    APP_EXIT_CODES = Counter, "procrun_app_exit_codes", "", &["app", "code"], "Ends of main processes by exit code";
    APP_RESTARTS = Counter, "procrun_app_restarts", "", &["app", "reason"], "Restarts by the exit reason before them";
    APP_RESTART_DELAY = Gauge, "procrun_app_restart_delay", "seconds", APP, "Delay before the last restart (backoff)";
    APP_KILLS = Counter, "procrun_app_kills", "", APP, "Process trees that got SIGKILL after their grace period";
    APP_PROBE_FAILURES = Counter, "procrun_app_probe_failures", "", &["app", "probe"], "Failures of the health or readiness probe";
    APP_RELOADS = Counter, "procrun_app_reloads", "", &["app", "result"], "Reloads by result: completed or aborted";
    APP_RELOAD_TIME = Counter, "procrun_app_reload_duration", "seconds", APP, "Time of all completed reloads";
    INSTANCE_INFO = Info, "procrun_instance", "", &["app", "id", "namespace", "mode", "version"], "An instance, with the version in its package.json";
    INSTANCE_UP = Gauge, "procrun_instance_up", "", INSTANCE, "1 if the instance is online";
    INSTANCE_READY = Gauge, "procrun_instance_ready", "", INSTANCE, "1 if the instance is ready; absent if it does not report its readiness";
    INSTANCE_HEALTHY = Gauge, "procrun_instance_healthy", "", INSTANCE, "1 if the health probe passes; absent without one";
    INSTANCE_START = Gauge, "procrun_instance_start_time", "seconds", INSTANCE, "When the process was started, in seconds since 1970";
    INSTANCE_RESTARTS = Gauge, "procrun_instance_restarts", "", INSTANCE, "Restarts since the last reset (restart_time of PM2)";
    INSTANCE_UNSTABLE = Gauge, "procrun_instance_unstable_restarts", "", INSTANCE, "Unstable runs in a row";
    INSTANCE_CPU = Counter, "procrun_instance_cpu", "seconds", INSTANCE, "CPU time of the process tree of the current run";
    INSTANCE_MEMORY = Gauge, "procrun_instance_resident_memory", "bytes", INSTANCE, "Resident memory of the process tree";
    INSTANCE_PROCESSES = Gauge, "procrun_instance_processes", "", INSTANCE, "Processes of the process tree";
    INSTANCE_THREADS = Gauge, "procrun_instance_threads", "", INSTANCE, "Threads of the process tree";
    INSTANCE_FILES = Gauge, "procrun_instance_open_files", "", INSTANCE, "Open file descriptors of the main process; absent if it belongs to another user";
    NODE_HEAP_USED = Gauge, "procrun_node_heap_used", "bytes", INSTANCE, "V8 heap in use";
    NODE_HEAP_TOTAL = Gauge, "procrun_node_heap_size", "bytes", INSTANCE, "V8 heap that is reserved";
    NODE_HEAP_LIMIT = Gauge, "procrun_node_heap_limit", "bytes", INSTANCE, "V8 heap that the process may use (--max-old-space-size)";
    NODE_EXTERNAL = Gauge, "procrun_node_external_memory", "bytes", INSTANCE, "Memory of buffers and other objects outside the V8 heap";
    NODE_GC = Counter, "procrun_node_gc_duration", "seconds", INSTANCE_KIND, "Time of garbage collections";
    NODE_GC_COUNT = Counter, "procrun_node_gc_collections", "", INSTANCE_KIND, "Garbage collections";
    NODE_LOOP_ACTIVE = Counter, "procrun_node_eventloop_active", "seconds", INSTANCE, "Time in which the event loop ran callbacks";
    NODE_LOOP_IDLE = Counter, "procrun_node_eventloop_idle", "seconds", INSTANCE, "Time in which the event loop waited";
    NODE_LOOP_UTILIZATION = Gauge, "procrun_node_eventloop_utilization", "ratio", INSTANCE, "Part of the last seconds in which the event loop ran callbacks, 0 to 1";
    NODE_LOOP_DELAY = Gauge, "procrun_node_eventloop_delay", "seconds", INSTANCE_PERCENTILE, "Delay of timers in the last seconds";
    NODE_LOOP_DELAY_MEAN = Gauge, "procrun_node_eventloop_delay_mean", "seconds", INSTANCE, "Mean delay of timers in the last seconds";
    NODE_HANDLES = Gauge, "procrun_node_active_handles", "", INSTANCE, "Open handles, such as sockets, servers and files";
    NODE_REQUESTS = Gauge, "procrun_node_active_requests", "", INSTANCE, "Operations of libuv in progress, such as reads of files";
    NODE_HTTP = Counter, "procrun_node_http_requests", "", INSTANCE, "HTTP requests that have arrived";
    NODE_HTTP_ACTIVE = Gauge, "procrun_node_http_requests_in_flight", "", INSTANCE, "HTTP requests in progress";
    NODE_HTTP_RESPONSES = Counter, "procrun_node_http_responses", "", &["app", "id", "class"], "Completed HTTP responses by the class of their status";
    NODE_HTTP_DURATION = Histogram, "procrun_node_http_request_duration", "seconds", INSTANCE, "Time from an HTTP request to the end of its response";
}

#[cfg(test)]
impl Metric {
    /// Its name with the unit, as OpenMetrics calls the family.
    pub(super) fn family(&self) -> String {
        match self.unit {
            Some(unit) => format!("{}_{unit}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The name of its samples.
    pub(super) fn sample_name(&self) -> String {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
            Kind::Info => "_info",
        };
        self.family() + suffix
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let names: BTreeSet<String> = ALL.iter().map(|metric| metric.sample_name()).collect();
        assert_eq!(names.len(), ALL.len(), "two metrics have the same name");
        for metric in ALL {
            let is_letter = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            let words = [metric.name].into_iter().chain(metric.labels.iter().copied()).chain(metric.unit);
            for word in words {
                assert!(word.chars().all(is_letter), "{word}");
            }
            assert!(metric.name.starts_with("procrun"), "{}", metric.name);
            assert!(!metric.name.ends_with("_total") && !metric.name.ends_with("_info"), "{}", metric.name);
            assert!(metric.unit.is_none_or(|unit| ["seconds", "bytes", "cores", "ratio"].contains(&unit)));
            // The label that Prometheus sets itself.
            assert!(!metric.labels.contains(&"instance") && !metric.labels.contains(&"job"));
            assert!(
                !metric.help.ends_with('.') && !metric.help.contains(['\n', '\\', '"']),
                "{}",
                metric.help
            );
        }
    }
}
