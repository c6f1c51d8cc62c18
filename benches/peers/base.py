"""What every peer answers: is it here, which version, and how it runs a job."""

import re
import signal
import subprocess
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """`count` workers of the same command. The first word is the worker's own program."""

    argv: list
    count: int = 1
    # Carry the workers' output as a user of this supervisor would (s6-log, svlogd); peers that
    # always carry it do not look at this.
    logs: bool = False
    # PM2's `max_memory_restart`, for those who have it.
    max_memory: str = ""


@dataclass(frozen=True)
class WebApp:
    """A Node web server, clustered by the peer that runs it."""

    script: str
    # What makes Node itself the primary of its cluster.
    primary: str
    port: int
    workers: int = 2
    # Ends as Node's manual says, by `server.close()`.
    drains: bool = False

    @property
    def env(self):
        """What it is told."""
        return {"PORT": str(self.port)} | ({"DRAINS": "1"} if self.drains else {})


@dataclass(frozen=True)
class Launch:
    """How to execute a supervisor, and how it is told to stop."""

    argv: list
    env: dict = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    # A directory that the peer sees laid over /usr; "-" for none.
    usr: str = "-"
    # PID 1 is only a shell around the pipeline that is measured.
    wrapped: bool = False


class Peer:
    """One supervisor."""

    name = ""
    # Slow ones are asked fewer times, so that a run stays short.
    most_rounds = 1000
    # Part of the bytes of the log stream that this peer gets.
    log_share = 1.0

    def missing(self):
        """Why it cannot be measured here; None if it can."""
        raise NotImplementedError

    def version(self):
        """As it names itself, or its package."""
        raise NotImplementedError

    def launch(self, place, job):
        """Writes the configuration for a job into the directory `place`."""
        raise NotImplementedError

    def serve(self, place, app):
        """Writes the configuration for a web server, for those who run a cluster of Node's."""
        raise NotImplementedError

    def background(self, place, argv):
        """How to start a command in the background, how to end everything again, and the environment of both."""
        raise NotImplementedError

    def list_command(self, container):
        """The arguments and the environment of the command that lists a running container's processes."""
        raise NotImplementedError

    def logs_command(self, container):
        """The arguments and the environment of the command that follows the logs of a running container."""
        raise NotImplementedError

    def monit_command(self, container):
        """The arguments and the environment of the view of a running container on a full screen."""
        raise NotImplementedError

    def reload(self, container):
        """Asks for a reload of that web server; it may be over later."""
        raise NotImplementedError


def first_version(*command, env=None):
    """The first thing that looks like a version in what a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=env)
    found = re.search(r"\d+(\.\d+)+\S*", done.stdout + done.stderr)
    return found.group(0).rstrip(",;)") if found else "?"


def write_script(path, text):
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
