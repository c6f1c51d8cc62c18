"""supervisord, logging to its stdout as in containers."""

import shlex

from harness import places

from .base import Launch, Peer, first_version


class Supervisord(Peer):
    """From PyPI, in its own venv."""

    name = "supervisord"
    most_rounds = 7
    binary = places.BENCH / "venv/bin/supervisord"

    def missing(self):
        return None if self.binary.exists() else "not installed"

    def version(self):
        return first_version(str(self.binary), "--version")

    def launch(self, place, job):
        (place / "supervisord.conf").write_text(
            "[supervisord]\n"
            "nodaemon=true\n"
            "user=root\n"
            "logfile=/dev/null\n"
            "logfile_maxbytes=0\n"
            f"pidfile={place / 'pid'}\n"
            "[program:w]\n"
            f"command={shlex.join(job.argv)}\n"
            "process_name=%(process_num)d\n"
            f"numprocs={job.count}\n"
            "autorestart=true\n"
            "stdout_logfile=/dev/stdout\n"
            "stdout_logfile_maxbytes=0\n"
            "stderr_logfile=/dev/stderr\n"
            "stderr_logfile_maxbytes=0\n"
        )
        return Launch([str(self.binary), "-c", str(place / "supervisord.conf")])
