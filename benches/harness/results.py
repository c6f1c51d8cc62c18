"""Samples and what they say: medians, the line of a table, and whether a target is reached."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Line:
    """One line of the table: what was measured, in which unit, with whom."""

    what: str
    unit: str
    digits: int = 1
    higher_is_better: bool = False
    target: str = ""
    # From the medians (peer name → number) to whether the target is reached; None: cannot be said.
    reached: object = None
    samples: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)

    def add(self, peer, value):
        """One more sample of a peer."""
        self.samples.setdefault(peer, []).append(value)

    def medians(self):
        """The median of each peer that has samples."""
        return {peer: statistics.median(values) for peer, values in self.samples.items()}

    def verdict(self):
        """`yes`, `no`, or nothing where there is no target or no number."""
        medians = self.medians()
        if self.reached is None or "procrun" not in medians:
            return ""
        try:
            return "yes" if self.reached(medians) else "**no**"
        except KeyError:
            return ""  # the peer that the target is measured by is missing


def _number(value, digits):
    return f"{value:,.{digits}f}"


def _ratio(ours, theirs):
    if theirs == 0 or ours == 0:
        return ""
    ratio = ours / theirs
    return f" (×{ratio:.2f})" if ratio >= 0.1 else f" (×{ratio:.2g})"


def table(lines):
    """Markdown: medians; in brackets procrun's number divided by the peer's."""
    rows = ["| what | procrun | peers (procrun / peer) | target | reached |", "|---|---|---|---|---|"]
    for line in lines:
        medians = line.medians()
        ours = medians.get("procrun")
        cells = []
        for peer, value in sorted(medians.items(), key=lambda item: item[1], reverse=line.higher_is_better):
            if peer != "procrun":
                ratio = "" if ours is None else _ratio(ours, value)
                cells.append(f"{peer} {_number(value, line.digits)}{ratio}")
        cells += [f"{peer}: {why}" for peer, why in line.failures.items() if peer != "procrun"]
        if ours is None:
            shown = line.failures.get("procrun", "-")
        else:
            shown = f"**{_number(ours, line.digits)}**"
        rows.append(f"| {line.what}, {line.unit} | {shown} | {', '.join(cells)} | {line.target} | {line.verdict()} |")
    return "\n".join(rows)
