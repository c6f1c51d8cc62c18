//! `GET /` with `Accept: application/json`: the shape of PM2's `--web`.
//!
//! Only the thread of the HTTP server reads the files of `/proc` here.

use std::fs;

use serde_json::{Map, Value, json};

use crate::control::{
    jlist,
    snapshot::{InstanceDetails, Machine},
};

/// The figures of the machine and all processes.
pub(super) fn page(details: &[InstanceDetails], machine: &Machine) -> Value {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    json!({
        "system_info": {
            "hostname": read("/proc/sys/kernel/hostname").trim(),
            "uptime": uptime(&read("/proc/uptime")),
        },
        "monit": {
            "loadavg": machine.load,
            "total_mem": machine.memory,
            "free_mem": machine.available,
            "cpu": cpus(&read("/proc/stat"), &read("/proc/cpuinfo")),
            "interfaces": Map::new(),
        },
        "processes": jlist(details, |_| None, None),
    })
}

fn uptime(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0)
}

/// The CPUs as Node's `os.cpus()` has them: times in milliseconds, of ticks of 10 ms.
fn cpus(stat: &str, info: &str) -> Vec<Value> {
    let value = |name: &str, text: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let blocks: Vec<&str> = info.split("\n\n").collect();
    let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    let of_line = |(at, line): (usize, &str)| {
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|it| it.parse().ok()).collect();
        let time = |at: usize| ticks.get(at).map_or(0, |ticks| ticks * 10);
        let block = blocks.get(at).copied().unwrap_or_default();
        let speed = value("cpu MHz", block).and_then(|speed| speed.parse::<f64>().ok()).unwrap_or(0.0);
        json!({
            "model": value("model name", block).unwrap_or_else(|| "unknown".to_owned()),
            "speed": speed.round(),
            "times": { "user": time(0), "nice": time(1), "sys": time(2), "idle": time(3), "irq": time(5) },
        })
    };
    stat.lines().filter(is_cpu).enumerate().map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_fields_of_pm2() {
        let page = page(&[], &Machine { cpus: 2, load: [0.5, 0.4, 0.3], memory: 1000, available: 500 });
        assert_eq!(page["monit"]["total_mem"], 1000);
        assert_eq!(page["processes"], json!([]));
        assert!(page["system_info"]["uptime"].as_f64().unwrap() > 0.0);
        assert!(!page["monit"]["cpu"].as_array().unwrap().is_empty());
    }

    #[test]
    fn the_times_of_a_cpu_are_milliseconds() {
        let stat = "cpu  9 9 9 9\ncpu0 100 2 30 4000 5 6 7\ncpu1 1 0 0 0\nintr 5\n";
        let info = "processor\t: 0\nmodel name\t: Fast CPU\ncpu MHz\t\t: 2400.123\n\nprocessor\t: 1\n";
        let cpus = cpus(stat, info);
        assert_eq!(cpus.len(), 2);
        assert_eq!(
            cpus[0],
            json!({
                "model": "Fast CPU",
                "speed": 2400.0,
                "times": { "user": 1000, "nice": 20, "sys": 300, "idle": 40000, "irq": 60 },
            })
        );
        assert_eq!(cpus[1]["model"], "unknown");
    }
}
