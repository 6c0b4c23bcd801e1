"""What moved beyond its spread between two sets of results: `python -m benchmarks.compare [old] [new]`.

Each set is a folder or a git revision; by default the results of HEAD and those of the working tree.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import number, table
from benchmarks.result import RESULTS
from layers.uv import ROOT

# An interval says how far the rounds of one run differ. Two runs differ a little more: other memory layouts, other
# neighbours on the machine.
SLACK = 0.05

type Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Move:
    section: str
    ratio: str
    old: dict[str, Any]
    new: dict[str, Any]

    @property
    def is_worse(self) -> bool:
        grew = bool(self.new["value"] > self.old["value"])
        return grew if self.new["better"] == "lower" else not grew


def moves(old: Results, new: Results) -> list[Move]:
    """Ratios whose two intervals lie apart by more than the slack."""
    both = (
        Move(section, name, old[section]["ratios"][name], ratio)
        for section, document in new.items()
        for name, ratio in document["ratios"].items()
        if name in old.get(section, {"ratios": ()})["ratios"]
    )
    return [move for move in both if _apart(move.old, move.new)]


def _apart(one: dict[str, Any], other: dict[str, Any]) -> bool:
    lower, upper = sorted((one, other), key=lambda ratio: ratio["value"])
    return bool(upper["low"] > lower["high"] * (1 + SLACK))


def read(place: str) -> Results:
    """The results in a folder, or else in a git revision."""
    texts = _in_folder(Path(place)) if Path(place).is_dir() else _in_revision(place)
    return {document["name"]: document for document in map(json.loads, texts)}


def _in_folder(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.json")):
        yield path.read_text()


def _in_revision(revision: str) -> Iterator[str]:
    folder = RESULTS.relative_to(ROOT).as_posix()
    for path in _git("ls-tree", "--name-only", revision, f"{folder}/").split():
        yield _git("show", f"{revision}:{path}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The old results cannot be read: {done.stderr.strip()}")
    return done.stdout


def main(arguments: list[str]) -> None:
    """Exit code 1 when something became worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("old", nargs="?", default="HEAD", help="folder or git revision (default: HEAD)")
    parser.add_argument("new", nargs="?", default=str(RESULTS), help="folder or git revision (default: working tree)")
    options = parser.parse_args(arguments)
    old, new = read(options.old), read(options.new)
    moved = moves(old, new)
    print(_told(moved) if moved else "Nothing moved beyond its spread.")
    for section in sorted(old.keys() - new.keys()):
        print(f"{section} was measured before and is not any more.")
    sys.exit(1 if any(move.is_worse for move in moved) else 0)


def _told(moved: list[Move]) -> str:
    rows = [
        (move.section, move.ratio, _spread(move.old), _spread(move.new), "worse" if move.is_worse else "better")
        for move in moved
    ]
    return table(("section", "ratio", "before", "now", ""), rows)


def _spread(ratio: dict[str, Any]) -> str:
    return f"{number(ratio['value'])} ({number(ratio['low'])} to {number(ratio['high'])})"


if __name__ == "__main__":
    main(sys.argv[1:])
