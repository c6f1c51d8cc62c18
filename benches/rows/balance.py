"""How evenly connections that stay open are spread over two Node workers, and what that costs short ones."""

import time

from harness import connections, load
from harness.results import Line

PEERS = ["procrun", "procrun-round-robin", "procrun-shared", "node-cluster", "pm2-runtime"]
WORKERS = 2
WARM_SECONDS = 1
SECONDS = 3
# After the short connections of one measurement, before the next one.
CALM_SECONDS = 0.5
# How connections come: at once, one by one, and at once with requests without a pause.
CASES = [
    (8, "at once", {}),
    (8, "one each 30 ms", {"gap_seconds": 0.03}),
    (8, "under full load", {"load_seconds": 1}),
    (50, "at once", {}),
    (50, "one each 10 ms", {"gap_seconds": 0.01}),
    (50, "under full load", {"load_seconds": 1}),
]


def run(bench):
    """Each round a new start, all cases, then short connections, then the first case again."""
    lines = [evenness(f"{count} connections, {how}") for count, how, _ in CASES]
    lines.append(evenness(f"{CASES[0][0]} connections, {CASES[0][1]}, after short ones"))
    lines.append(
        Line(
            "requests, `Connection: close`",
            "1/s",
            digits=0,
            higher_is_better=True,
            target="≥ 0.9 × procrun-shared",
            reached=lambda m: m["procrun"] >= 0.9 * m["procrun-shared"],
        )
    )

    def measure(peer):
        with bench.serving(peer, WORKERS) as (_, port):
            load.Load(port, WARM_SECONDS, keep_alive=True).outcome()
            shares = [busiest(port, count, options) for count, _, options in CASES]
            short = load.Load(port, SECONDS, keep_alive=False).outcome()
            time.sleep(CALM_SECONDS)
            shares.append(busiest(port, CASES[0][0], CASES[0][2]))
            return [*shares, short.rate]

    return bench.alternate(PEERS, bench.rounds, lines, measure)


def evenness(what):
    """A line with the share of the busiest worker; 50 is even."""
    return Line(
        f"{what}: share of the busiest of {WORKERS} workers",
        "%",
        digits=0,
        target="≤ node-cluster",
        reached=lambda m: m["procrun"] <= m["node-cluster"],
    )


def busiest(port, count, options):
    """Percent of the connections."""
    return connections.counts(port, count, **options)[0] / count * 100
