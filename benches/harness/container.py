"""One supervisor in its own PID namespace, as PID 1, and everything it starts.

Leaving the `with` block kills the namespace. It also dies with this process, however that ends.
"""

import os
import select
import signal
import struct
import subprocess
import time

from . import places, processes


class Failure(Exception):
    """A measurement that could not be made, with the reason; the run goes on with the next one."""


def until(deadline, what):
    """Seconds left before a deadline (`time.monotonic`); raises Failure when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Failure(f"{what} did not come in time")
    return left


class Notes:
    """The FIFO into which workers write the time of their first instruction, 8 bytes each."""

    def __init__(self, work):
        self.path = work / "notes"
        os.mkfifo(self.path)
        # Both ends, so that a worker's open never blocks and end of file never comes.
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def wait(self, count, seconds=30):
        """The next `count` notes, in ns of CLOCK_MONOTONIC."""
        deadline = time.monotonic() + seconds
        raw = b""
        while len(raw) < 8 * count:
            left = until(deadline, f"note {len(raw) // 8 + 1} of {count} from the workers")
            if select.select([self.fd], [], [], left)[0]:
                raw += os.read(self.fd, 8 * count - len(raw))
        return list(struct.unpack(f"={count}Q", raw))

    def close(self):
        """Closes both ends."""
        os.close(self.fd)


class Container:
    """A running supervisor. `pid` is as seen from here, `exec_ns` the instant before its execve."""

    def __init__(self, work, launch, worker, stdout=subprocess.DEVNULL):
        self.work = work
        self.worker = worker
        self.launch = launch
        self.notes = Notes(work)
        self.exit_status = None
        self.errors = work / "stderr"
        read, write = os.pipe2(os.O_CLOEXEC)
        environment = {"PATH": os.environ["PATH"], "HOME": str(work), "BENCH_FIFO": str(self.notes.path)}
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [places.program("container"), str(write), launch.usr, *launch.argv],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=errors,
                cwd=work,
                env=environment | launch.env,
                pass_fds=[write],
                start_new_session=True,
            )
        os.close(write)
        self.status = os.fdopen(read, "rb", buffering=0)
        try:
            word, *numbers = self._line(10)
            if word != "exec":
                raise Failure(f"cannot execute {launch.argv[0]}: {os.strerror(int(numbers[0]))}")
            self.pid, self.exec_ns = int(numbers[0]), int(numbers[1])
        except BaseException:
            self.close()
            raise

    def _line(self, seconds):
        if not select.select([self.status], [], [], seconds)[0]:
            raise Failure(f"{self.launch.argv[0]} still runs after {seconds} s")
        line = self.status.readline().decode().split()
        if not line:
            raise Failure(f"no container: {self.errors.read_text(errors='replace').strip()}")
        return line

    def processes(self):
        """Every process of the namespace."""
        return processes.tree(self.pid)

    def workers(self):
        """PIDs of the living workers."""
        return [it.pid for it in self.processes() if processes.executable(it.pid) == self.worker]

    def supervisors(self):
        """PIDs of what is neither worker nor zombie: the price of being supervised."""
        skip = [self.pid] if self.launch.wrapped else []
        pairs = [(it.pid, processes.executable(it.pid)) for it in self.processes()]
        return [pid for pid, path in pairs if path not in (None, self.worker) and pid not in skip]

    def stop(self, seconds=20):
        """Sends the peer's stop signal; ns until the last process of the namespace has gone."""
        begin = time.monotonic_ns()
        os.kill(self.pid, self.launch.stop_signal)
        return self.exited(seconds) - begin

    def exited(self, seconds=20):
        """Waits for the end of the namespace; when that was, in ns of CLOCK_MONOTONIC."""
        _, gone, status = self._line(seconds)
        self.exit_status = int(status)
        return int(gone)

    def close(self):
        """Kills what is left and waits for its end."""
        self.process.kill()
        self.process.wait()
        self.status.close()
        self.notes.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def kill_now(pids):
    """SIGKILLs the processes; the time just before the first, in ns of CLOCK_MONOTONIC."""
    kill, number = os.kill, signal.SIGKILL
    begin = time.monotonic_ns()
    for pid in pids:
        kill(pid, number)
    return begin
