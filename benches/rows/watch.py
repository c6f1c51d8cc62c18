"""What it costs to watch 10,000 files, and how soon a change is answered."""

import re
import time

from harness import places, processes
from harness.container import Failure
from harness.results import Line
from peers.base import Job

FILES = 10_000
DIRECTORIES = 100
DELAY_MS = 100
SETTLE_SECONDS = 3
CHANGES = 10
FOUND = re.compile(r"watching \d+ directories, found in (?:(\d+) ms|([\d.]+) s)")


class Watching:
    """procrun with a directory that is watched, or not."""

    name = "procrun"

    def __init__(self, procrun, files, watches):
        self.procrun = procrun
        self.files = files
        self.watches = watches

    def launch(self, place, job):
        launch = self.procrun.launch(place, job)
        if self.watches:
            with open(place / "ecosystem.toml", "a") as file:
                file.write(f'watch = ["{self.files}"]\nwatch_delay = {DELAY_MS}\n')
        launch.argv.extend(["--log-level", "debug"])
        return launch


def run(bench):
    """procrun alone: what it costs is the difference to one that watches nothing."""
    if "procrun" not in bench.peers:
        return []
    what = f"{FILES:,} watched files"
    lines = [
        Line(f"{what}: time until they are watched", "ms", digits=0, target="< 200 ms", reached=lambda m: m["procrun"] < 200),
        Line(f"{what}: memory (PSS)", "MiB", digits=2, target="< 2 MiB", reached=lambda m: m["procrun"] < 2),
        Line(f"{what}: idle CPU, {bench.idle_seconds} s", "s", digits=4, target="0", reached=lambda m: m["procrun"] < 0.001),
        Line(
            f"{what}: file closed → first instruction of the new process, less `watch_delay`",
            "ms",
            digits=1,
            target="< 50 ms",
            reached=lambda m: m["procrun"] < 50,
        ),
    ]
    found, memory, cpu, change = lines
    job = Job([places.program("worker")], 1, logs=True)
    with bench.place() as files:
        for number in range(FILES):
            directory = files / f"{number % DIRECTORIES}"
            directory.mkdir(exist_ok=True)
            (directory / f"{number}.js").write_text("x")
        procrun = bench.peers["procrun"]
        with bench.running(Watching(procrun, files, False), job) as container:
            without = at_rest(container)
        with bench.running(Watching(procrun, files, True), job) as container:
            with_it = at_rest(container)
            memory.add("procrun", (with_it - without) / 2**20)
            found.add("procrun", found_in(container))
            before = cpu_ns(container)
            time.sleep(bench.idle_seconds)
            cpu.add("procrun", (cpu_ns(container) - before) / 1e9)
            for number in range(CHANGES):
                # Later than the changes in a row that wait.
                time.sleep(5.5)
                (files / f"{number}" / f"{number}.js").write_text("y")
                closed = time.monotonic_ns()
                began = container.notes.wait(1)[0]
                change.add("procrun", (began - closed) / 1e6 - DELAY_MS)
    for line in lines:
        bench.say(f"  {line.what}, {line.unit}: {line.medians()['procrun']:.{line.digits}f}")
    return lines


def at_rest(container):
    """Memory in bytes, a few seconds after the start."""
    container.notes.wait(1, seconds=60)
    time.sleep(SETTLE_SECONDS)
    return sum(processes.pss_bytes(pid) for pid in container.supervisors())


def cpu_ns(container):
    """CPU time of procrun with all its threads, so far."""
    return sum(processes.cpu_ns(pid) for pid in container.supervisors())


def found_in(container):
    """How long it took to watch everything, as procrun itself says."""
    said = FOUND.search(container.errors.read_text())
    if said is None:
        raise Failure("procrun did not say that it watches")
    return float(said[1]) if said[1] else float(said[2]) * 1000
