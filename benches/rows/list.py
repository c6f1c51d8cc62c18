"""How long a user waits for the list of processes."""

from harness import places
from harness.command import took
from harness.results import Line
from peers.base import Job

FEW, MANY = 100, 1000
ASKED = 5
START_SECONDS = 120


def run(bench):
    """Started once for a number of processes, and asked some times: the first look is dearer than the others."""
    few = Line(
        f"`list` of {FEW} processes, exec → exit",
        "ms",
        digits=1,
        target="≤ 5 ms",
        reached=lambda m: m["procrun"] <= 5,
    )
    many = Line(
        f"`list` of {MANY:,} processes, exec → exit",
        "ms",
        digits=1,
        target="≤ 10 ms",
        reached=lambda m: m["procrun"] <= 10,
    )
    bench.alternate(["procrun", "pm2-runtime"], 1, [few], lambda peer: [asked(bench, peer, FEW, few)])
    bench.alternate(["procrun"], 1, [many], lambda peer: [asked(bench, peer, MANY, many)])
    return [few, many]


def asked(bench, peer, count, line):
    """All samples but the last go into the line here."""
    with bench.running(peer, Job([places.program("worker")], count)) as container:
        container.notes.wait(count, seconds=START_SECONDS)
        times = [took(*peer.list_command(container)) for _ in range(ASKED)]
    for sample in times[:-1]:
        line.add(peer.name, sample)
    return times[-1]

