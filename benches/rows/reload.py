"""Requests that fail while two Node workers are reloaded five times under load."""

import os
import shutil
import time

from harness import load
from harness.container import Failure
from harness.results import Line

PEERS = ["procrun", "pm2-runtime"]
WORKERS = 2
RELOADS = 5
DEADLINE_SECONDS = 30
# With every combination of keep-alive, and an application that closes its server itself.
CASES = [(True, False), (False, False), (True, True), (False, True)]


def run(bench):
    """Each case once: losses are counted, not timed."""
    lines = [Line(what(*case), "requests", digits=0, target="0", reached=lambda m: m["procrun"] == 0) for case in CASES]

    def measure(peer):
        return [failed(bench, peer, *case) for case in CASES]

    return bench.alternate(PEERS, 1, lines, measure)


def what(keep_alive, drains):
    """The name of a case."""
    client = "keep-alive" if keep_alive else "`Connection: close`"
    app = "app calls `server.close()`" if drains else "no signal handler"
    return f"failed in {RELOADS} reloads, {client}, {app}"


def failed(bench, peer, keep_alive, drains):
    """One case with one peer."""
    with bench.serving(peer, WORKERS, drains) as (container, port):
        container.worker = os.path.realpath(shutil.which("node"))
        running = load.Load(port, 600, keep_alive)
        try:
            for _ in range(RELOADS):
                before = workers(container)
                peer.reload(container)
                wait_until_replaced(container, before)
        finally:
            running.stop()
        outcome = running.outcome()
        if outcome.requests == 0:
            raise Failure("not one request was answered")
        return outcome.failed


def workers(container):
    """The worker processes; the primary may be Node, too."""
    return set(container.workers()) - {container.pid}


def wait_until_replaced(container, before):
    """Returns when there are as many new workers as there were, and no old one."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(now := workers(container)) != WORKERS or now & before:
        if time.monotonic() > deadline:
            raise Failure(f"not reloaded within {DEADLINE_SECONDS} s")
        time.sleep(0.02)
