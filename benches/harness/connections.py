"""Connections that stay open, and which worker serves each."""

import re
import selectors
import socket
import time
from collections import Counter

from .container import Failure

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
DEADLINE_SECONDS = 30


class Connection:
    """One client, which says which worker answers it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        self.received = b""
        self.worker = None
        self.ask()

    def ask(self):
        """Sends a request."""
        self.received = b""
        self.socket.sendall(REQUEST)

    def read(self):
        """Reads once. True: the answer is complete."""
        more = self.socket.recv(65536)
        if not more:
            raise Failure("a connection was closed")
        self.received += more
        if not self.received.endswith(b"hello\n"):
            return False
        self.worker = re.search(rb"X-Pid: (\d+)", self.received)[1]
        return True


def counts(port, count, gap_seconds=0, load_seconds=0):
    """How many of `count` connections each worker serves, the largest number first.

    They are opened `gap_seconds` apart. Each asks again as soon as it has its answer, for `load_seconds`.
    """
    opened = []
    try:
        with selectors.DefaultSelector() as selector:
            for _ in range(count):
                connection = Connection(port)
                opened.append(connection)
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                time.sleep(gap_seconds)
            began = time.monotonic()
            while time.monotonic() < began + load_seconds or any(it.worker is None for it in opened):
                if time.monotonic() > began + DEADLINE_SECONDS:
                    raise Failure("not every connection is answered")
                for key, _ in selector.select(timeout=0.1):
                    if key.data.read() and time.monotonic() < began + load_seconds:
                        key.data.ask()
    finally:
        for connection in opened:
            connection.socket.close()
    return sorted(Counter(connection.worker for connection in opened).values(), reverse=True)
