"""The sections, in the order of the page. Each is a module with `TITLE` and `run`, and may have `describe`."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Protocol, cast

from benchmarks.progress import Tell
from benchmarks.result import Result

SPEED = ("cold", "warm", "server", "sizes", "loading", "threads", "growth")  # what `make bench` measures
PROOFS = (
    "batch",
    "validation",
    "captures",
    "calibration",
    "electricity",
    "quality",
    "learning",
    "drift",
    "chat",
    "transformer",
)
NAMES = SPEED + PROOFS


class Section(Protocol):
    """`describe(document) -> str`, where a section has one, gives its part of the page as Markdown, from its result
    as stored; plots that it names are written by it."""

    TITLE: str

    @staticmethod
    def run(quick: bool, tell: Tell = ...) -> Result: ...


def section(name: str) -> Section:
    return cast(Section, import_module(f"benchmarks.{name}"))


def description(name: str, document: dict[str, Any]) -> str | None:
    describe = getattr(section(name), "describe", None)
    return None if describe is None else describe(document)


def unknown(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in NAMES]
