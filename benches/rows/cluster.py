"""Requests a second of two Node workers, and what the one who shares out the connections spends on it."""

from harness import load, processes
from harness.results import Line

PEERS = ["procrun", "procrun-round-robin", "node", "node-cluster", "pm2-runtime"]
WORKERS = 2
WARM_SECONDS = 1
SECONDS = 3


def run(bench):
    """Each round again: a start, a second to get warm, then wrk with and without keep-alive."""
    alive = Line(
        f"requests to {WORKERS} Node workers, keep-alive",
        "1/s",
        digits=0,
        higher_is_better=True,
        target="≥ 1.1 × pm2-runtime",
        reached=lambda m: m["procrun"] >= 1.1 * m["pm2-runtime"],
    )
    short = Line(
        "the same, `Connection: close`",
        "1/s",
        digits=0,
        higher_is_better=True,
        target="≥ 1.7 × pm2-runtime",
        reached=lambda m: m["procrun"] >= 1.7 * m["pm2-runtime"],
    )
    cpu = Line("the same: CPU of the primary for 10,000 requests", "s", digits=2)

    def measure(peer):
        with bench.serving(peer, WORKERS) as (container, port):
            load.Load(port, WARM_SECONDS, keep_alive=True).outcome()
            kept = load.Load(port, SECONDS, keep_alive=True).outcome()
            before = processes.cpu_ns(container.pid)
            closed = load.Load(port, SECONDS, keep_alive=False).outcome()
            spent = processes.cpu_ns(container.pid) - before
            # One process alone serves by itself.
            primary = None if peer.name == "node" else spent / 1e9 / closed.requests * 10_000
            return [kept.rate, closed.rate, primary]

    lines = bench.alternate(PEERS, bench.rounds, [alive, short, cpu], measure)
    rate = Line(
        "round robin, `Connection: close`: requests",
        "1/s",
        digits=0,
        higher_is_better=True,
        target="> node-cluster",
        reached=lambda m: m["procrun"] > m["node-cluster"],
    )
    price = Line(
        "the same: CPU of the primary for 10,000 requests",
        "s",
        digits=2,
        target="≤ 0.7 × node-cluster",
        reached=lambda m: m["procrun"] <= 0.7 * m["node-cluster"],
    )
    for line, of in (rate, short), (price, cpu):
        line.samples = {"procrun": of.samples.get("procrun-round-robin", [])}
        line.samples |= {name: of.samples[name] for name in ("node-cluster", "pm2-runtime") if name in of.samples}
        if not line.samples["procrun"]:
            del line.samples["procrun"]
    return [*lines, rate, price]

