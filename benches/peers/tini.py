"""tini, the init of `docker run --init`: one worker, no restart, no logs."""

from harness import places

from .base import Launch, Peer, first_version


class Tini(Peer):
    """Debian's dynamic binary, or with `static` the one that Docker ships."""

    def __init__(self, static=False):
        self.name = "tini-static" if static else "tini"
        self.binary = places.DEBIAN / "usr/bin" / self.name

    def missing(self):
        return None if self.binary.exists() else "not installed"

    def version(self):
        return first_version(str(self.binary), "--version")

    def launch(self, place, job):
        if job.count != 1:
            raise ValueError("tini runs one worker")
        return Launch([str(self.binary), "--", *job.argv])
