"""Not supervisors, but what a log stream costs at least: `worker | cat`, awk that prefixes, s6-log."""

import shlex
import shutil
import subprocess

from . import s6
from .base import Launch, Peer, first_version


class Filter(Peer):
    """`sh -c 'worker | filter'`; the shell is not counted."""

    usr = "-"

    def __init__(self, name, command):
        self.name = name
        self.command = command

    def missing(self):
        return None if shutil.which(self.command[0]) else "not installed"

    def version(self):
        for option in ("--version", "-W version"):
            done = subprocess.run([self.command[0], *option.split()], capture_output=True, text=True, timeout=30)
            if done.returncode == 0:
                return f"({(done.stdout + done.stderr).splitlines()[0].split(',')[0]})"
        return first_version(self.command[0], "--version")

    def launch(self, place, job):
        return Launch(["/bin/sh", "-c", f"{shlex.join(job.argv)} | {shlex.join(self.command)}; :"], usr=self.usr, wrapped=True)


class S6Log(Filter):
    """s6's logger as a filter: it frames lines, but has no prefix."""

    def __init__(self):
        super().__init__("s6-log", ["s6-log", "1"])
        self.usr = s6.USR

    def missing(self):
        return s6.S6().missing()

    def version(self):
        return s6.S6().version()


def all_filters():
    """Each of them."""
    return [Filter("cat", ["cat"]), Filter("awk", ["awk", '{ print "0|main | " $0 }']), S6Log()]
