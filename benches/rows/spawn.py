"""From the exec of the supervisor to the first instruction of its worker."""

from harness import places
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "tini", "tini-static", "runit", "s6", "supervisord", "pm2-runtime"]


def run(bench):
    """A start each; the workers' note minus the time just before execve."""
    line = Line(
        "exec of the supervisor → first instruction of the worker",
        "ms",
        digits=2,
        target="≤ 1.5 × tini",
        reached=lambda m: m["procrun"] <= 1.5 * m["tini"],
    )
    job = Job([places.program("worker")])

    def measure(peer):
        with bench.running(peer, job) as container:
            return [(container.notes.wait(1)[0] - container.exec_ns) / 1e6]

    return bench.alternate(PEERS, 3 * bench.rounds, [line], measure)
