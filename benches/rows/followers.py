"""What it costs a worker that writes at full speed when many follow its log."""

from harness.results import Line

from .logs import BLOCK_BYTES, stream

FOLLOWERS = 20
ALONE = "no follower"


def run(bench):
    """With followers and without in turns: the ratio is what counts."""
    line = Line(
        f"log stream with {FOLLOWERS} followers",
        "MB/s",
        digits=0,
        higher_is_better=True,
        target="≥ 0.95 × without",
        reached=lambda m: m["procrun"] >= 0.95 * m[ALONE],
    )

    def measure(peer):
        rates = {}
        for name, followers in ((ALONE, 0), (peer.name, FOLLOWERS)):
            seconds, *_, gigabytes = stream(bench, peer, bench.log_bytes, BLOCK_BYTES, followers)
            rates[name] = 1000 * gigabytes / seconds
        line.add(ALONE, rates[ALONE])
        return [rates[peer.name]]

    return bench.alternate(["procrun"], bench.rounds, [line], measure)
