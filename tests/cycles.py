#!/usr/bin/env python3
"""Fails if files of a package import each other in a cycle.

A file that is imported by its own imports shows a missing type, which belongs into a file of its own. `make lint` runs
this. A name counts as a use of the file that defines it, not of the module that exports it again. Test code is left out.

    tests/cycles.py             all files
    tests/cycles.py MODULE...   only cycles in these modules
"""

import re
import sys
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"procrun": "src", "procrun_core": "crates/core/src", "procrun_sys": "crates/sys/src"}

SKIPPED = re.compile(r'//[^\n]*|/\*.*?\*/|\bb?r(#*)".*?"\1|\bb?"(?:\\.|[^"\\])*"|"(?:\\.|[^"\\])*"|\'(?:\\[^\']+|[^\'\\])\'', re.S)
TEST = re.compile(r"#\[cfg\(test\)\]")
VISIBLE = r"(?:pub(?:\([^)]*\))? )?"
DEFINED = re.compile(
    rf"^(?:{VISIBLE}(?:async |const |unsafe |extern )*(?:struct|enum|trait|type|fn|static|union|const) |macro_rules! )(?:mut )?(\w+)",
    re.M,
)
CHILD = re.compile(rf"^{VISIBLE}mod (\w+);", re.M)
USE = re.compile(rf"^[ \t]*({VISIBLE})use ([^;]+);", re.M)
PATH = re.compile(r"(?<![\w:])(\w+)((?:::\w+)+)")


def without_tests(text):
    """The text without each item that follows `#[cfg(test)]`."""
    while found := TEST.search(text):
        depth, at = 0, found.end()
        while at < len(text):
            depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(text[at], 0)
            at += 1
            if depth == 0 and text[at - 1] in ";}":
                break
        text = text[: found.start()] + text[at:]
    return text


def imports(tree, prefix=()):
    """Each path of a `use` tree with the name that it gets."""
    tree = tree.strip()
    if "{" in tree:
        head, body = tree.split("{", 1)
        prefix += tuple(filter(None, head.strip().split("::")))
        depth, part = 0, ""
        for char in body[: body.rindex("}")] + ",":
            depth += (char == "{") - (char == "}")
            if char == "," and depth == 0:
                if part.strip():
                    yield from imports(part, prefix)
                part = ""
            else:
                part += char
        return
    path, _, alias = (part.strip() for part in tree.partition(" as "))
    path = prefix + tuple(filter(None, path.split("::")))
    if path[-1] == "self":
        path = path[:-1]
    yield path, alias or path[-1]


class File:
    """A source file: what it defines, imports and names."""

    def __init__(self, path, text):
        self.path = path
        self.defined = set(DEFINED.findall(text))
        self.children = set(CHILD.findall(text))
        self.bound, self.exported = {}, {}
        for visible, tree in USE.findall(text):
            for target, name in imports(re.sub(r"\s+", " ", tree)):
                (self.exported if visible else self.bound)[name] = target
        self.named = {(first, *rest[2:].split("::")) for first, rest in PATH.findall(USE.sub("", text))}


class Package:
    """The files of a package by their module paths."""

    def __init__(self, source):
        texts = {}
        for path in sorted(source.rglob("*.rs")):
            module = path.relative_to(source).with_suffix("").parts
            if module[-1] in ("mod", "lib"):
                module = module[:-1]
            texts[module] = (path, without_tests(SKIPPED.sub("''", path.read_text())))
        self.files = {}
        # What only tests declare is no child of its parent, and neither is what is below it.
        for module in sorted(texts, key=len):
            parent = self.files.get(module[:-1])
            if not module or module == ("main",) or (parent and module[-1] in parent.children):
                self.files[module] = File(*texts[module])

    def absolute(self, module, path):
        """The path from the root of the package, or None for another package."""
        if path[0] in ("crate", "self"):
            return (module if path[0] == "self" else ()) + path[1:]
        if path[0] == "super":
            while path and path[0] == "super":
                module, path = module[:-1], path[1:]
            return module + path
        file = self.files[module]
        if path[0] in file.children:
            return module + path
        if path[0] in file.bound and file.bound[path[0]][0] != path[0]:
            target = self.absolute(module, file.bound[path[0]])
            return target and target + path[1:]
        return None

    def owner(self, path, depth=0):
        """The module whose file defines what the path names, and whether the path is that module itself."""
        module, rest = (), path
        while rest and module + rest[:1] in self.files:
            module, rest = module + rest[:1], rest[1:]
        exported = self.files[module].exported
        if rest and rest[0] in exported and depth < 8:
            target = self.absolute(module, exported[rest[0]])
            if target:
                return self.owner(target + rest[1:], depth + 1)
        return module, not rest

    def uses(self):
        """For each module the modules whose names it uses, with one such name."""
        edges = {}
        for module, file in self.files.items():
            edges[module] = {}
            again = [(path, True) for path in file.exported.values()]
            for path, exports in [*((path, False) for path in [*file.bound.values(), *file.named]), *again]:
                target = self.absolute(module, path)
                if not target:
                    continue
                owner, is_module = self.owner(target)
                # A module that exports a name of its own part does not depend on it.
                if owner == module or is_module or (exports and owner[: len(module)] == module):
                    continue
                edges[module].setdefault(owner, path[-1])
        return edges


def cycle_from(edges, start, within):
    """The shortest cycle through a module, or None."""
    before, queue = {}, deque([start])
    while queue:
        here = queue.popleft()
        for there in sorted(edges[here]):
            if there == start:
                cycle = [here]
                while cycle[-1] != start:
                    cycle.append(before[cycle[-1]])
                return cycle[::-1]
            if there in within and there not in before:
                before[there] = here
                queue.append(there)
    return None


def main():
    """Prints each cycle once, the shortest first."""
    wanted, failures = sys.argv[1:], 0
    for name, source in PACKAGES.items():
        package = Package(ROOT / source)
        edges = package.uses()
        # crates/sys is one module: its name is the package's.
        top = (lambda module: "sys") if name == "procrun_sys" else (lambda module: module[0] if module else "")
        left = {module for module in edges if not wanted or top(module) in wanted}
        cycles = sorted(filter(None, (cycle_from(edges, module, left) for module in sorted(left))), key=len)
        reported = set()
        for cycle in cycles:
            if reported & set(cycle):
                continue
            reported |= set(cycle)
            failures += 1
            steps = zip(cycle, [*cycle[1:], cycle[0]])
            place = lambda module: str(package.files[module].path.relative_to(ROOT))
            print(f"cycles: {place(cycle[0])}" + "".join(f"\n    uses {edges[a][b]} of {place(b)}" for a, b in steps))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
