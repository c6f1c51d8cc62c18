"""Where things are: the repository, the fetched peers, and the small C programs, compiled on demand."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "target" / "bench"
DEBIAN = BENCH / "root"
SOURCES = ROOT / "benches" / "c"
APPS = ROOT / "benches" / "apps"
PROGRAMS = BENCH / "bin"

FREESTANDING = ["-nostdlib", "-ffreestanding", "-fno-stack-protector"]


def program(name):
    """The path of a program of `benches/c`, compiled if its source is newer."""
    target = PROGRAMS / name
    newest = max(file.stat().st_mtime for file in SOURCES.iterdir())
    if not target.exists() or target.stat().st_mtime < newest:
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        flags = FREESTANDING if name == "worker" else []
        fresh = PROGRAMS / f".{name}"
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-Wextra", "-static", *flags, str(SOURCES / f"{name}.c"), "-o", str(fresh)],
            check=True,
        )
        os.replace(fresh, target)
    return str(target)


def newest_procrun():
    """The last release binary that cargo has built here, or None."""
    built = [file for file in ROOT.glob("target/**/release/procrun") if file.is_file()]
    return max(built, key=lambda file: file.stat().st_mtime, default=None)
