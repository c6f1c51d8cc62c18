"""Node without a supervisor: its own cluster, and one process alone."""

import os
import shutil

from .base import Launch, Peer, first_version


class Node(Peer):
    """One process."""

    name = "node"

    def missing(self):
        return "no node" if shutil.which("node") is None else None

    def version(self):
        return first_version("node", "--version")

    def serve(self, place, app):
        return Launch([os.path.realpath(shutil.which("node")), app.script], app.env)


class NodeCluster(Node):
    """A primary that forks the workers, with Node's default: round robin."""

    name = "node-cluster"

    def serve(self, place, app):
        node, script = super().serve(place, app).argv
        return Launch([node, app.primary, script, str(app.workers)], app.env)
