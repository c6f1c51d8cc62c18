"""Commands of a supervisor, timed from the outside, or running beside what is measured."""

import fcntl
import os
import struct
import subprocess
import termios
import threading
import time
from contextlib import contextmanager


def took(argv, environment):
    """From just before exec to the end, in ms."""
    to_nothing = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    begin = time.monotonic_ns()
    pid = os.posix_spawn(argv[0], argv, environment, file_actions=to_nothing)
    _, status = os.waitpid(pid, 0)
    spent = time.monotonic_ns() - begin
    if status != 0:
        raise OSError(f"{' '.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    return spent / 1e6


@contextmanager
def beside(argv, environment):
    """A command that runs up to the end of the block; what it says goes nowhere."""
    process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def on_terminal(argv, environment, columns, rows):
    """A command on a terminal of this size up to the end of the block, which reads what it shows."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    process = subprocess.Popen(
        argv,
        env={"TERM": "xterm-256color"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    reader = threading.Thread(target=_read_all, args=[ours])
    reader.start()
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)


def _read_all(fd):
    """Until no process has the terminal any more."""
    try:
        while os.read(fd, 1 << 16):
            pass
    except OSError:
        pass
