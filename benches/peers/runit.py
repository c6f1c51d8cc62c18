"""runit: runsvdir as PID 1, one runsv a service, `run` a shell script that execs, as everybody has it."""

import os
import shlex

from harness import places

from .base import Launch, Peer, write_script


class Runit(Peer):
    """With `direct` the worker itself is the `run` file: what runit costs without its shell."""

    def __init__(self, direct=False):
        self.name = "runit-direct" if direct else "runit"
        self.direct = direct
        self.binary = places.DEBIAN / "usr/bin/runsvdir"

    def missing(self):
        return None if self.binary.exists() else "not installed"

    def version(self):
        packages = list((places.BENCH / "deb").glob("runit_*.deb"))
        return packages[0].name.split("_")[1] if packages else "?"

    def launch(self, place, job):
        for number in range(job.count):
            service = place / "sv" / f"w{number}"
            if self.direct:
                service.mkdir(parents=True)
                (service / "run").symlink_to(job.argv[0])
            else:
                write_script(service / "run", f"#!/bin/sh\nexec {shlex.join(job.argv)}\n")
            if job.logs:
                (service / "main").mkdir()
                write_script(service / "log/run", f"#!/bin/sh\nexec svlogd {service / 'main'}\n")
        # runsvdir waits a second if its directory has changed within the last one.
        os.utime(place / "sv", (0, 0))
        path = f"{self.binary.parent}:{os.environ['PATH']}"
        return Launch([str(self.binary), str(place / "sv")], {"PATH": path})
