"""What it costs to ask 100 workers each second how they are."""

import socket
import threading
import time

from harness import places, processes
from harness.results import Line
from peers.base import Job

WORKERS = 100
SETTLE_SECONDS = 5
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Asking:
    """procrun with a check for each of its workers."""

    name = "procrun"

    def __init__(self, procrun, check):
        self.procrun = procrun
        self.check = check

    def launch(self, place, job):
        launch = self.procrun.launch(place, job)
        with open(place / "ecosystem.toml", "a") as file:
            file.write(f'[apps.health]\n{self.check}\ninterval = "1s"\n')
        return launch


class Server:
    """Answers each request, and counts them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=WORKERS * 2)
        self.port = self.listener.getsockname()[1]
        self.answered = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                try:
                    # Who asks by TCP only says nothing.
                    if connection.recv(4096):
                        connection.sendall(ANSWER)
                except ConnectionError:
                    pass
                self.answered += 1


def run(bench):
    """procrun alone: none of the peers asks by itself."""
    if "procrun" not in bench.peers:
        return []
    server = Server()
    job = Job([places.program("worker")], WORKERS, logs=True)
    lines = []
    for kind, check in [
        ("HTTP", f'http = "http://127.0.0.1:{server.port}/healthz"'),
        ("TCP", f'tcp = "127.0.0.1:{server.port}"'),
    ]:
        line = Line(
            f"{WORKERS} workers probed by {kind} each second: CPU",
            "% of a core",
            digits=2,
            target="< 1 %",
            reached=lambda m: m["procrun"] < 1,
        )
        with bench.running(Asking(bench.peers["procrun"], check), job) as container:
            container.notes.wait(WORKERS, seconds=60)
            time.sleep(SETTLE_SECONDS)
            before, asked, began = used(container), server.answered, time.monotonic()
            time.sleep(bench.idle_seconds)
            seconds = time.monotonic() - began
            line.add("procrun", (used(container) - before) / 1e9 / seconds * 100)
            rate = (server.answered - asked) / seconds
        bench.say(f"  {line.what}: {line.medians()['procrun']:.2f} % ({rate:.0f} answers a second)")
        lines.append(line)
    return lines


def used(container):
    """CPU time of procrun with all its threads, so far."""
    return sum(processes.cpu_ns(pid) for pid in container.supervisors())
