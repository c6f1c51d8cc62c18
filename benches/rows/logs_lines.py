"""The same stream with one write a line, as programs write that have little to say."""

from harness.results import Line

from .logs import LINE_BYTES, stream

PEERS = ["procrun", "cat", "supervisord"]
# A write a line is slower by far: fewer bytes, the same time.
SHARE = 0.2


def run(bench):
    """CPU beside cat, which does no more than to copy."""
    lines = [
        Line(
            "log stream, one write a line: CPU of the supervisor",
            "s/GB",
            digits=2,
            target="≤ cat",
            reached=lambda m: m["procrun"] <= m["cat"],
        ),
        Line("the same: rate", "MB/s", digits=0, higher_is_better=True),
        Line(
            "the same: lost and torn lines",
            "lines",
            digits=0,
            target="0",
            reached=lambda m: m["procrun"] == 0,
        ),
    ]

    def measure(peer):
        seconds, cpu, lost, torn, _, gigabytes = stream(bench, peer, SHARE * bench.log_bytes, LINE_BYTES)
        return [cpu / gigabytes, 1000 * gigabytes / seconds, lost + torn]

    return bench.alternate(PEERS, max(1, bench.rounds // 2), lines, measure)
