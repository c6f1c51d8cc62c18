"""pm2-runtime, whose place procrun takes."""

import json
import os
import shutil
import subprocess

from harness import places

from .base import Launch, Peer, first_version


class Pm2(Peer):
    """From npm. The same ecosystem file as procrun, in PM2's JSON."""

    name = "pm2-runtime"
    most_rounds = 3
    log_share = 0.1
    binary = places.BENCH / "pm2/node_modules/.bin/pm2-runtime"

    def missing(self):
        if shutil.which("node") is None:
            return "no node"
        return None if self.binary.exists() else "not installed"

    def version(self):
        package = json.loads((self.binary.parents[1] / "pm2/package.json").read_text())
        return f"{package['version']} on node {first_version('node', '--version')}"

    def launch(self, place, job):
        app = {
            "name": "main",
            "script": job.argv[0],
            "args": job.argv[1:],
            "interpreter": "none",
            "exec_mode": "fork",
            "instances": job.count,
        }
        if job.max_memory:
            app["max_memory_restart"] = job.max_memory
        return self.start(place, app)

    def serve(self, place, app):
        return self.start(
            place,
            {
                "name": "main",
                "script": app.script,
                "exec_mode": "cluster",
                "instances": app.workers,
                "env": app.env,
            },
        )

    def background(self, place, argv):
        pm2 = [shutil.which("node"), os.path.realpath(self.binary.with_name("pm2"))]
        script, *arguments = argv
        start = [*pm2, "start", script, "--interpreter", "none", "--", *arguments]
        return start, [*pm2, "kill"], {"PM2_HOME": str(place / "pm2"), "PM2_DISABLE_VERSION_CHECK": "true"}

    def list_command(self, container):
        environment = {"PATH": os.environ["PATH"], "HOME": str(container.work)} | container.launch.env
        return [shutil.which("node"), os.path.realpath(self.binary.with_name("pm2")), "list"], environment

    def reload(self, container):
        command = self.binary.with_name("pm2")
        environment = {"PATH": os.environ["PATH"], "HOME": str(container.work)} | container.launch.env
        subprocess.run([command, "reload", "main"], env=environment, capture_output=True, timeout=60, check=True)

    def start(self, place, app):
        """With this application."""
        (place / "ecosystem.json").write_text(json.dumps({"apps": [app]}))
        script = os.path.realpath(self.binary)
        return Launch(
            [shutil.which("node"), script, "start", str(place / "ecosystem.json")],
            {"PM2_HOME": str(place / "pm2"), "PM2_DISABLE_VERSION_CHECK": "true"},
        )
