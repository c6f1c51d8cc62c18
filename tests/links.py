#!/usr/bin/env python3
"""Fails if a link in a Markdown file of the repository leads to no file, or to no heading of it.

Links to other hosts are not followed: the check needs no network.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def prose(page):
    """The page without its fenced blocks and code spans: what is in those is no link."""
    text = re.sub(r"^(```|~~~).*?^\1[ \t]*$", "", page, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", lambda span: "" if "](" in span.group() else span.group(), text)


def anchors(page):
    """The anchors that GitHub and mdBook make of the headings; the second of a name ends in -1."""
    found = {}
    for heading in re.findall(r"^#+ +(.*?) *#*$", re.sub(r"^(```|~~~).*?^\1[ \t]*$", "", page, flags=re.M | re.S), flags=re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {name if number == 0 else f"{name}-{number}" for name, last in found.items() for number in range(last + 1)}


def broken(path, page):
    """Each link of a page that leads nowhere."""
    text = prose(page)
    links = re.findall(r"\]\(<?([^)>\s]+)>?(?: +\"[^\"]*\")?\)", text) + re.findall(r"^\[[^]]+\]: +(\S+)", text, flags=re.M)
    for link in links:
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{link}: {target.relative_to(ROOT)} has no heading for it"


def main():
    """All Markdown files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True)
    failures = 0
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.exists():
            continue
        for failure in broken(path, path.read_text()):
            print(f"{name}: {failure}")
            failures += 1
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
