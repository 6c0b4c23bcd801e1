"""What a section of the benchmarks found out, and the file in which it is kept."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).parent / "results"

type Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Figure:
    """A median with its quartiles; what was counted rather than timed has three times the same value and n = 1."""

    median: float
    low: float
    high: float
    unit: str
    n: int

    @classmethod
    def count(cls, value: float, unit: str) -> "Figure":
        return cls(value, value, value, unit, 1)


@dataclass(frozen=True)
class Ratio:
    """Ours to another, with the 95 % interval within which this run says it lies; `better` is which way we want it."""

    value: float
    low: float
    high: float
    better: Better = "lower"

    @classmethod
    def exact(cls, value: float, *, better: Better = "lower") -> "Ratio":
        return cls(value, value, value, better)


@dataclass(frozen=True)
class Target:
    """What a ratio is to be, in one of the two directions."""

    at_most: float | None = None
    at_least: float | None = None

    def reached_by(self, ratio: Ratio) -> bool:
        if self.at_most is not None:
            return ratio.value <= self.at_most
        return self.at_least is not None and ratio.value >= self.at_least

    def to_document(self, ratio: Ratio) -> dict[str, Any]:
        bound = {"at_least": self.at_least} if self.at_most is None else {"at_most": self.at_most}
        return {**bound, "reached": self.reached_by(ratio)}


@dataclass(frozen=True)
class Result:
    """One section, measured. `versions` are those of the contenders; each target has the name of a ratio."""

    figures: Mapping[str, Figure]
    ratios: Mapping[str, Ratio]
    targets: Mapping[str, Target] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_document(self, name: str, *, at: str, machine: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "at": at,
            "machine": dict(machine),
            "versions": dict(sorted(self.versions.items())),
            "figures": {key: _rounded(asdict(figure)) for key, figure in self.figures.items()},
            "ratios": {key: _rounded(asdict(ratio)) for key, ratio in self.ratios.items()},
            "targets": {key: target.to_document(self.ratios[key]) for key, target in self.targets.items()},
        }


def write(document: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{document['name']}.json"
    path.write_text(_one_line_each(json.dumps(document, indent=2, ensure_ascii=False)) + "\n")
    return path


def _one_line_each(text: str) -> str:
    """The innermost objects, each on one line: a diff then shows a figure and not one of its numbers."""
    return re.sub(r"\{[^{}]*\}", lambda found: re.sub(r"\n *", " ", found[0]), text)


def _rounded(document: dict[str, Any]) -> dict[str, Any]:
    """Five digits: the others are noise, and would be noise in every diff."""
    return {key: float(f"{value:.5g}") if type(value) is float else value for key, value in document.items()}
