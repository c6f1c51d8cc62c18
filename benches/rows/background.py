"""How long a user waits for the first application in the background, supervisor included."""

import os

from harness.command import took
from harness.results import Line

APP = ["/bin/sleep", "1000"]


def run(bench):
    """`start` where nothing runs, up to its end; then `kill`."""
    line = Line(
        "first `start` in the background, exec → exit",
        "ms",
        digits=1,
        target="≤ 15 ms",
        reached=lambda m: m["procrun"] <= 15,
    )

    def measure(peer):
        with bench.place() as place:
            start, kill, environment = peer.background(place, APP)
            environment = {"PATH": os.environ["PATH"], "HOME": str(place)} | environment
            try:
                return [took(start, environment)]
            finally:
                took(kill, environment)

    return bench.alternate(["procrun", "pm2-runtime"], bench.rounds, [line], measure)
