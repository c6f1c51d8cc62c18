"""Zombies that are left 2 s after 2,000 orphans have ended at once under a supervisor that is PID 1."""

import time

from harness import places
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "tini", "runit", "s6", "supervisord", "pm2-runtime"]
ORPHANS = 2000


def run(bench):
    """The 2 s are the measure, not a wait for something."""
    line = Line(
        f"zombies 2 s after {ORPHANS:,} orphans",
        "processes",
        digits=0,
        target="0",
        reached=lambda m: m["procrun"] == 0,
    )
    job = Job([places.program("orphans"), str(ORPHANS)])

    def measure(peer):
        with bench.running(peer, job) as container:
            ended = container.notes.wait(1, seconds=60)[0] / 1e9
            time.sleep(max(0.0, ended + 2 - time.monotonic()))
            return [sum(1 for process in container.processes() if process.state == "Z")]

    return bench.alternate(PEERS, 1, [line], measure)
