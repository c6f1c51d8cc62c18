"""Load on a web server: wrk, and whether the server answers at all."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass

from . import places
from .container import Failure

WRK = places.DEBIAN / "usr/bin/wrk"
LIBRARIES = places.DEBIAN / f"usr/lib/{os.uname().machine}-linux-gnu"


def free_port():
    """A free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_workers(port, workers, seconds=30):
    """Returns when this number of processes answer on a port."""
    deadline = time.monotonic() + seconds
    seen = set()
    while len(seen) < workers:
        if time.monotonic() > deadline:
            raise Failure(f"{len(seen)} of {workers} workers answer")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                seen.add(answer.headers["X-Pid"])
        except OSError:
            time.sleep(0.01)


@dataclass(frozen=True)
class Outcome:
    """What wrk has counted."""

    requests: int
    seconds: float
    failed: int

    @property
    def rate(self):
        """Requests a second."""
        return self.requests / self.seconds


class Load:
    """wrk with one thread and 50 connections, for this number of seconds."""

    def __init__(self, port, seconds, keep_alive):
        close = [] if keep_alive else ["-H", "Connection: close"]
        command = [str(WRK), "-t1", "-c50", f"-d{seconds}s", "--timeout", "10s", *close, f"http://127.0.0.1:{port}/"]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"LD_LIBRARY_PATH": str(LIBRARIES)},
        )

    def stop(self):
        """Ends it early; the outcome is that of the time until now."""
        self.process.send_signal(signal.SIGINT)

    def outcome(self):
        """Waits for the end."""
        said, _ = self.process.communicate(timeout=120)
        counted = re.search(r"(\d+) requests in ([\d.]+)(m?s)", said)
        if counted is None:
            raise Failure(f"wrk said: {said.strip()[:200]}")
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        failed = sum(map(int, errors.groups())) if errors else 0
        seconds = float(counted[2]) / (1000 if counted[3] == "ms" else 1)
        return Outcome(int(counted[1]), seconds, failed + (int(refused[1]) if refused else 0))
