"""What /proc tells about processes: trees, memory, CPU time. Only reads."""

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One process as /proc/PID/stat shows it."""

    pid: int
    parent: int
    state: str


def tree(root):
    """The process `root` and all its descendants, zombies included."""
    children = {}
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                fields = stat.read().rpartition(b") ")[2].split(b" ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        process = Process(int(entry), int(fields[1]), fields[0].decode())
        found[process.pid] = process
        children.setdefault(process.parent, []).append(process.pid)
    result, todo = [], [root] if root in found else []
    while todo:
        pid = todo.pop()
        result.append(found[pid])
        todo.extend(children.get(pid, []))
    return result


def executable(pid):
    """The path of the program a process runs; None for a zombie or one that has gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def pss_bytes(pid):
    """Proportional set size: private memory, and its share of what it shares with others."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"no Pss in smaps_rollup of {pid}")


def peak_bytes(pid):
    """The most resident memory the process has had (VmHWM)."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"no VmHWM in status of {pid}")


def cpu_ns(pid):
    """CPU time of all threads of a process so far, also of those that have ended."""
    # The clock of another process: what clock_getcpuclockid(3) computes.
    return time.clock_gettime_ns((~pid << 3) | 2)
