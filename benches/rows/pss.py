"""Memory of the supervisor with all its helpers (runsv, s6-supervise, s6-log), without the workers."""

import os
import time
from pathlib import Path

from harness import places, processes
from harness.results import Line
from peers.base import Job

PEERS = ["procrun", "runit", "s6", "supervisord", "pm2-runtime"]
SETTLE_SECONDS = 3
TARGETS = {4: 2.5, 100: 4.0}


def run(bench):
    """PSS a few seconds after the start, when all is quiet; each peer alone, so that none shares with another.

    The programs come from the disk each time: from Linux 6.18 on, a page fault maps the whole folio that the page
    cache holds, and a file that has just been written has larger folios than one that was read.
    """
    lines = []
    for count, limit in TARGETS.items():
        line = Line(
            f"PSS of the supervisor, {count} idle workers",
            "MiB",
            digits=2,
            target=f"≤ {limit} MiB",
            reached=lambda m, limit=limit: m["procrun"] <= limit,
        )
        job = Job([places.program("worker")], count, logs=True)

        def measure(peer, job=job):
            drop_page_cache()
            with bench.running(peer, job) as container:
                container.notes.wait(job.count, seconds=60)
                time.sleep(SETTLE_SECONDS)
                return [sum(processes.pss_bytes(pid) for pid in container.supervisors()) / 2**20]

        lines += bench.alternate(PEERS, 1, [line], measure)
    return lines


def drop_page_cache():
    """Drops what the page cache holds of files, as far as no process uses it."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1\n")
