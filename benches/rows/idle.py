"""CPU time that a supervisor uses while its 100 workers idle and no client sends a request."""

import time
from contextlib import ExitStack

from harness import places, processes
from harness.container import Failure
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "runit", "s6", "supervisord", "pm2-runtime"]
WORKERS = 100
SETTLE_SECONDS = 5


def run(bench):
    """All peers at the same time: they do not disturb each other by idling, and a minute is long."""
    line = Line(
        f"CPU time with {WORKERS} idle workers, {bench.idle_seconds} s",
        "s",
        digits=4,
        target="< 0.02 s",
        reached=lambda m: m["procrun"] < 0.02 * bench.idle_seconds / 60,
    )
    job = Job([places.program("worker")], WORKERS, logs=True)
    with ExitStack() as stack:
        running = {}
        for peer in bench.having(PEERS):
            try:
                container = stack.enter_context(bench.running(peer, job))
                container.notes.wait(WORKERS, seconds=60)
                running[peer.name] = container
            except Failure as failure:
                line.failures[peer.name] = f"failed ({failure})"
        time.sleep(SETTLE_SECONDS)
        before = {name: used(container) for name, container in running.items()}
        time.sleep(bench.idle_seconds)
        for name, container in running.items():
            after = used(container)
            line.add(name, sum(after[pid] - before[name].get(pid, 0) for pid in after) / 1e9)
    bench.say(f"  {line.what}: " + ", ".join(f"{name} {value:.4f}" for name, value in line.medians().items()))
    return [line]


def used(container):
    """CPU time of each supervising process so far, in ns."""
    return {pid: processes.cpu_ns(pid) for pid in container.supervisors()}
