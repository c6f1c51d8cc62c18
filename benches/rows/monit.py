"""CPU time that a view on a full screen takes while nothing happens: its own, and the supervisor's for it."""

import time

from harness import places, processes
from harness.command import on_terminal
from harness.container import Failure
from harness.results import Line
from peers.base import Job

WORKERS = 100
COLUMNS, ROWS = 120, 40
SETTLE_SECONDS = 3
SECONDS = 20


def run(bench):
    """Both together are what looking costs."""
    lines = [
        Line(
            f"`monit` with {WORKERS} idle processes: CPU of one core",
            "%",
            digits=2,
            target="< 1 %",
            reached=lambda m: m["procrun"] < 1,
        ),
        Line("the same: of the supervisor alone", "%", digits=2),
    ]

    def measure(peer):
        with bench.running(peer, Job([places.program("worker")], WORKERS)) as container:
            container.notes.wait(WORKERS, seconds=60)
            with on_terminal(*peer.monit_command(container), COLUMNS, ROWS) as view:
                time.sleep(SETTLE_SECONDS)
                before = processes.cpu_ns(view), processes.cpu_ns(container.pid)
                time.sleep(SECONDS)
                if processes.executable(view) is None:
                    raise Failure("the view has ended")
                view, supervisor = processes.cpu_ns(view) - before[0], processes.cpu_ns(container.pid) - before[1]
        return [100 * spent / SECONDS / 1e9 for spent in (view + supervisor, supervisor)]

    return bench.alternate(["procrun"], max(1, bench.rounds // 3), lines, measure)
