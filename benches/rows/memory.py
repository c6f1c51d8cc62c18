"""How far beyond its limit a leaking worker comes, how soon it is gone, and what looking costs."""

import time

from harness import places, processes
from harness.container import Failure, until
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "pm2-runtime"]
LEAK_MB = 50
LIMIT_MB = 200
MIB = 1 << 20
# PM2 looks every 30 s.
DEADLINE_SECONDS = 60
WORKERS = 100
SETTLE_SECONDS = 5


def run(bench):
    """A leaking worker once a round, then procrun alone with workers that only have a limit."""
    what = f"a worker that leaks {LEAK_MB} MB/s, `max_memory_restart = \"{LIMIT_MB}M\"`"
    lines = [
        Line(f"{what}: its peak (RSS)", "MiB", digits=0, target="< 275 MiB", reached=lambda m: m["procrun"] < 275),
        Line("the same: limit exceeded → gone", "s", digits=2, target="< 1 s", reached=lambda m: m["procrun"] < 1),
    ]
    job = Job([places.program("leak"), str(LEAK_MB)], max_memory=f"{LIMIT_MB}M")

    def measure(peer):
        with bench.running(peer, job) as container:
            container.notes.wait(1)
            (pid,) = container.workers()
            return leaked(pid)

    bench.alternate(PEERS, min(3, bench.rounds), lines, measure)
    return [*lines, *looking(bench)]


def leaked(pid):
    """The peak of a leaking process in MiB, and how many seconds it was beyond its limit."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    peak, beyond = 0, None
    while (pages := resident(pid)) is not None:
        peak = max(peak, pages)
        if beyond is None and pages > LIMIT_MB * MIB:
            beyond = time.monotonic()
        until(deadline, "the end of a worker beyond its limit")
        time.sleep(0.005)
    if beyond is None:
        raise Failure("the worker ended before it was beyond its limit")
    return [peak / MIB, time.monotonic() - beyond]


def resident(pid):
    """Resident memory in bytes; None when the process is gone or has none any more."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4096 or None
    except OSError:
        return None


def looking(bench):
    """CPU time of procrun while its workers idle far below their limit, and near it."""
    if "procrun" not in bench.peers:
        return []
    lines = []
    for where, limit in (("far below", "1G"), ("near", "1M")):
        line = Line(
            f"CPU with {WORKERS} workers {where} their memory limit",
            "% of one core",
            digits=3,
            target="< 0.1 %",
            reached=lambda m: m["procrun"] < 0.1,
        )
        with bench.running(bench.peers["procrun"], Job([places.program("worker")], WORKERS, max_memory=limit)) as container:
            container.notes.wait(WORKERS, seconds=60)
            time.sleep(SETTLE_SECONDS)
            before = processes.cpu_ns(container.pid)
            time.sleep(bench.idle_seconds)
            line.add("procrun", (processes.cpu_ns(container.pid) - before) / 1e9 / bench.idle_seconds * 100)
        bench.say(f"  {line.what}: {line.medians()['procrun']:.3f} %")
        lines.append(line)
    return lines
