"""One run: which peers there are, how often each is asked, and where they work."""

import random
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from peers.base import WebApp

from . import load, places
from .container import Container, Failure

# What the peer before has left to the kernel to clean up must not be paid by the next one.
CALM_SECONDS = 0.1

# The name of the older procrun that `--before` gives.
BEFORE = "procrun-before"


class Bench:
    """What the rows need to measure: peers, rounds, temporary places, and a word to the user."""

    def __init__(self, peers, rounds, idle_seconds, log_bytes):
        self.peers = {peer.name: peer for peer in peers}
        self.rounds = rounds
        self.idle_seconds = idle_seconds
        self.log_bytes = log_bytes
        # On the disk that the binaries are on; a path short enough for a unix socket in it.
        places.BENCH.mkdir(parents=True, exist_ok=True)
        self.work = Path(tempfile.mkdtemp(prefix="procrun-bench-"))

    def close(self):
        """Removes what the peers wrote."""
        shutil.rmtree(self.work, ignore_errors=True)

    def say(self, text):
        """Progress, for the one who waits; the table alone goes to stdout."""
        print(text, file=sys.stderr, flush=True)

    def having(self, names):
        """Those of the named peers that are here, in this order; an older procrun runs every row of procrun's."""
        names = [each for name in names for each in ([name, BEFORE] if name == "procrun" else [name])]
        return [self.peers[name] for name in names if name in self.peers]

    @contextmanager
    def place(self):
        """A fresh directory for one measurement."""
        place = Path(tempfile.mkdtemp(dir=self.work))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def running(self, peer, job, **options):
        """A peer that runs a job in its own container, up to the end of the block."""
        with self.place() as place:
            with Container(place, peer.launch(place, job), job.argv[0], **options) as container:
                yield container

    @contextmanager
    def serving(self, peer, workers, drains=False):
        """A peer that serves `apps/hello.js`, and its port, up to the end of the block."""
        app = WebApp(str(places.APPS / "hello.js"), str(places.APPS / "primary.js"), load.free_port(), workers, drains)
        with self.place() as place:
            with Container(place, peer.serve(place, app), None) as container:
                # One process alone is all the workers there are.
                load.wait_for_workers(app.port, 1 if peer.name == "node" else workers)
                yield container, app.port

    def alternate(self, names, rounds, lines, measure):
        """Asks each peer once a round, in another order each round, so that none always follows the same one.

        `measure(peer)` answers a list with one number a line (None for no sample). A peer that fails
        is left out from then on, with the reason in the table.
        """
        peers = self.having(names)
        shuffle = random.Random(lines[0].what)  # the same orders in each run
        for round_number in range(rounds):
            shuffle.shuffle(peers)
            for peer in peers:
                if peer.name in lines[0].failures or round_number >= peer.most_rounds:
                    continue
                time.sleep(CALM_SECONDS)
                try:
                    values = measure(peer)
                except (Failure, OSError) as failure:
                    self.say(f"  {peer.name}: {failure}")
                    for line in lines:
                        line.failures[peer.name] = f"failed ({failure})"
                        line.samples.pop(peer.name, None)
                    continue
                for line, value in zip(lines, values, strict=True):
                    if value is not None:
                        line.add(peer.name, value)
        for line in lines:
            medians = ", ".join(f"{name} {value:.{line.digits}f}" for name, value in line.medians().items())
            self.say(f"  {line.what}, {line.unit}: {medians}")
        return lines
