"""s6: s6-svscan as PID 1, one s6-supervise a service, and an s6-log each where logs are carried."""

import shlex

from harness import places

from .base import Launch, Peer, write_script


# Debian's s6 has /usr/bin built in.
USR = str(places.DEBIAN / "usr")


class S6(Peer):
    """`run` is a shell script that execs, as with runit."""

    name = "s6"

    def missing(self):
        return None if (places.DEBIAN / "usr/bin/s6-svscan").exists() else "not installed"

    def version(self):
        packages = list((places.BENCH / "deb").glob("s6_*.deb"))
        return packages[0].name.split("_")[1] if packages else "?"

    def launch(self, place, job):
        for number in range(job.count):
            service = place / "sv" / f"w{number}"
            write_script(service / "run", f"#!/bin/sh\nexec {shlex.join(job.argv)}\n")
            if job.logs:
                (service / "main").mkdir()
                write_script(service / "log/run", f"#!/bin/sh\nexec s6-log -b n3 s1000000 {service / 'main'}\n")
        return Launch(["/usr/bin/s6-svscan", str(place / "sv")], usr=USR)
