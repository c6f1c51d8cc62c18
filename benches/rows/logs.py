"""A stream of 100-byte lines from one worker through the supervisor: rate, CPU, losses, memory."""

import os
import signal
import struct
import subprocess
import time
from contextlib import ExitStack

from harness import places, processes
from harness.command import beside
from harness.container import Failure, kill_now
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "cat", "awk", "s6-log", "supervisord", "pm2-runtime"]
LINE_BYTES = 100
BLOCK_BYTES = 65536
# The start of the supervisor is not what is measured: it is over by then.
SETTLE_SECONDS = 1.0
QUIET_SECONDS = 2.0
DEADLINE_SECONDS = 60
FIELDS = ("whole", "torn", "foreign", "bytes", "first", "last", "end")


class Tally:
    """The numbers of `count`, which keeps them in a mapped file."""

    def __init__(self, path):
        self.path = path

    def read(self):
        """Field name → number."""
        raw = self.path.read_bytes() if self.path.exists() else b""
        numbers = struct.unpack(f"={len(FIELDS)}Q", raw) if len(raw) == 8 * len(FIELDS) else [0] * len(FIELDS)
        return dict(zip(FIELDS, numbers, strict=True))

    def settled(self, lines):
        """The numbers when all lines are in, or when nothing has come for a while."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        seen, since = None, time.monotonic()
        while time.monotonic() < deadline:
            now = self.read()
            if now["whole"] == lines or now["end"]:
                return now
            if now["bytes"] != seen:
                seen, since = now["bytes"], time.monotonic()
            elif time.monotonic() - since > QUIET_SECONDS:
                return now
            time.sleep(0.02)
        raise Failure(f"the stream has not ended after {DEADLINE_SECONDS} s")


def stream(bench, peer, total_bytes, block, followers=0):
    """One stream: seconds, CPU seconds, lines lost, lines torn, peak bytes of memory, gigabytes.

    This number of `logs` commands follow it meanwhile.
    """
    lines = int(total_bytes * peer.log_share) // LINE_BYTES
    job = Job([places.program("flood"), str(lines), str(block)])
    read, write = os.pipe2(os.O_CLOEXEC)
    with bench.place() as place:
        tally = Tally(place / "tally")
        counter = subprocess.Popen([places.program("count"), str(tally.path)], stdin=read, start_new_session=True)
        os.close(read)
        try:
            with ExitStack() as stack:
                container = stack.enter_context(bench.running(peer, job, stdout=write))
                container.notes.wait(1)
                for _ in range(followers):
                    stack.enter_context(beside(*peer.logs_command(container)))
                time.sleep(SETTLE_SECONDS)
                before = {pid: processes.cpu_ns(pid) for pid in container.supervisors()}
                os.kill(container.workers()[0], signal.SIGUSR1)
                begin = container.notes.wait(1)[0]
                result = tally.settled(lines)
                cpu = sum(processes.cpu_ns(pid) - before.get(pid, 0) for pid in container.supervisors())
                peak = sum(processes.peak_bytes(pid) for pid in container.supervisors())
                whole = result["whole"]
                if whole != lines and container.launch.wrapped:
                    # A filter may keep the last lines in its buffer until its input ends.
                    kill_now(container.workers())
                    container.exited(DEADLINE_SECONDS)
                    whole = tally.settled(lines)["whole"]
        finally:
            os.close(write)
            counter.kill()
            counter.wait()
    seconds = (result["last"] - begin) / 1e9
    return seconds, cpu / 1e9, lines - whole, result["torn"], peak, lines * LINE_BYTES / 1e9


def run(bench):
    """64 KiB a write, as programs write that have much to say."""
    lines = [
        Line(
            "log stream, 100-byte lines in 64 KiB writes",
            "MB/s",
            digits=0,
            higher_is_better=True,
            target="≥ 0.9 × supervisord",
            reached=lambda m: m["procrun"] >= 0.9 * m["supervisord"],
        ),
        Line(
            "the same: CPU of the supervisor",
            "s/GB",
            digits=2,
            target="≤ supervisord",
            reached=lambda m: m["procrun"] <= m["supervisord"],
        ),
        Line("the same: lost lines", "lines", digits=0, target="0", reached=lambda m: m["procrun"] == 0),
        Line("the same: torn lines", "lines", digits=0, target="0", reached=lambda m: m["procrun"] == 0),
        Line("the same: peak memory (RSS)", "MiB", target="< 8 MiB", reached=lambda m: m["procrun"] < 8),
    ]

    def measure(peer):
        seconds, cpu, lost, torn, peak, gigabytes = stream(bench, peer, bench.log_bytes, BLOCK_BYTES)
        return [1000 * gigabytes / seconds, cpu / gigabytes, lost, torn, peak / 2**20]

    return bench.alternate(PEERS, max(1, bench.rounds // 2), lines, measure)
