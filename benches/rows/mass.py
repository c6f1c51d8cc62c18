"""200 workers die at once: how long until all their replacements run."""

import time

from harness import places
from harness.container import Failure, kill_now
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "runit", "runit-direct", "s6", "supervisord", "pm2-runtime"]
WORKERS = 200
AGE_SECONDS = 2.2


def run(bench):
    """From just before the first SIGKILL to the first instruction of the last replacement."""
    line = Line(
        f"{WORKERS} workers die at once → all back",
        "ms",
        digits=0,
        target="≤ half of runit",
        reached=lambda m: m["procrun"] <= 0.5 * m["runit"],
    )
    job = Job([places.program("worker")], WORKERS)

    def measure(peer):
        with bench.running(peer, job) as container:
            container.notes.wait(WORKERS, seconds=60)
            time.sleep(AGE_SECONDS)
            victims = container.workers()
            if len(victims) != WORKERS:
                raise Failure(f"{len(victims)} workers instead of {WORKERS}")
            begin = kill_now(victims)
            return [(max(container.notes.wait(WORKERS)) - begin) / 1e6]

    return bench.alternate(PEERS, max(1, bench.rounds // 2), [line], measure)
