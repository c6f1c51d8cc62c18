"""From the stop signal until the supervisor and its 4 workers, which leave at once, are all gone."""

import time

from harness import places
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "tini", "s6", "supervisord", "pm2-runtime"]
SETTLE_SECONDS = 0.4


def run(bench):
    """The end is when the parent of PID 1 has waited for it: then the kernel has ended its whole namespace."""
    line = Line(
        "stop signal → all processes gone (4 workers; tini: 1)",
        "ms",
        digits=2,
        target="≤ 1.2 ms",
        reached=lambda m: m["procrun"] <= 1.2,
    )

    def measure(peer):
        count = 1 if peer.name == "tini" else 4
        with bench.running(peer, Job([places.program("worker")], count)) as container:
            container.notes.wait(count)
            time.sleep(SETTLE_SECONDS)
            return [container.stop() / 1e6]

    return bench.alternate(PEERS, 2 * bench.rounds, [line], measure)
