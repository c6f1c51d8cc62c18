"""procrun itself, with an ecosystem file as its users write it."""

import json
import os
import shutil
import signal
import time

from harness import places

from .base import Launch, Peer, first_version


class Procrun(Peer):
    """A private copy of the binary: a page that another running procrun shares would count half."""

    def __init__(self, binary, name="procrun"):
        self.name = name
        self.given = binary or places.newest_procrun()
        self.binary = places.PROGRAMS / f"{name}.{os.getpid()}"

    def missing(self):
        if self.given is None:
            return "no release binary; `cargo build --release` or --procrun PATH"
        if not os.access(self.given, os.X_OK):
            return f"{self.given} is not an executable file"
        self.binary.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.given, self.binary)
        return None

    def version(self):
        return first_version(str(self.given), "-V")

    def launch(self, place, job):
        # A JSON string is a TOML string, too.
        script, *arguments = (json.dumps(word) for word in job.argv)
        (place / "ecosystem.toml").write_text(
            "[[apps]]\n"
            'name = "main"\n'
            f"script = {script}\n"
            f"args = [{', '.join(arguments)}]\n"
            'interpreter = "none"\n'
            'exec_mode = "fork"\n'
            f"instances = {job.count}\n"
            + (f'max_memory_restart = "{job.max_memory}"\n' if job.max_memory else "")
        )
        # Commands find it there.
        return Launch([str(self.binary), str(place / "ecosystem.toml")], {"PROCRUN_HOME": str(place)})

    def list_command(self, container):
        return [str(self.binary), "list"], container.launch.env

    def logs_command(self, container):
        return [str(self.binary), "logs"], container.launch.env

    def monit_command(self, container):
        return [str(self.binary), "monit"], container.launch.env

    def background(self, place, argv):
        script, *arguments = argv
        start = [str(self.binary), "start", script, "--interpreter", "none", "--", *arguments]
        return start, [str(self.binary), "kill"], {"PROCRUN_HOME": str(place)}

    def serve(self, place, app, keys=""):
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in app.env.items()]
        (place / "ecosystem.toml").write_text(
            "[[apps]]\n"
            'name = "main"\n'
            f"script = {json.dumps(app.script)}\n"
            f"instances = {app.workers}\n"
            f"{keys}"
            "[apps.env]\n"
            f"{''.join(lines)}"
        )
        return Launch([str(self.binary), str(place / "ecosystem.toml")])

    def reload(self, container):
        file = container.work / "ecosystem.toml"
        generation = f"GENERATION = {json.dumps(str(time.monotonic_ns()))}\n"
        lines = [line for line in file.read_text().splitlines(True) if not line.startswith("GENERATION")]
        file.write_text("".join([*lines, generation]))
        os.kill(container.pid, signal.SIGHUP)

    def close(self):
        """Removes the copy."""
        self.binary.unlink(missing_ok=True)


class Balanced(Peer):
    """procrun with another `balance` than its default."""

    def __init__(self, procrun, balance):
        self.procrun = procrun
        self.balance = balance
        self.name = f"procrun-{balance}"

    def missing(self):
        return None if self.procrun.binary.exists() else "no release binary"

    def version(self):
        return self.procrun.version()

    def serve(self, place, app):
        return self.procrun.serve(place, app, f'balance = "{self.balance}"\n')
