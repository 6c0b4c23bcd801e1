"""The ledger of imports: what a cold start loads, and how long each module takes by itself."""

import re
from collections.abc import Mapping
from statistics import median

from benchmarks.isolated import Isolated

# https://docs.python.org/3/using/cmdline.html#cmdoption-X
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
PREFIX = "import "

type Ledger = dict[str, list[float]]


def imports(isolated: Isolated, *arguments: str, worker: str = "cold_lastmile") -> dict[str, float]:
    """Milliseconds in each module alone, from the start of the interpreter to the first answer."""
    said = isolated.run(worker, *arguments, flags=("-X", "importtime")).stderr
    return {name: int(microseconds) / 1000 for microseconds, name in LINE.findall(said)}


def ledger(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each module, the slowest first."""
    names = {name for run in runs for name in run}
    medians = {name: median([run[name] for run in runs if name in run]) for name in names}
    return dict(sorted(medians.items(), key=lambda item: (-item[1], item[0])))


def unlisted(imported: dict[str, float], figures: Mapping[str, object]) -> list[str]:
    """What is imported and not in the figures of a result."""
    return sorted(name for name in imported if PREFIX + name not in figures)
