"""From the death of a worker to the first instruction of its replacement, when no delay is due."""

import statistics
import time

from harness import places
from harness.container import kill_now
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "runit", "s6", "supervisord", "pm2-runtime"]
WORKERS = 12
# Older than any peer's idea of a start that failed (1 s), so that the first retry comes at once.
AGE_SECONDS = 2.2
# A peer that takes a second for each gets fewer.
BUDGET_SECONDS = 4


def run(bench):
    """Kills one worker after the other, each once: a second death would have a delay due."""
    line = Line(
        "death of a worker → first instruction of its replacement",
        "ms",
        digits=2,
        target="≤ 2 ms",
        reached=lambda m: m["procrun"] <= 2,
    )
    job = Job([places.program("worker")], WORKERS)

    def measure(peer):
        with bench.running(peer, job) as container:
            container.notes.wait(WORKERS)
            time.sleep(AGE_SECONDS)
            took = []
            budget = time.monotonic() + BUDGET_SECONDS
            for pid in container.workers():
                begin = kill_now([pid])
                took.append((container.notes.wait(1)[0] - begin) / 1e6)
                if time.monotonic() > budget:
                    break
                time.sleep(0.02)  # let the supervisor finish its turn
            return [statistics.median(took)]

    return bench.alternate(PEERS, max(1, bench.rounds // 2), [line], measure)
