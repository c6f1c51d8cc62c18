"""Commands of a supervisor, timed from the outside."""

import os
import time


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
